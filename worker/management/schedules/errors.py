"""What goes wrong with schedules."""

from collections.abc import Sequence

from worker.management.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ValidationError,
    named,
)


class ScheduleNotFoundError(NotFoundError):
    """There is no such schedule."""

    def __init__(self, name: str, where: str, there: Sequence[str]) -> None:
        super().__init__(
            f"There is no schedule {named(name)} {where}; there are: {', '.join(there) or 'none'}.",
            {"name": name[:200], "there": list(there)},
        )


class ScheduleAmbiguousError(ValidationError):
    """Several schedules have the name."""

    def __init__(self, name: str, found: Sequence[str]) -> None:
        super().__init__(
            f"There are several schedules called {name}: {', '.join(found)}. Name one of them.",
            {"name": name[:200], "there": list(found)},
        )


class ScheduleForbiddenError(ForbiddenError):
    """This user may not update the schedule's queue."""

    def __init__(self, name: str, queue: str) -> None:
        super().__init__(
            f"Schedule {name} cannot be paused or resumed: that takes the right to update its queue"
            f" {queue}, which this user does not have, or the queue is not there, or was changed in"
            " this moment.",
            {"name": name, "queue": queue},
        )


class PayloadError(ValidationError):
    """The payload of a schedule cannot be made."""


class NoHandlersError(ConflictError):
    """There are no handlers at hand, which make the payloads of schedules."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Schedule {name} cannot be fired from here: the code of its handler makes the payload,"
            " and it is not at hand. Start openiap-worker api with --handlers MODULE, or use"
            " openiap-worker schedules fire.",
            {"name": name[:200]},
        )
