"""Workers: what is asked for, and what is answered."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.management.paging import Direction, PaginationParams

WorkerState = Literal["working", "quiet", "dead", "gone"]
SortBy = Literal["id", "host", "since", "seen", "state", "in_flight"]
Action = Literal["quiet", "resume", "stop", "concurrency", "log_level", "stacks"]
MOST_IDS: Final = 500
MOST_TEXT: Final = 500
MOST_MINUTES: Final = 60


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WorkerFilter(_Asked):
    """What workers fulfil; all that is given must hold.

    Attributes:
        queue: one that they work.
        states: ``working``; ``quiet``: told to take no items; ``dead``: silent for long without a
            goodbye; ``gone``: ended within the last hour.
        trouble: whether something is amiss: dead, not ready, or a queue that cannot be popped.
    """

    ids: list[str] = Field(default=[], max_length=MOST_IDS)
    queue: str | None = Field(default=None, max_length=MOST_TEXT)
    states: list[WorkerState] = Field(default=[], max_length=4)
    trouble: bool | None = None


class WorkerGetPayload(_Asked):
    """One worker."""

    id: str = Field(max_length=MOST_TEXT)


class WorkersGetListPayload(_Asked):
    """All workers, with what each does now."""

    filter: WorkerFilter = WorkerFilter()
    sort_by: SortBy = "id"
    sort_direction: Direction = "asc"


class WorkersGetPListPayload(PaginationParams[WorkerFilter, SortBy]):
    """A page of workers."""

    filter: WorkerFilter = WorkerFilter()
    sort_by: SortBy = "id"
    sort_direction: Direction = "asc"


class WorkersGetHourPayload(_Asked):
    """The last hour of a fleet, or of some of its workers."""

    filter: WorkerFilter = WorkerFilter()


class _Steer(_Asked):
    action: Action
    queue: str = Field(default="", max_length=MOST_TEXT)
    value: int | str | None = None
    within: float = Field(default=30.0, ge=1.0, le=3_600.0)


class WorkerSteerPayload(_Steer):
    """What a worker is to do; see ``WorkersSteerBatchPayload``."""

    id: str = Field(max_length=MOST_TEXT)


class WorkersSteerBatchPayload(_Steer):
    """What workers are to do.

    Attributes:
        filter: which; those that are gone or dead are left out. An empty one is all.
        queue, value: of ``concurrency`` (1 to 10,000); of ``log_level`` the level alone.
        within: seconds after which the command is not done any more, and for which an answer is
            waited for.
    """

    filter: WorkerFilter = WorkerFilter()


class QueueMinute(BaseModel):
    """One minute of a queue, as ``at`` began; see ``HourResponse`` for what the numbers mean."""

    at: datetime
    successful: int
    failed: int
    retried: int
    released: int
    wait_median: float | None = None
    wait_95: float | None = None
    run_median: float | None = None
    run_95: float | None = None


class HourResponse(BaseModel):
    """The last hour of a queue, by the workers that told.

    Attributes:
        successful, failed, retried, released: attempts that ended so; ``released`` were handed back
            and cost none.
        per_minute: attempts that ended, on average over the hour.
        wait_median, wait_95, run_median, run_95: seconds; None where there was nothing.
        minutes: those with something in them, oldest first.
    """

    queue: str
    successful: int = 0
    failed: int = 0
    retried: int = 0
    released: int = 0
    per_minute: float = 0.0
    wait_median: float | None = None
    wait_95: float | None = None
    run_median: float | None = None
    run_95: float | None = None
    minutes: list[QueueMinute] = []


class WorkerItem(BaseModel):
    """An item in flight.

    Attributes:
        since: when it was popped, by the server's clock.
        progress, text: as the handler told last.
        deadline: when its handler's timeout strikes.
    """

    id: str
    queue: str
    handler: str = ""
    attempt: int
    since: datetime | None = None
    seconds: float | None = None
    progress: float | None = None
    text: str = ""
    deadline: datetime | None = None


class WorkerQueue(BaseModel):
    """A queue as a worker has it: how many items it works at once, and what it did since its start.

    Attributes:
        free: how many it would take now.
        trouble: why it cannot be popped, or "".
    """

    name: str
    handler: str = ""
    concurrency: int
    free: int
    in_flight: int
    per_second: float
    counts: dict[str, int] = {}
    trouble: str = ""


class AnswerResponse(BaseModel):
    """What became of a command, as its worker told; ``by``: who gave it, as the server says."""

    id: str
    action: str
    done: bool
    text: str
    by: str
    at: datetime | None


class WorkerResponse(BaseModel):
    """A worker as lists show it.

    Attributes:
        since: when it began; seen: when it was heard of last; silent: seconds since then.
        quiet: why and by whom it takes no items, or "".
        not_ready: why it is not ready, by the name of what is amiss.
        outbox: items that are not settled on its disk.
        steerable: whether it takes commands.
        trouble: all that is amiss, in a sentence; "" for nothing.
    """

    id: str
    state: WorkerState
    host: str
    pid: int
    version: str
    namespace: str
    since: datetime | None
    seen: datetime | None
    silent: float
    queues: list[WorkerQueue]
    in_flight: int
    per_second: float
    outbox: int
    log_level: str
    quiet: str
    not_ready: dict[str, str]
    steerable: bool
    trouble: str


class WorkerDetailResponse(WorkerResponse):
    """A worker whole."""

    items: list[WorkerItem]
    hour: list[HourResponse]
    answers: list[AnswerResponse]


class SteeredResponse(BaseModel):
    """What became of a command at one worker.

    Attributes:
        done: whether the worker did it; text: what it said, or why not.
    """

    worker: str
    done: bool
    text: str


class WorkersSteerBatchResponse(BaseModel):
    """What became of a command."""

    action: Action
    workers: list[SteeredResponse]

    @property
    def failed(self) -> int:
        """How many did not do it."""
        return sum(not one.done for one in self.workers)
