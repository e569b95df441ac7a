"""What goes wrong with workers."""

from collections.abc import Sequence

from worker.management.errors import ConflictError, ForbiddenError, NotFoundError, ValidationError


class WorkerNotFoundError(NotFoundError):
    """There is no such worker, or this user has no rights on its queues."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"There is no worker {id[:200]}, or this user has no rights on its queues; see:"
            " openiap-worker workers list.",
            {"id": id[:200]},
        )


class NoWorkersError(NotFoundError):
    """No living worker is meant."""

    def __init__(self) -> None:
        super().__init__("No living worker is meant; see: openiap-worker workers list.")


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
