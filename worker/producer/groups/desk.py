"""Groups over a client: pushed, looked at, and brought to their end by whoever finds that all
members have ended.

1. Pushing makes the cell, the sign that the group is open, the members, and says that they are
   whole. Each of these may be repeated, by whoever comes after a death.
2. ``settle`` looks at a group, and does what is to be done for it. Nothing is counted: the states
   of the members are asked for, so it does not matter who calls it, how often, and how late.
3. Of those that find a group ended one makes the next version of its cell and, with that, is who
   collects the results and pushes what comes after. If it dies, another one does the same after
   ``claim_for``. What comes after has an id that follows from the group's: there is one.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from worker.item.group import mark_of_then, marked, then_id
from worker.item.group_desk import GroupError, GroupMember, GroupPlan, GroupProgress
from worker.item.new_item import FollowUp, Push
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, ItemNotFound
from worker.openiap.workitem import FAILED, NEW, PROCESSING, SUCCESSFUL, JsonObject
from worker.producer.groups.collected import collected
from worker.producer.groups.members import ID_FIELD, Members
from worker.producer.groups.record import (
    CLOSED,
    CLOSING,
    KEPT,
    PUSHED,
    PUSHING,
    Record,
    Records,
)
from worker.producer.insert import KnownQueue, KnownQueues, insert
from worker.producer.no_result import timed_out
from worker.state.retrying import tried
from worker.uptime import uptime

CLAIM_FOR: Final = 45.0
"""Seconds that whoever closes a group has for it before another one may."""
GONE_AFTER: Final = 60.0
"""Seconds from a group's last change until members that are not there count as deleted."""
STOPPED: Final = "another member of its group has failed"
CANCELS: Final = 500
AT_ONCE: Final = 8
FIRST_LOOK: Final = 0.2
LONGEST: Final = 5.0


