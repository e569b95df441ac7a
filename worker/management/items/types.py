"""Items: what is asked for, and what is answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.item.cancelled import MAX_REASON
from worker.management.items.item_groups import ItemGroup
from worker.management.items.links import ItemLink
from worker.management.paging import Direction, PaginationParams

State = Literal["new", "processing", "successful", "failed"]
STATES: Final = ("new", "processing", "successful", "failed")
Operator = Literal["=", "!=", ">", ">=", "<", "<=", "in"]
Scalar = str | int | float | bool | None

SortBy = Literal[
    "created",
    "modified",
    "name",
    "priority",
    "state",
    "queue",
    "nextrun",
    "lastrun",
    "retries",
    "errortype",
    "errormessage",
]
SORT_FIELDS: Final[Mapping[str, str]] = {
    "created": "_created",
    "modified": "_modified",
    "name": "name",
    "priority": "priority",
    "state": "state",
    "queue": "wiq",
    "nextrun": "nextrun",
    "lastrun": "lastrun",
    "retries": "retries",
    "errortype": "errortype",
    "errormessage": "errormessage",
}
MOST_IDS: Final = 1_000
MOST_TEXT: Final = 500


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PayloadCondition(_Asked):
    """A payload's field compared with a value; ``in`` takes a list."""

    field: str = Field(max_length=200, examples=["payload.customer"])
    op: Operator = "="
    value: Scalar | list[Scalar]


class ItemFilter(_Asked):
    """What items fulfil; all that is given must hold.

    Attributes:
        error: text that stands in the error's message, whatever its capitals.
        error_pattern: a plain regular expression that the message has.
        error_kind: ``business``: the item was wrong; ``application``: something around it.
        error_class, error_code: of the exception that ended the last attempt.
        worker: the name of the worker that failed it last, or the user who works it.
        key: which the item waits for.
        since, until: when it was changed last.
        min_attempts, max_attempts: how many were begun.
        group: the id of a group of errors (``get_groups``).
    """

    ids: list[str] = Field(default=[], max_length=MOST_IDS)
    queue: str | None = Field(default=None, max_length=MOST_TEXT)
    states: list[State] = Field(default=[], max_length=4)
    error: str | None = Field(default=None, max_length=MOST_TEXT)
    error_pattern: str | None = Field(default=None, max_length=MOST_TEXT)
    error_kind: Literal["business", "application"] | None = None
    error_class: str | None = Field(default=None, max_length=200)
    error_code: str | None = Field(default=None, max_length=200)
    name: str | None = Field(default=None, max_length=MOST_TEXT)
    worker: str | None = Field(default=None, max_length=200)
    key: str | None = Field(default=None, max_length=200)
    since: datetime | None = None
    until: datetime | None = None
    min_attempts: int | None = Field(default=None, ge=0, le=1_000_000)
    max_attempts: int | None = Field(default=None, ge=0, le=1_000_000)
    payload: list[PayloadCondition] = Field(default=[], max_length=10)
    group: str | None = Field(default=None, max_length=40)

    @property
    def is_empty(self) -> bool:
        """Whether every item fulfils it."""
        return self == ItemFilter()


class ItemGetPayload(_Asked):
    """One item."""

    id: str = Field(max_length=MOST_TEXT)


class ItemGetHistoryPayload(_Asked):
    """The timeline of one item."""

    id: str = Field(max_length=MOST_TEXT)


class ItemsGetListPayload(_Asked):
    """The first so many items, all at once."""

    filter: ItemFilter = ItemFilter()
    sort_by: SortBy = "created"
    sort_direction: Direction = "desc"
    limit: int = Field(default=50, ge=1)


class ItemsGetPListPayload(PaginationParams[ItemFilter, SortBy]):
    """A page of items."""

    filter: ItemFilter = ItemFilter()
    sort_by: SortBy = "created"


class ItemsGetCountPayload(_Asked):
    """How many items there are."""

    filter: ItemFilter = ItemFilter()


class ItemsGetGroupsPayload(_Asked):
    """Groups of errors; of failed items where no state is given."""

    filter: ItemFilter = ItemFilter()


class ItemsWatchPayload(_Asked):
    """Items that are to be shown whenever they change."""

    filter: ItemFilter = ItemFilter()


class ItemRetryPayload(_Asked):
    """An item that is to be tried again; ``force``: although somebody may be working it."""

    id: str = Field(max_length=MOST_TEXT)
    force: bool = False


class ItemDeletePayload(_Asked):
    """An item that is to go, with its files."""

    id: str = Field(max_length=MOST_TEXT)


class _Batch(_Asked):
    """Items to be changed.

    Attributes:
        before: leave alone what changed after this moment of the server's clock. A change that is
            sent again with the moment that the first answer told, or that stood in ``began``,
            changes each item once.
    """

    filter: ItemFilter
    before: datetime | None = None


