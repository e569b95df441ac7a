"""Unique pushes: while an item with that key is not finished, a second push returns it.

1. The item's id is chosen first and goes into the key's cell; then the item is inserted under it.
   Of two that push at the same instant one makes the cell, and both know the id.
2. Who finds a cell whose item is not there (its pusher died in between, or somebody deleted the
   item) inserts it under the very same id. So whoever else still does so finds it there: never two.
3. A finished item whose hold is over gives way: the cell is changed to a new id by exactly one. So
   does one that is being worked, where the push says ``unique_while="waiting"``.

Where this user may not write documents into ``workitems`` the item is pushed with its id in its
metadata (``insert.py``) and looked for there; two that push in the same moment can then make two.

An update of an item that waits is conditional with the native client: an item that is popped in
that moment keeps what it has. With the official one the item is read right before, so an item that
is popped in between can get the new payload too late, and then it counts for nothing but is stored.
An earlier time cannot be sent to a waiting item at all (OpenIAP reads it with ``retry`` alone), so
its whole document is written instead, and only where it is not due within the next minute, so that
nobody pops it meanwhile; an item that is due sooner keeps its time.
"""

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.item.metadata import KEY
from worker.item.new_item import DUE_AT_ONCE, NewItem, Push, Sent, chosen_id
from worker.item.unique import Unique, cell_name, ended, held_until
from worker.openiap.client import Client
from worker.openiap.fields import moment_of, number, object_of, text_of
from worker.openiap.reader import Reader
from worker.openiap.values import checked_payload, iso, json_text
from worker.openiap.workitem import NEW, JsonObject, Workitem
from worker.producer.insert import COLLECTION, Inserted, KnownQueues, insert
from worker.state.cells import LATE, Cells, Version
from worker.state.retrying import tried
from worker.state.server_clock import ServerClock
from worker.uptime import uptime

KIND: Final = "unique"
ID_FIELD: Final = "unique"
"""Of the payload's metadata: the id under which a pushed item is found."""
SOON: Final = timedelta(minutes=1)
AT_ONCE: Final = 5
PAUSE: Final = 0.2
"""Seconds between further tries for a key that others change all the time."""
PROJECTION: Final[JsonObject] = {
    "name": 1,
    "state": 1,
    "priority": 1,
    "nextrun": 1,
    "wiq": 1,
    "wiqid": 1,
    "_modified": 1,
    f"payload.{KEY}": 1,
}
NEEDED: Final[JsonObject] = {"state": 1, "priority": 1, "nextrun": 1, "_modified": 1}