class ClientGroups:
    """The groups of one namespace; see ``worker.item.group_desk.GroupDesk``.

    Args:
        cancel: cancels an item, for a reason.
        claim_for: see ``CLAIM_FOR``.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        cancel: Callable[[str, str], Awaitable[object]],
        *,
        claim_for: float = CLAIM_FOR,
        gone_after: float = GONE_AFTER,
    ) -> None:
        self._client = client
        self._cancel = cancel
        self._claim_for = claim_for
        self._gone_after = gone_after
        self._records = Records(client, namespace)
        self._members = Members(client)
        self._queues = KnownQueues(client)

    async def push(self, plan: GroupPlan[Push]) -> tuple[str, bool]:
        """Push all members, once; safe to repeat with a key.

        Returns:
            The group's id, and whether it was there already.

        Raises:
            GroupError: there is another group of this key, whose members are not all pushed.
            QueueNotFound: one of its queues is not there, or no rights; nothing was pushed.
            OpenIAPError: no answer for a minute; calling again with the same key makes the rest.
        """
        names = dict.fromkeys(push.queue for push in plan.members)
        if plan.then is not None:
            names[plan.then.queue] = None
        queues = {name: await tried(partial(self._queues.of, name)) for name in names}
        record = await self._records.begin(plan, _rights(queues.values()))
        if record.state != PUSHING:
            return record.id, True
        if record.digest != plan.digest:
            raise GroupError(
                f"there is a group {record.id} under the key {plan.key!r}, with {record.of} other"
                " members, which are not all pushed; call with those, or with another key. In a"
                " handler: what differs from run to run belongs into a step"
            )
        await self._records.note_open(record)
        by_mark = await self._members.put(record, plan, queues)
        await self._records.step(record, state=PUSHED, marked=by_mark)
        await self.settle(record.id)  # they may have ended in this moment
        return record.id, False

    async def look(self, group: str) -> GroupProgress:
        """Return how far a group is.

        Raises:
            GroupNotFound: there is none.
        """
        record = await self._records.of(group)
        counts = await self._members.counts(record)
        return record.progress(counts[SUCCESSFUL], counts[FAILED])

    async def page(self, group: str, after: int, most: int) -> list[GroupMember]:
        """Return so many members from place ``after`` on.

        Raises:
            GroupNotFound: there is none.
        """
        return await self._members.page(await self._records.of(group), after, most)

    async def over(self, group: str, timeout: float | None) -> GroupProgress:
        """Return once a group is over.

        Raises:
            GroupNotFound: there is none.
            ResultTimeout: not within ``timeout`` seconds.
        """
        end = None if timeout is None else uptime() + timeout
        wait = FIRST_LOOK
        while True:
            record = await self._records.of(group)
            if record.state == CLOSED:
                return await self.look(group)
            left = None if end is None else end - uptime()
            if left is not None and left <= 0:
                raise timed_out(group, "a group", timeout or 0, record.state)
            await asyncio.sleep(wait if left is None else min(wait, left))
            wait = min(LONGEST, wait * 1.5)

    async def open(self, after: str = "", top: int = 100) -> list[str]:
        """Return the ids of open groups, in order, from one on."""
        return await self._records.open(after, top)

    async def settle(self, group: str) -> GroupProgress:
        """Look at a group and do what is to be done for it; returns how far it was.

        Raises:
            GroupNotFound: there is none (any more); its sign is taken away.
            OpenIAPError: it cannot be looked at, or not ended now; to be called again.
        """
        record = await self._records.of(group)
        if record.state == CLOSED:
            await self._records.note_closed(group)
            return record.progress(0, 0)
        counts = await self._members.counts(record)
        progress = record.progress(counts[SUCCESSFUL], counts[FAILED])
        if record.state == PUSHING or (record.state == CLOSING and not await self._left(record)):
            return progress
        if record.stops and counts[FAILED] and record.stop != "done":
            stopped = await self._stop(record)
            return progress if stopped is None else await self.settle(group)
        ended = counts[SUCCESSFUL] + counts[FAILED]
        gone = not (counts[NEW] or counts[PROCESSING]) and ended < record.of
        if ended >= record.of or (gone and await self._gone(record)):
            await self._close(record, counts, gone=gone)
            return replace(progress, over=True)
        return progress

    async def _left(self, record: Record) -> bool:
        """Whether whoever closes a group must have died."""
        return await self._records.age(record) > self._claim_for

    async def _gone(self, record: Record) -> bool:
        """Whether members that are not there were deleted, and are not just hidden from us."""
        if await self._records.age(record) <= self._gone_after:
            return False
        return await self._members.all_queues_seen(record)

    async def _stop(self, record: Record) -> Record | None:
        """Cancel the members that wait and ask those that run to end, once."""
        if record.stop == "begun" and not await self._left(record):
            return None
        begun = await self._records.step(record, stop="begun", by=secrets.token_hex(8))
        if begun is None:
            return None
        await self._cancel_all(await self._members.some_in(record, PROCESSING, CANCELS))
        asked: set[str] = set()
        while waiting := set(await self._members.some_in(record, NEW, CANCELS)) - asked:
            await self._cancel_all(waiting)
            asked |= waiting
        return await self._records.step(begun, stop="done")

    async def _cancel_all(self, ids: Iterable[str]) -> None:
        """Cancel items; those that this user may not cancel go on, and the group waits for them."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(id: str) -> None:
            async with turn:
                with suppress(ItemNotFound, AccessDenied):
                    await self._cancel(id, STOPPED)

        await asyncio.gather(*(one(id) for id in ids))

    async def _close(self, record: Record, counts: dict[str, int], *, gone: bool) -> None:
        """End a group whose members have all ended."""
        known: dict[str, Any] = {"done": counts[SUCCESSFUL], "failed": counts[FAILED]}
        over: dict[str, Any] = {"state": CLOSED, "keep": KEPT, **known}
        if record.then is None and not record.marked:
            if await self._records.step(record, **over) is not None:
                await self._records.note_closed(record.id)
            return
        mine = await self._records.step(record, state=CLOSING, by=secrets.token_hex(8))
        if mine is None:
            return

        async def page(after: int, most: int) -> list[GroupMember]:
            return await self._members.page(mine, after, most)

        found = await collected(record.id, record.of, page, gone=gone)
        if found is None:  # one was put back by hand, and counts anew
            await self._records.step(mine, state=PUSHED)
            return
        if record.then is not None:
            over["then_id"] = await self._push_then(mine, record.then, found)
        if await self._records.step(mine, **over) is not None:
            await self._records.note_closed(record.id)

    async def _push_then(self, record: Record, then: Push, found: JsonObject) -> str:
        queue = await self._queues.of(then.queue)
        item = FollowUp(
            then_id(record.id),
            then.queue,
            marked({**then.payload, **found}, mark_of_then(record.id)),
            then.name,
            then.priority,
            None,
            queue.wiqid,
            queue.acl,
            parent=record.parent,
        )
        inserted = await tried(lambda: insert(self._client, item, id_field=ID_FIELD))
        return inserted.id


def _rights(queues: Iterable[KnownQueue]) -> list[JsonObject]:
    """Return the rights of all queues together, each user and role once."""
    found: dict[str, JsonObject] = {}
    for known in queues:
        for ace in known.acl:
            found.setdefault(str(ace.get("_id")), ace)
    return list(found.values())