class ItemsRetryBatchPayload(_Batch):
    """Items to be tried again: at once, at a time, spread over so many seconds from then."""

    at: datetime | None = None
    spread: float = Field(default=0.0, ge=0, le=365 * 86_400)


class ItemsCancelBatchPayload(_Batch):
    """Items that are not to be worked, or not to their end; ``reason`` is shown on each.

    ``before`` tells of those alone that were pushed before it: that one runs by now which waited
    is no reason to let it run.
    """

    reason: str = Field(default="", max_length=MAX_REASON)


class ItemsDeleteBatchPayload(_Batch):
    """Items that are to go, with their files."""


class ItemsMoveBatchPayload(_Batch):
    """Waiting and failed items for another queue."""

    to: str = Field(min_length=1, max_length=MOST_TEXT)


class ItemsUpdateBatchPayload(_Batch):
    """Another priority, or a JSON Merge Patch (RFC 7396) for payloads, of waiting and failed
    items."""

    priority: int | None = Field(default=None, ge=-1_000_000, le=1_000_000)
    patch: dict[str, Any] | None = None


BatchPayload = (
    ItemsRetryBatchPayload
    | ItemsCancelBatchPayload
    | ItemsDeleteBatchPayload
    | ItemsMoveBatchPayload
    | ItemsUpdateBatchPayload
)


class ItemFile(BaseModel):
    """A file of an item; ``bytes`` where its size is known."""

    name: str
    id: str
    bytes: int | None = None


class ItemWorker(BaseModel):
    """A worker; ``host`` is "" where that is not known."""

    name: str
    host: str = ""


class ItemResponse(BaseModel):
    """An item as lists show it; moments as OpenIAP writes them.

    Attributes:
        attempts: how many were begun.
        waits: why a parked item waits.
    """

    id: str
    name: str | None = None
    queue: str | None = None
    state: str | None = None
    priority: int | None = None
    attempts: int = 0
    retries: int = 0
    nextrun: str | None = None
    lastrun: str | None = None
    username: str | None = None
    created: str | None = None
    modified: str | None = None
    errortype: str | None = None
    errormessage: str | None = None
    waits: str | None = None


class ItemDetailResponse(ItemResponse):
    """An item whole.

    Attributes:
        headers: the texts that were pushed beside the payload.
        trace: the id of the trace that it is of, 32 hexadecimal digits.
        worker: who works it, or ended its last attempt, where anything tells.
        parent: what it comes from.
        children: what came of it, at most 100; ``more_children``: there are others.
        group: the group that it is of, with how far that is.
        payload: as it is stored, with what the worker keeps there (``worker/item/metadata.py``).
    """

    errorsource: str | None = None
    headers: dict[str, str] = {}
    trace: str | None = None
    worker: ItemWorker | None = None
    payload: Any = None
    files: list[ItemFile] = []
    parent: ItemLink | None = None
    children: list[ItemLink] = []
    more_children: bool = False
    group: ItemGroup | None = None


class ErrorSample(BaseModel):
    """An item that failed in a group's way."""

    id: str
    queue: str
    message: str


class ErrorGroupResponse(BaseModel):
    """Errors whose messages differ only in ids, numbers, quoted text and the like.

    Attributes:
        id: for ``group`` in a filter; the same wherever and whenever it is made.
        message: with a word like ``<number>`` where they differ.
        first, last: when the first and the last of its items was changed.
    """

    id: str
    message: str
    code: str | None
    count: int
    queues: dict[str, int]
    first: str | None
    last: str | None
    sample: ErrorSample


class ItemFailure(BaseModel):
    """What could not be done with one item."""

    id: str
    reason: str


class BatchPreviewResponse(BaseModel):
    """What a change of many items would do.

    Attributes:
        count: how many items there are; those in a state that the change leaves alone count not.
        sample: some of them.
        attempts_left: of a retry, how many items would have so many attempts.
        running: of a cancelling, how many items run, whose workers would be told to end them.
        conditional: whether each item is changed only if it still is as it was seen, in one step;
            else it is read right before, which leaves a moment for others.
        before: what to give along, so that a repeat changes nothing twice.
    """

    count: int
    sample: list[ItemResponse]
    attempts_left: dict[int, int] = {}
    running: int = 0
    conditional: bool
    before: datetime


class BatchResponse(BaseModel):
    """What a change of many items has done.

    Attributes:
        done: so many were changed.
        stopping: so many of those run, and their workers are told to end them.
        changed: so many were left alone, since somebody changed them meanwhile.
        failed: so many could not be changed; ``failures`` has the first of them with their reasons.
        conditional, before: as for the preview.
    """

    done: int = 0
    stopping: int = 0
    changed: int = 0
    failed: int = 0
    failures: list[ItemFailure] = []
    conditional: bool = True
    before: datetime
