"""What goes wrong when operators read and steer: one kind for each way to answer it.

1. Each has the status that HTTP gives it, a sentence for people, and details for programs.
2. A feature's own errors stand below these, in its ``errors.py``.
3. ``said_by_openiap`` makes them of the door's errors, which stay their cause.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from worker.errors import WorkerError
from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    DocumentNotFound,
    DuplicateKey,
    ItemNotFound,
    NotConnected,
    OpenIAPError,
    QueueNotFound,
    RateLimited,
    RequestTimeout,
)

MOST_SHOWN: Final = 200
RETRY_AFTER: Final = 1.0
"""Seconds; OpenIAP counts messages in windows of one second (server.md, Errors)."""


def named(given: str) -> str:
    """Return a name or an id as a sentence shows it: as it is where that is clear, else in quotes;
    cut where it is long."""
    short = given if len(given) <= MOST_SHOWN else f"{given[:MOST_SHOWN]}…"
    clear = short.isprintable() and short == short.strip() and short
    return short if clear else repr(short)


class AppError(WorkerError):
    """Something that was asked for is not done.

    Attributes:
        status_code: what HTTP answers.
        message: one sentence for people.
        details: for programs: names, values, what is allowed.
    """

    status_code: ClassVar[int] = 500

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message: Final = message
        self.details: Final = dict(details or {})


class ValidationError(AppError):
    """What was asked for is wrong in itself; the message names the value and what is allowed."""

    status_code = 422


class UnauthorizedError(AppError):
    """Nobody is signed in, or the credentials are refused."""

    status_code = 401


class ForbiddenError(AppError):
    """This user may not do that."""

    status_code = 403


class NotFoundError(AppError):
    """It is not there, or this user has no rights on it; OpenIAP does not tell which."""

    status_code = 404


class ConflictError(AppError):
    """It is in a state in which this cannot be done, or was changed meanwhile."""

    status_code = 409


class TooLargeError(AppError):
    """More than is carried."""

    status_code = 413


class RateLimitError(AppError):
    """Too much at once.

    Attributes:
        retry_after: seconds until it may go again.
    """

    status_code = 429

    def __init__(
        self, message: str, retry_after: float, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, details)
        self.retry_after: Final = retry_after


class RefusedError(AppError):
    """OpenIAP refuses, for a reason of its own that it tells."""

    status_code = 502


class UnavailableError(AppError):
    """OpenIAP does not answer."""

    status_code = 503


def from_openiap(error: OpenIAPError) -> AppError:
    """Return what an error of the client's means to whoever asked."""
    text = " ".join(error.text.split()).rstrip(".")
    if isinstance(error, RateLimited):
        return RateLimitError(f"OpenIAP takes no more messages just now: {text}.", RETRY_AFTER)
    if isinstance(error, ItemNotFound) and error.item_id:
        return NotFoundError(
            f"There is no item {named(error.item_id)}, or this user has no rights on it.",
            {"id": error.item_id[:MOST_SHOWN]},
        )
    if isinstance(error, QueueNotFound | ItemNotFound | DocumentNotFound):
        return NotFoundError(f"OpenIAP: {text}.")
    if isinstance(error, AccessDenied):
        return ForbiddenError(f"OpenIAP refused {error.operation or 'that'}: {text}.")
    if isinstance(error, DuplicateKey):
        return ConflictError(f"OpenIAP: {text}.")
    if isinstance(error, NotConnected | Disconnected | RequestTimeout):
        return UnavailableError(f"OpenIAP did not answer {error.operation or 'a call'}: {text}.")
    return RefusedError(f"OpenIAP, {error.operation}: {text}.")


@contextmanager
def said_by_openiap() -> Iterator[None]:
    """Turn errors of the client's into this package's, inside a ``with``."""
    try:
        yield
    except OpenIAPError as error:
        raise from_openiap(error) from error
