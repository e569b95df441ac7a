"""A push with queues of its own for what comes after it: ``success_wiq``, ``failed_wiq``.

OpenIAP reads them under other names than the protocol has, so in a push they never arrive, and
nothing says so. In an item's document they do: so the item is stored as a document, whole, before
anybody can pop it. A queue that is not there is refused now: OpenIAP would say so when the work is
done, and push nothing.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.openiap.errors import AccessDenied, QueueNotFound
from worker.openiap.fields import id_of, number, objects_of, text_of
from worker.openiap.values import iso
from worker.openiap.workitem import NEW, JsonObject, Workitem, WorkitemFile

DUE_AT_ONCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
Query = Callable[[JsonObject, JsonObject], Awaitable[list[JsonObject]]]
Insert = Callable[[JsonObject], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class ChainTargets:
    """Where copies of an item go, by name or id."""

    success_wiqid: str = ""
    failed_wiqid: str = ""
    success_wiq: str = ""
    failed_wiq: str = ""

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.success_wiqid or self.failed_wiqid or self.success_wiq or self.failed_wiq)


async def push_chained(
    targets: ChainTargets,
    item: Workitem,
    files: Sequence[WorkitemFile],
    query: Query,
    insert: Insert,
) -> Workitem:
    """Store an item with its targets, and return it.

    Args:
        item: with its queue's name or id.
        files: stored already.
        query: of the queues' documents: a query and a projection.
        insert: stores an item's document.

    Raises:
        QueueNotFound: no such queue, or no rights, one of the targets among them.
        AccessDenied: this user may not write items as documents.
    """
    queue = await _queue(query, item.wiq, item.wiqid, "")
    chain: JsonObject = {}
    for field, name, id in (
        ("success_wiq", targets.success_wiq, targets.success_wiqid),
        ("failed_wiq", targets.failed_wiq, targets.failed_wiqid),
    ):
        if name or id:
            found = await _queue(query, name, id, f"{field} = ")
            chain |= {field: text_of(found.get("name")), f"{field}id": id_of(found)}
    delay, nextrun = number(queue.get("initialdelay")), item.nextrun
    if nextrun is None and delay:
        nextrun = datetime.now(UTC) + timedelta(seconds=delay)
    id = f"{int(time.time()) & 0xFFFFFFFF:08x}{secrets.token_hex(8)}"
    name, priority = item.name or "New work item", item.priority or 2
    document: JsonObject = {
        "_id": id,
        "_type": "workitem",
        "name": name,
        "payload": item.payload,
        "state": NEW,
        "priority": priority,
        "retries": 0,
        "nextrun": iso(nextrun or DUE_AT_ONCE),
        "wiq": text_of(queue.get("name")),
        "wiqid": id_of(queue),
        "files": [{"name": one.filename, "filename": one.filename, "_id": one.id} for one in files],
        **chain,
    }
    acl = objects_of(queue.get("_acl"))
    if acl:
        document["_acl"] = acl
    try:
        await insert(document)
    except AccessDenied as error:
        raise AccessDenied(
            "success_wiq and failed_wiq of a push are only kept in the item's document, which this"
            f" user may not write: set them on the queue {document['wiq']} ({error.text})",
            operation="push_workitem",
        ) from error
    return Workitem(
        id=id,
        name=name,
        payload=item.payload,
        priority=priority,
        nextrun=nextrun or DUE_AT_ONCE,
        state=NEW,
        wiq=document["wiq"],
        wiqid=document["wiqid"],
        files=list(files),
        success_wiq=chain.get("success_wiq", ""),
        success_wiqid=chain.get("success_wiqid", ""),
        failed_wiq=chain.get("failed_wiq", ""),
        failed_wiqid=chain.get("failed_wiqid", ""),
    )


async def _queue(query: Query, name: str, id: str, what: str) -> JsonObject:
    which: JsonObject = {"_id": id} if id else {"name": name}
    wanted: JsonObject = {"name": 1, "_acl": 1, "initialdelay": 1}
    found = await query({"_type": "workitemqueue", **which}, wanted)
    if not found:
        raise QueueNotFound(
            f"{what}queue {id or name} does not exist, or this user has no rights on it",
            operation="push_workitem",
        )
    return found[0]
