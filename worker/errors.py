"""What handlers raise, and what the worker refuses at start. No I/O, no OpenIAP."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from worker.durations import Duration, seconds


class WorkerError(Exception):
    """Everything that this package raises on purpose, save for the client's ``OpenIAPError``."""


class SettingsError(WorkerError):
    """A setting is unknown or invalid; the text names it, its value and what is allowed."""


class HandlerError(WorkerError):
    """A handler, or the module that declares it, cannot be used; the text says which and why."""


class StateError(WorkerError):
    """The state directory cannot be used: locked by another process, full, or read-only."""


class WorkerFault(StateError):
    """The worker cannot do its part, and the item is not to pay for it: no room on its disk, no
    thread, no process. The item is handed back without an attempt.

    Args:
        over: tells, blocking, whether it is over; may be asked from any thread.
    """

    def __init__(self, text: str, *, over: Callable[[], bool]) -> None:
        super().__init__(text)
        self.over = over


class CodedError(WorkerError):
    """An error with a code and data: a business error, or an application error."""

    def __init__(self, message: str, *, code: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data


class BusinessError(CodedError):
    """The item itself is wrong. It fails at once and is never retried.

    Args:
        message: one sentence for the person who looks at the item.
        code: a short name that programs can branch on, for example ``"BAD_AMOUNT"``.
        data: JSON-able details that are kept with the item.
    """


class ApplicationError(CodedError):
    """Something around the item is wrong; the item is retried as the policy says.

    Any other exception counts as one too; this class carries a code and data.
    """


class Retry(WorkerError):
    """Try this item again at a chosen time.

    Args:
        after: seconds, or text like ``"5m"``; None leaves it to the queue's ``retrydelay``.
        at: an absolute moment instead.
        reason: what the item shows meanwhile.
    """

    def __init__(
        self,
        after: Duration | timedelta | None = None,
        *,
        at: datetime | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(reason or "the handler asked for a retry")
        if at is not None and not isinstance(at, datetime):
            raise TypeError(f"Retry(at={at!r}): no moment; allowed: a datetime, or None")
        self.after = None if after is None else seconds(after, "after")
        self.at = at
        self.reason = reason


class Skip(WorkerError):
    """Nothing is to be done for this item: it ends as successful with its payload unchanged."""


class GivenBack(WorkerError):
    """The item goes back to its queue and costs no attempt; what ``release`` of an item that was
    taken comes to."""


class Outage(ApplicationError):
    """A system is away, and its breaker is to open at once: nothing is popped that needs it.

    The item is handed back and costs no attempt. Where the handler has no breaker of that name, it
    is an error like any other.

    Args:
        breaker: the name of one of the handler's breakers.
        after: when to try again: seconds, or text like ``"5m"``; None leaves it to the breaker.
        reason: one sentence.
    """

    def __init__(self, breaker: str, after: Duration | None = None, reason: str = "") -> None:
        super().__init__(reason or f"{breaker} is away")
        self.breaker = breaker
        self.after = None if after is None else seconds(after, "after")


class LostItem(ApplicationError):
    """Another worker has the item by now; what this attempt still does is refused at its end."""


class TimeLimitExceeded(ApplicationError):
    """The handler ran longer than its timeout.

    Attributes:
        stack: where the handler was when it was given up, as a traceback's frames; "" if unknown.
    """

    stack: str = ""


class ResourceLimitExceeded(ApplicationError):
    """A process handler broke its memory or CPU limit, or its process died.

    Attributes:
        stack: where the handler was, as a traceback's frames; "" if unknown.
    """

    stack: str = ""


def name_of(function: object) -> str:
    """Return a function's name for people."""
    return str(getattr(function, "__qualname__", None) or repr(function)).replace("<locals>.", "")
