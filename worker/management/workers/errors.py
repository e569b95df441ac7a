"""What goes wrong with workers."""

from collections.abc import Sequence
from typing import Final

from worker.management.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ValidationError,
    named,
)

MOST_NAMED: Final = 20


class WorkerNotFoundError(NotFoundError):
    """There is no such worker, or this user has no rights on its queues."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"There is no worker {named(id)}, or this user has no rights on its queues; see:"
            " openiap-worker workers list.",
            {"id": id[:200]},
        )


class OtherQueuesError(NotFoundError):
    """A worker that was named does not work the queue that was named."""

    def __init__(self, id: str, queue: str, queues: Sequence[str]) -> None:
        works = ", ".join(sorted(queues)[:MOST_NAMED]) or "no queue"
        super().__init__(
            f"Worker {id} does not work queue {named(queue)}; it works: {works}.",
            {"id": id, "queue": queue[:200], "queues": sorted(queues)},
        )


class NotLivingError(ConflictError):
    """A worker that was named has ended, or is not heard of any more."""

    def __init__(self, id: str, state: str) -> None:
        super().__init__(f"Worker {id} takes no commands: it is {state}.", {"id": id})


class NoWorkersError(NotFoundError):
    """No living worker is meant."""

    def __init__(self, queue: str | None = None) -> None:
        meant = "is meant" if queue is None else f"works queue {named(queue)} that this user sees"
        super().__init__(f"No living worker {meant}; see: openiap-worker workers list.")


class SteeringForbiddenError(ForbiddenError):
    """This user may not steer a worker."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"This user may not steer worker {id}: its own user, administrators and its setting"
            " operators may.",
            {"id": id},
        )


class NotSteerableError(ConflictError):
    """A worker that takes no commands."""

    def __init__(self, id: str, why: str) -> None:
        super().__init__(f"Worker {id} takes no commands: {why}.", {"id": id, "why": why})


class CommandValueError(ValidationError):
    """A command that cannot be; the message names the part, its value and what is allowed."""

    def __init__(self, part: str, value: object, allowed: Sequence[str]) -> None:
        shown = str(value)[:100]
        super().__init__(
            f"{part} = {shown!r}; allowed: {', '.join(allowed)}.",
            {"part": part, "value": shown, "allowed": list(allowed)},
        )
