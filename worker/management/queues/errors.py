"""What goes wrong with queues."""

from collections.abc import Sequence

from worker.management.errors import ConflictError, ForbiddenError, NotFoundError, named
from worker.management.items.errors import QueueNotFoundError

__all__ = [
    "BreakerNotFoundError",
    "PrincipalNotFoundError",
    "QueueExistsError",
    "QueueForbiddenError",
    "QueueKeptError",
    "QueueNotFoundError",
]


class QueueExistsError(ConflictError):
    """There is one of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Queue {name} exists already. To change it: openiap-worker queues update {name}.",
            {"queue": name[:200]},
        )


class QueueForbiddenError(ForbiddenError):
    """This user may see the queue, and may not do that to it."""

    def __init__(self, name: str, what: str, right: str, more: str = "") -> None:
        super().__init__(
            f"Queue {name} cannot be {what}: this user lacks the right to {right} it."
            f"{f' {more}' if more else ''}",
            {"queue": name[:200], "right": right},
        )


class QueueKeptError(ForbiddenError):
    """Its items, or the queue itself, are still there: OpenIAP did not delete them."""


class PrincipalNotFoundError(NotFoundError):
    """There is no such role or user, or none that this user may see."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no role or user {named(name)}, or this user may not see it. Names are"
            " case-sensitive.",
            {"name": name[:200]},
        )


class BreakerNotFoundError(NotFoundError):
    """There is no such breaker, or this user has no rights on its queues."""

    def __init__(self, name: str, queue: str | None, there: Sequence[str]) -> None:
        where = "" if queue is None else f" for queue {named(queue)}"
        super().__init__(
            f"There is no breaker {named(name)}{where} that a worker has brought, or this user has"
            f" no rights on its queue; there are: {', '.join(there) or 'none'}.",
            {"name": name[:200], "there": list(there)},
        )
