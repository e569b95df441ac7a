"""The rules of work items, pure: what a push makes and what an update decides.

Every rule is OpenIAP's, observed on the real server. Times are milliseconds since 1970.
"""

from dataclasses import dataclass
from typing import Any, Final

from worker.localserver.storage.errors import RefusedError

NEW: Final = "new"
PROCESSING: Final = "processing"
SUCCESSFUL: Final = "successful"
FAILED: Final = "failed"
RETRY: Final = "retry"
UPDATE_STATES: Final = (FAILED, SUCCESSFUL, PROCESSING, RETRY)

DEFAULT_PRIORITY: Final = 2
DEFAULT_NAME: Final = "New work item"
DEFAULT_MAXRETRIES: Final = 3
BUSINESS: Final = "business"
APPLICATION: Final = "application"


@dataclass(slots=True)
class StoredItem:
    """A work item as it is stored; payload and ``extra`` (what clients added) stay JSON text."""

    id: str
    wiqid: str
    wiq: str
    state: str
    priority: int
    nextrun: int | None
    lastrun: int | None
    retries: int
    name: str
    payload: str
    files: list[dict[str, str]]
    userid: str = ""
    username: str = ""
    errormessage: str = ""
    errorsource: str = ""
    errortype: str = ""
    success_wiq: str = ""
    success_wiqid: str = ""
    failed_wiq: str = ""
    failed_wiqid: str = ""
    version: int = 0
    modified: int = 0
    modifiedby: str = ""
    modifiedbyid: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """What a work item queue says about its items; delays are seconds.

    Attributes:
        acl: its list of rights, as JSON text: its items take it over.
    """

    id: str
    name: str
    acl: str = "[]"
    maxretries: int = DEFAULT_MAXRETRIES
    retrydelay: int = 0
    initialdelay: int = 0
    amqpqueue: str = ""
    packageid: str = ""
    success_wiq: str = ""
    success_wiqid: str = ""
    failed_wiq: str = ""
    failed_wiqid: str = ""


@dataclass(slots=True)  # not frozen: one per update, and freezing makes it three times as dear
class ItemUpdate:
    """An update as a client asks for it; empty text and 0 keep what is stored."""

    state: str = ""
    payload: str | None = None
    nextrun: int | None = None
    name: str = ""
    priority: int = 0
    errormessage: str = ""
    errorsource: str = ""
    errortype: str = ""
    success_wiq: str = ""
    success_wiqid: str = ""
    failed_wiq: str = ""
    failed_wiqid: str = ""
    ignoremaxretries: bool = False


@dataclass(frozen=True, slots=True)
class ChainTarget:
    """Where a finished item's copy goes: a queue by name or by id."""

    wiq: str = ""
    wiqid: str = ""


def requested_state(text: str, present: str) -> str:
    """Return the state that an update asks for, "" to keep the present one.

    ``new`` may be asked for where it is the present state, as clients do that send back what a
    push returned.

    Raises:
        RefusedError: it is none that an update may ask for.
    """
    state = text.lower()
    if state == present == NEW:
        return ""
    if state and state not in UPDATE_STATES:
        raise RefusedError(
            f"Illegal state {text} on Workitem, must be failed, successful, processing or retry"
        )
    return state


def apply_update(
    item: StoredItem, update: ItemUpdate, queue: Queue, now: int
) -> tuple[StoredItem, ChainTarget | None]:
    """Decide what an update makes of an item.

    Args:
        item: the item as stored, in any state; it is not changed.
        update: what the client asks for.
        queue: the item's queue.
        now: the server's time.

    Returns:
        The item to store, and where a copy is to be pushed if the change of state asks for one.

    Raises:
        RefusedError: an illegal state.
    """
    state = requested_state(update.state, item.state)
    # Written out: this is the path of every item, and dataclasses.replace costs ten times as much.
    updated = StoredItem(
        id=item.id,
        wiqid=item.wiqid,
        wiq=item.wiq,
        state=item.state,
        priority=update.priority or item.priority,
        nextrun=item.nextrun,
        lastrun=item.lastrun,
        retries=item.retries,
        name=update.name or item.name,
        payload=update.payload if update.payload is not None else item.payload,
        files=item.files,
        userid=item.userid,
        username=item.username,
        errormessage=item.errormessage,
        errorsource=update.errorsource or item.errorsource,
        errortype=item.errortype,
        success_wiq=update.success_wiq or item.success_wiq,
        success_wiqid=update.success_wiqid or item.success_wiqid,
        failed_wiq=update.failed_wiq or item.failed_wiq,
        failed_wiqid=update.failed_wiqid or item.failed_wiqid,
        version=0,
        modified=now,
        modifiedby=item.modifiedby,
        modifiedbyid=item.modifiedbyid,
        extra=item.extra,
    )
    if update.errormessage:
        updated.errormessage = update.errormessage
        updated.errortype = update.errortype or APPLICATION
    if state == RETRY:
        _retry(updated, update, queue, now)
    elif state:
        updated.state = state
        if state == PROCESSING and item.state != PROCESSING:
            updated.lastrun = now
    if updated.state != NEW:
        updated.nextrun = None
    return updated, _chain(item.state, updated, queue)


def _retry(item: StoredItem, update: ItemUpdate, queue: Queue, now: int) -> None:
    if update.errortype == BUSINESS and not update.ignoremaxretries:
        item.state = FAILED
    elif item.retries + 1 < queue.maxretries or update.ignoremaxretries:
        item.state = NEW
        item.retries += 1
        item.userid = item.username = ""
        item.nextrun = now + queue.retrydelay * 1000 if update.nextrun is None else update.nextrun
    else:
        item.state = FAILED


def _chain(before: str, item: StoredItem, queue: Queue) -> ChainTarget | None:
    """Return where a copy goes; only a change of state makes one, a repeat does not."""
    if item.state == before:
        return None
    if item.state == SUCCESSFUL:
        own = ChainTarget(item.success_wiq, item.success_wiqid)
        of_queue = ChainTarget(queue.success_wiq, queue.success_wiqid)
    elif item.state == FAILED:
        own = ChainTarget(item.failed_wiq, item.failed_wiqid)
        of_queue = ChainTarget(queue.failed_wiq, queue.failed_wiqid)
    else:
        return None
    for target in (own, of_queue):
        if target.wiq or target.wiqid:
            return target
    return None


def payload_of_push(value: Any) -> Any:
    """Return what OpenIAP stores for a pushed payload: always an object or an array."""
    if isinstance(value, (dict, list)):
        return value
    if value is None or value is False or value == "" or value == 0:
        return {}
    return {"value": value}


def payload_of_update(value: Any) -> Any:
    """Return what OpenIAP stores for an updated payload, None to keep the stored one."""
    if value is None or isinstance(value, (dict, list)):
        return value
    return {"value": value}
