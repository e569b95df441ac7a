"""The time limits of a handler, as data and as the errors that name them."""

from dataclasses import dataclass

from worker.app.registry import Registered
from worker.durations import text as duration_text
from worker.errors import TimeLimitExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds from the start of a run; None = never.

    Attributes:
        name: the handler's, for the errors.
        soft: when it is asked to end.
        hard: when it is given up.
    """

    name: str
    soft: float | None
    hard: float | None

    @classmethod
    def of(cls, registered: Registered) -> "Limits":
        """Return the limits that a handler declares."""
        options = registered.handler.options
        return cls(registered.name, options.timeout, options.hard_timeout)

    def too_long(self) -> TimeLimitExceeded:
        """Return the error of a handler that ended because its soft limit struck."""
        return TimeLimitExceeded(
            f"{self.name} ran longer than its timeout of {duration_text(self.soft or 0)}"
        )

    def given_up(self, stack: str, fate: str) -> TimeLimitExceeded:
        """Return the error of a handler that was given up at its hard limit.

        Args:
            stack: where it was.
            fate: what became of it, for example "its process was killed".
        """
        error = TimeLimitExceeded(
            f"{self.name} was still running at its hard_timeout of"
            f" {duration_text(self.hard or 0)}: {fate}"
        )
        error.stack = stack
        return error
