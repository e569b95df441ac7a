"""Queues: what is asked for, and what is answered. Delays in seconds."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.engine.pause import Pause, pause_of
from worker.management.items.types import ErrorGroupResponse, ItemFilter
from worker.management.paging import Direction, PaginationParams
from worker.management.workers.types import HourResponse
from worker.openiap.fields import id_of, number, text_of
from worker.openiap.workitem import JsonObject

MOST_NAME: Final = 500
MOST_REASON: Final = 500
MOST_ATTEMPTS: Final = 1_000_000
MOST_DELAY: Final = 10 * 365 * 86_400
SortBy = Literal["name", "new", "processing", "failed", "oldest"]
Delay = Annotated[int, Field(ge=0, le=MOST_DELAY)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Named(_Asked):
    name: str = Field(max_length=MOST_NAME)


class QueueFilter(_Asked):
    """Which queues; all that is given must hold.

    Attributes:
        name: text that stands in the name, whatever its capitals.
        paused: paused ones alone, or those alone that are not.
    """

    name: str | None = Field(default=None, max_length=MOST_NAME)
    paused: bool | None = None


class QueueGetPayload(_Named):
    """One queue."""


class QueuesGetListPayload(_Asked):
    """All queues that this user may see."""

    filter: QueueFilter = QueueFilter()
    sort_by: SortBy = "name"
    sort_direction: Direction = "asc"


class QueuesGetPListPayload(PaginationParams[QueueFilter, SortBy]):
    """A page of queues."""

    filter: QueueFilter = QueueFilter()
    sort_by: SortBy = "name"
    sort_direction: Direction = "asc"


class QueueSettings(_Asked):
    """What a queue is told; without a value what is there stays, "" takes it away.

    Attributes:
        max_retries: attempts in all, the first one included.
        amqp_queue: the message queue that tells of waiting items.
        success_queue, failed_queue: where finished items go on to.
        workers: roles or users, by name, who get the right to work the queue.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"max_retries": 5, "retry_delay": 60}]}
    )

    max_retries: int | None = Field(default=None, ge=1, le=MOST_ATTEMPTS)
    retry_delay: Delay | None = None
    initial_delay: Delay | None = None
    amqp_queue: str | None = Field(default=None, max_length=MOST_NAME)
    success_queue: str | None = Field(default=None, max_length=MOST_NAME)
    failed_queue: str | None = Field(default=None, max_length=MOST_NAME)
    workers: list[str] = Field(default=[], max_length=100)


class QueueCreatePayload(QueueSettings, _Named):
    """A new queue; what has no value is OpenIAP's own default: 3 attempts, no delay."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "orders", "max_retries": 3, "retry_delay": 60, "failed_queue": ""}
            ]
        },
    )


class QueueUpdatePayload(QueueSettings, _Named):
    """Changes of a queue."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        return self == QueueUpdatePayload(name=self.name)


class QueueGetCountPayload(_Named):
    """How many items a queue has."""


class QueueDeletePayload(_Named):
    """A queue that is to go, with all its items."""


class QueuePurgePayload(_Named):
    """Items of a queue that are to go.

    Attributes:
        filter: which; without one all, whatever their state. With one, none that is processed.
        before: with a filter: what changed since then is left alone.
    """

    filter: ItemFilter = ItemFilter()
    before: datetime | None = None


class QueuePause(_Asked):
    """Why a queue is paused, and for how long.

    Attributes:
        reason: for those who look.
        until: when it ends by itself; without a time zone in UTC.
        seconds: the same from now on; give one of both, or neither: until somebody resumes it.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "the bank is shut", "seconds": 7200}]},
    )

    reason: str = Field(default="", max_length=MOST_REASON)
    until: datetime | None = Field(default=None)
    seconds: float | None = Field(default=None, gt=0, le=MOST_DELAY)


class QueuePausePayload(QueuePause, _Named):
    """A queue that nobody is to pop for now."""


class QueueResumePayload(_Named):
    """A queue that is to be popped again."""


class PauseResponse(BaseModel):
    """Who paused a queue, why, since when and until when."""

    reason: str
    by: str
    since: datetime | None
    until: datetime | None


class QueueItemsResponse(BaseModel):
    """How many items a queue has, by state."""

    new: int = 0
    processing: int = 0
    successful: int = 0
    failed: int = 0


class QueueResponse(BaseModel):
    """A queue in a list.

    Attributes:
        max_retries: attempts in all.
        items: None where they were not counted.
        oldest_waiting: seconds since the oldest waiting item became due; None without one.
        workers: how many were heard of in the last minute; slots: what they may have in flight.
        paused: None while it is popped.
        advice: what is unwise about it, a sentence each.
    """

    name: str
    id: str
    max_retries: int
    retry_delay: int
    initial_delay: int
    amqp_queue: str
    success_queue: str
    failed_queue: str
    items: QueueItemsResponse | None = None
    oldest_waiting: float | None = None
    workers: int | None = None
    slots: int | None = None
    paused: PauseResponse | None = None
    advice: list[str] = []


class QueueDetailResponse(QueueResponse):
    """A queue whole.

    Attributes:
        due: items that wait and are due.
        oldest_processing: seconds since the item longest in processing was popped.
        items_per_second: that ended in the last minute.
        last_hour: what its workers tell of the last hour; None where none tells.
        errors: what fails in it, the largest groups first.
    """

    due: int = 0
    oldest_processing: float | None = None
    items_per_second: float = 0.0
    last_hour: HourResponse | None = None
    errors: list[ErrorGroupResponse] = []


class QueuePurgeResponse(BaseModel):
    """What a purge did.

    Attributes:
        deleted: items.
        changed: items that were left alone, since they changed meanwhile.
        failed: items that could not be deleted.
    """

    queue: str
    deleted: int
    changed: int = 0
    failed: int = 0


def queue_of(document: JsonObject, now: datetime) -> QueueResponse:
    """Read a queue's document (server.md, Documents)."""
    return QueueResponse(
        name=text_of(document.get("name")),
        id=id_of(document),
        max_retries=number(document.get("maxretries")),
        retry_delay=number(document.get("retrydelay")),
        initial_delay=number(document.get("initialdelay")),
        amqp_queue=text_of(document.get("amqpqueue")),
        success_queue=text_of(document.get("success_wiq")),
        failed_queue=text_of(document.get("failed_wiq")),
        paused=paused_of(pause_of(document), now),
        advice=advice_for(document),
    )


def paused_of(pause: Pause | None, now: datetime) -> PauseResponse | None:
    """Return a pause that is not over."""
    if pause is None or not pause.holds(now):
        return None
    return PauseResponse(reason=pause.reason, by=pause.by, since=pause.since, until=pause.until)


def advice_for(document: JsonObject) -> list[str]:
    """Return what is unwise about a queue, a sentence each."""
    found = []
    attempts, delay = number(document.get("maxretries")), number(document.get("retrydelay"))
    if attempts > 1 and not delay:
        found.append(
            f"{attempts} attempts and no delay: what is away for a second fails an item for good;"
            " with a delay of 60 s it has a minute to come back."
        )
    if not text_of(document.get("failed_wiq")):
        found.append(
            "No failed queue: failed items stay where they are, and nobody is told of them;"
            " a failed queue takes them to one of their own."
        )
    return found