class UniquePushes:
    """Pushes with keys, over any client; two messages for a key that is free.

    Args:
        client: a signed-in one.
        namespace: whose keys; see the setting of that name.
    """

    def __init__(self, client: Client, namespace: str = "") -> None:
        self._client = client
        self._reader = Reader(client, "work item")
        self._cells = Cells(client, namespace)
        self._clock = ServerClock(client, namespace)
        self._queues = KnownQueues(client)

    async def push(self, push: Push, unique: Unique) -> Sent:
        """Push an item, or find the one that has its key.

        Raises:
            QueueNotFound: no such queue, or no rights.
            OpenIAPError: no answer for a minute; to push again with the same key is safe.
        """
        checked_payload(json_text(push.payload), operation="push_workitem")
        found = await self._queues.of(push.queue)
        now = datetime.now(UTC)
        nextrun = push.nextrun
        if nextrun is None and found.initialdelay:
            nextrun = now + timedelta(seconds=found.initialdelay)
        item = NewItem(
            id=chosen_id(secrets.token_hex(16), now),
            queue=push.queue,
            payload=push.payload,
            name=push.name,
            priority=push.priority,
            nextrun=nextrun,
            wiqid=found.wiqid,
            acl=found.acl,
        )
        return await self.put(item, unique)

    async def put(self, item: NewItem, unique: Unique) -> Sent:
        """The same for an item whose id was chosen already; safe to repeat with that id.

        Raises:
            OpenIAPError: as for ``push``.
        """
        name = cell_name(item.queue, unique)
        content: JsonObject = {"item": item.id, "hold": unique.hold, "queue": item.queue}
        version = await self._cells.create(KIND, name, content, acl=item.acl)
        tries = 0
        while True:
            tries += 1
            if tries > AT_ONCE:  # others change it all the time, or it cannot be changed
                await asyncio.sleep(PAUSE)
            if version is None:
                version = await self._cells.tip(KIND, name)
            if version is None:
                version = await self._cells.create(KIND, name, content, acl=item.acl)
            elif version.removed:
                version = await self._cells.replace(version, content)
            elif uptime() - version.seen > LATE:
                version = None  # frozen since: the key may be another item's by now
            else:
                sent = await self._settled(version, item, unique)
                if sent is not None:
                    return sent
                version = await self._cells.replace(version, content)

    async def _settled(self, version: Version, item: NewItem, unique: Unique) -> Sent | None:
        """Return the item of a cell, inserted or found; None where the cell's item gives way."""
        id = text_of(version.content.get("item"))
        if not id:
            return None  # somebody spoiled it: the key is free
        if id == item.id:
            inserted = await self._inserted(item)
            return Sent(inserted.id, existing=not inserted.fresh)
        document = await tried(lambda: self._look(item.queue, id))
        if document is None:
            inserted = await self._inserted(replace(item, id=id))
            return Sent(inserted.id, existing=not inserted.fresh)
        there = str(document["_id"])
        if not ended(document):
            waits = document.get("state") == NEW
            updated = waits and unique.update
            if updated:
                updated = await tried(lambda: self._update(document, item))
                waits = updated or not unique.waiting or await self._waits(there)
            if unique.waiting and not waits:
                return None
            return Sent(there, existing=True, updated=updated)
        until = held_until(document, version.content.get("hold"))
        if until is not None and await tried(self._clock.now) < until:
            return Sent(there, existing=True)
        return None

    async def _waits(self, id: str) -> bool:
        """Whether an item that took no update waits all the same."""
        found = await tried(
            lambda: self._client.query(COLLECTION, {"_id": id}, {"state": 1}, top=1)
        )
        return bool(found) and found[0].get("state") == NEW

    async def _inserted(self, item: NewItem) -> Inserted:
        return await tried(lambda: insert(self._client, item, id_field=ID_FIELD))

    async def _look(self, queue: str, id: str) -> JsonObject | None:
        found = await self._reader.query(
            COLLECTION, {"_id": id}, PROJECTION, top=1, about=id, needed=NEEDED
        )
        if not found:
            elsewhere = {"wiq": queue, f"payload.{KEY}.{ID_FIELD}": id}
            found = await self._reader.query(
                COLLECTION, elsewhere, PROJECTION, top=1, about=id, needed=NEEDED
            )
        return found[0] if found else None

    async def _update(self, document: JsonObject, item: NewItem) -> bool:
        """Give a waiting item what the push brings; whether it took it."""
        payload = _payload(document, item)
        priority = min(number(document.get("priority")) or item.priority, item.priority)
        now = await self._clock.now()
        due, wanted = moment_of(document.get("nextrun")), item.nextrun or DUE_AT_ONCE
        if due is not None and wanted < due and due - now > SOON:
            return await self._written(document, payload, priority, wanted)
        if self._client.capabilities.conditional_updates:
            change = {"$set": {"payload": payload, "priority": priority}}
            waiting = {"_id": document["_id"], "state": NEW}
            if (await self._client.update_document(COLLECTION, waiting, change)).matched == 1:
                return True
            # Popped in this moment, or a document that this user may not update.
            left = await self._client.query(COLLECTION, waiting, {"state": 1}, top=1)
            if not left:
                return False
        # No state: an item that is popped in this moment stays where it is.
        update = Workitem(
            id=str(document["_id"]),
            name=str(document.get("name", "")),
            payload=payload,
            priority=priority,
            wiq=str(document.get("wiq", "")),
            wiqid=str(document.get("wiqid", "")),
        )
        return (await self._client.update_workitem(update)).state == NEW

    async def _written(
        self, document: JsonObject, payload: JsonObject, priority: int, nextrun: datetime
    ) -> bool:
        """Write the whole document of an item that nobody can pop now."""
        found = await self._client.query(COLLECTION, {"_id": document["_id"]}, top=1)
        if not found or found[0].get("state") != NEW:
            return False
        change = {"payload": payload, "priority": priority, "nextrun": iso(nextrun)}
        await self._client.update_one(COLLECTION, {**found[0], **change})
        return True


def _payload(document: JsonObject, item: NewItem) -> JsonObject:
    """Return the new payload, with the id by which the waiting item is found."""
    id = object_of(object_of(document.get("payload")).get(KEY)).get(ID_FIELD)
    if id is None:
        return item.payload
    return {**item.payload, KEY: {**object_of(item.payload.get(KEY)), ID_FIELD: id}}
