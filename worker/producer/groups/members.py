"""A group's members: put into their queues, each once, and looked at.

1. They are inserted as documents, many in a message, under the ids that follow from their group. An
   id that is taken says that it was done: what is missing is asked for and put there.
2. Where this user may not write documents, they are pushed the ordinary way with their group's
   mark, after a look at which are there. Weaker: two who do so in the same moment may both push.
3. What is known of them is asked of the items themselves: those of a group lie side by side in the
   index on ``_id``.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from worker.item.group import ids_of, mark_of_member, marked, member_id, member_of
from worker.item.group_desk import GroupMember, GroupPlan
from worker.item.group_handle import FIRST_PAGE, PAGE, size_of
from worker.item.metadata import GROUP, KEY
from worker.item.new_item import FollowUp, Push
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DuplicateKey, OpenIAPError, QueueNotFound
from worker.openiap.fields import number, object_of, text_of
from worker.openiap.large import apart
from worker.openiap.reader import Reader
from worker.openiap.values import json_text
from worker.openiap.workitem import FAILED, NEW, PROCESSING, SUCCESSFUL, JsonObject, Workitem
from worker.producer.groups.record import Record
from worker.producer.insert import COLLECTION, KnownQueue, insert
from worker.state.retrying import passes, tried

ID_FIELD: Final = "follow_up"
STATES: Final = (NEW, PROCESSING, SUCCESSFUL, FAILED)
BATCH: Final = 500
BATCH_BYTES: Final = 1024 * 1024
TRIES: Final = 12
"""Of one batch, whose answers are lost or find some of it there."""
PAUSE: Final = 0.25
IN_FLIGHT: Final = 8
AT_ONCE: Final = 2 * 1024 * 1024
"""Bytes of payloads in an answer."""
MARK: Final = f"payload.{KEY}.{GROUP}"
NEEDED: Final[JsonObject] = {"state": 1, "wiq": 1}
PROJECTION: Final[JsonObject] = {
    **NEEDED,
    "payload": 1,
    "errormessage": 1,
    "errortype": 1,
}


class Members:
    """The members of groups, over a client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reader = Reader(client, "work item", large=True)
        self._fit = FIRST_PAGE
        """How many documents of members fit into an answer, as the last ones did."""

    async def put(
        self, record: Record, plan: GroupPlan[Push], queues: dict[str, KnownQueue]
    ) -> list[str]:
        """Put all into their queues; safe to repeat.

        Returns:
            The queues whose items are known by their marks.

        Raises:
            OpenIAPError: some are there, and calling again makes the rest.
        """
        by_mark: set[str] = set()
        for start, end in _batches(plan.members):
            some = plan.members[start:end]
            items = await apart(True, _items, record, some, start, queues)
            documented = [item for item in items if item.wiqid and item.queue not in by_mark]
            try:
                await self._insert(documented)
            except (AccessDenied, QueueNotFound):
                by_mark |= {item.queue for item in documented}
            rest = [item for item in items if not item.wiqid or item.queue in by_mark]
            by_mark |= {item.queue for item in rest}
            if rest:
                await self._push(record.id, rest)
        return sorted(by_mark)

    async def _insert(self, items: Sequence[FollowUp]) -> None:
        left = list(items)
        for tries in range(TRIES):
            if not left:
                return
            if tries:
                await asyncio.sleep(PAUSE * min(tries, 8))
            try:
                documents = [item.document() for item in left]
                await self._client.insert_many(COLLECTION, documents, skipresults=True)
            except DuplicateKey:
                pass
            except OpenIAPError as error:
                if not passes(error):
                    raise
            else:
                return
            there = await self._there([item.id for item in left])
            left = [item for item in left if item.id not in there]
        for item in left:  # there, and not to be seen; or a link that breaks over so many
            await tried(partial(insert, self._client, item, id_field=ID_FIELD))

    async def _there(self, ids: Sequence[str]) -> set[str]:
        query: JsonObject = {"_id": {"$in": list(ids)}}
        found = await tried(lambda: self._client.query(COLLECTION, query, {"_id": 1}, top=len(ids)))
        return {text_of(document.get("_id")) for document in found}

    async def _push(self, group: str, items: Sequence[FollowUp]) -> None:
        """Push the ordinary way those that are not there."""

        async def once() -> None:
            there = await self._marked(group, items)
            left = [item for item in items if _place(item) not in there]
            if self._client.capabilities.bulk_push:
                for queue in dict.fromkeys(item.queue for item in left):
                    some = [_workitem(item) for item in left if item.queue == queue]
                    await self._client.push_workitems(queue, some)
                return
            turn = asyncio.Semaphore(IN_FLIGHT)
            await asyncio.gather(*(self._push_one(item, turn) for item in left))

        await tried(once)

    async def _push_one(self, item: FollowUp, turn: asyncio.Semaphore) -> None:
        async with turn:
            await self._client.push_workitem(
                item.queue,
                _workitem(item).payload,
                name=item.name,
                priority=item.priority,
                nextrun=item.nextrun,
            )

    async def _marked(self, group: str, items: Sequence[FollowUp]) -> set[int]:
        first, last = _place(items[0]), _place(items[-1])
        query: JsonObject = {
            "wiq": {"$in": sorted({item.queue for item in items})},
            f"{MARK}.id": group,
            f"{MARK}.n": {"$gte": first, "$lte": last},
        }
        found = await self._client.query(COLLECTION, query, {f"{MARK}.n": 1}, top=2 * BATCH)
        return {_mark(document) for document in found}

    async def counts(self, record: Record) -> dict[str, int]:
        """Return how many members are in each state, in one message."""
        stages = [
            {"$match": self._query(record)},
            {"$group": {"_id": {"state": "$state"}, "count": {"$sum": 1}}},
            {"$limit": 10},
        ]
        found = await tried(lambda: self._client.aggregate(COLLECTION, stages))
        counted = dict.fromkeys(STATES, 0)
        for one in found:
            counted[text_of(object_of(one.get("_id")).get("state"))] = number(one.get("count"))
        return counted

    async def page(self, record: Record, after: int, most: int) -> list[GroupMember]:
        """Return up to so many members from a place on, in order, one for each place; fewer where
        what they were pushed with is large."""
        most = min(most, self._fit)
        by_id: JsonObject = {"_id": ids_of(record.id, after)}
        found = await self._asked(record.id, by_id, {"_id": 1}, most)
        if record.marked:
            by_mark: JsonObject = {
                "wiq": {"$in": list(record.marked)},
                f"{MARK}.id": record.id,
                f"{MARK}.n": {"$gte": after},
            }
            found += await self._asked(record.id, by_mark, {f"{MARK}.n": 1}, most)
        size = sum(size_of(document.get("payload")) for document in found)
        if found:
            self._fit = max(1, most // 4) if size > AT_ONCE else min(PAGE, 2 * self._fit)
        places: dict[int, GroupMember] = {}
        for document in found:
            member = member_of(record.id, document)
            if member is not None and not (member.n in places and places[member.n].ended):
                places[member.n] = member
        return [places[n] for n in sorted(places)][:most]

    async def some_in(self, record: Record, state: str, top: int) -> list[str]:
        """Return the ids of some members in a state."""
        query = {**self._query(record), "state": state}
        found = await tried(lambda: self._client.query(COLLECTION, query, {"_id": 1}, top=top))
        return [text_of(document.get("_id")) for document in found]

    async def all_queues_seen(self, record: Record) -> bool:
        """Whether this user sees the queues of all members, and so their items."""
        query: JsonObject = {"_type": "workitemqueue", "name": {"$in": list(record.queues)}}
        found = await self._client.query("mq", query, {"name": 1}, top=len(record.queues) + 1)
        return {text_of(one.get("name")) for one in found} >= set(record.queues)

    async def _asked(
        self, group: str, query: JsonObject, order: JsonObject, most: int
    ) -> list[JsonObject]:
        return await tried(
            lambda: self._reader.query(
                COLLECTION, query, PROJECTION, order, top=most, about=group, needed=NEEDED
            )
        )

    def _query(self, record: Record) -> JsonObject:
        by_id: JsonObject = {"_id": ids_of(record.id)}
        if not record.marked:
            return by_id
        by_mark = {"wiq": {"$in": list(record.marked)}, f"{MARK}.id": record.id}
        return {"$or": [by_id, by_mark]}


def _items(
    record: Record, pushes: Sequence[Push], start: int, queues: dict[str, KnownQueue]
) -> list[FollowUp]:
    found = []
    for n, push in enumerate(pushes, start):
        queue = queues[push.queue]
        item = FollowUp(
            member_id(record.id, n),
            push.queue,
            marked(push.payload, mark_of_member(record.id, n)),
            push.name,
            push.priority,
            push.nextrun,
            queue.wiqid,
            queue.acl,
            parent=record.parent,
        )
        found.append(item)
    return found


def _batches(pushes: Sequence[Push]) -> Iterator[tuple[int, int]]:
    """Cut into parts of so many items and, but for a big one, bytes."""
    start, size = 0, 0
    for index, push in enumerate(pushes):
        length = len(json_text(push.payload))
        if index > start and (index - start >= BATCH or size + length > BATCH_BYTES):
            yield start, index
            start, size = index, 0
        size += length
    if start < len(pushes):
        yield start, len(pushes)


def _workitem(item: FollowUp) -> Workitem:
    metadata = {**object_of(item.payload.get(KEY)), **item.marks(), ID_FIELD: item.id}
    payload = {**item.payload, KEY: metadata}
    return Workitem(name=item.name, payload=payload, priority=item.priority, nextrun=item.nextrun)


def _place(item: FollowUp) -> int:
    return number(object_of(object_of(item.payload.get(KEY)).get(GROUP)).get("n"))


def _mark(document: JsonObject) -> int:
    payload: Any = document.get("payload")
    return number(object_of(object_of(object_of(payload).get(KEY)).get(GROUP)).get("n"))
