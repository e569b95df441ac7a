"""The rescuer: finds items in ``processing`` that no living worker has, and puts them back.

1. One worker per queue (and namespace) looks: the live one with the lowest id. When it dies, the
   next one does.
2. Claimed by a live worker: left alone. By a dead one: taken over. By nobody: taken over once it
   is older than ``unclaimed_after``.
3. Two that look at once do no harm: the write-back's fence decides.
4. Nobody is judged before this worker's own heartbeats went through for ``dead_after``, without an
   outage or a leap of the server's clock.
5. Who began to close an item and died in between does not keep it for ever.
6. Whatever else one worker per queue looks after is called at the end (``tend``).
"""

import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from worker.engine.delivery.fence import CLOSING, closer_of, run_of, same_run
from worker.engine.fleet.heartbeat import COLLECTION, Key, Peer, Presence
from worker.engine.fleet.takeover import Orphan, TakeOver, workitem_of
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.openiap.values import iso, number
from worker.openiap.workitem import PROCESSING, JsonObject
from worker.service import Service
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log

PROJECTION: Final = {
    "_id": 1,
    "name": 1,
    "state": 1,
    "retries": 1,
    "lastrun": 1,
    "username": 1,
    "priority": 1,
    "wiq": 1,
    "wiqid": 1,
    CLOSING: 1,
}
LOOK_AT: Final = 500
"""Items in one answer; OpenIAP gives no more."""
MOST_LOOKS: Final = 20
FORGET_WORKERS_AFTER: Final = 3600.0
FORGET_DEATHS_AFTER: Final = timedelta(days=7)

Sight = tuple[str, int, int, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds; ``unclaimed_after`` 0 = never."""

    interval: float
    dead_after: float
    unclaimed_after: float


class Rescuer(Service):
    """Looks after the queues of this worker."""

    def __init__(
        self,
        queues: Sequence[str],
        *,
        presence: Presence,
        take_over: TakeOver,
        own: Callable[[], Iterable[Key]],
        pool: Pool,
        rules: Rules,
        counts: Counts,
        log: Log,
        chance: random.Random,
        tend: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(
            "rescuer",
            first=rules.interval,
            pause=rules.interval,
            on_error=partial(log.failed, "could not look for orphans"),
            chance=chance,
        )
        self._queues = tuple(queues)
        self._presence = presence
        self._take_over = take_over
        self._own = own
        self._pool = pool
        self._rules = rules
        self._counts = counts
        self._log = log
        self._tend = tend
        self._seen: dict[Sight, float] = {}
        """Since when an item is in processing, unchanged; ``time.monotonic()``."""

    async def round(self) -> None:
        """Look, where there is a link."""
        if self._pool.ready:
            await self.look()

    async def look(self) -> int:
        """Look once; returns how many items were put back.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        if not self._may_judge():
            return 0
        peers = await self._presence.peers() if self._presence.usable else []
        me = self._presence.me
        led = led_queues(self._queues, peers, me.id, self._rules.dead_after, me.namespace)
        if not led:
            return 0
        documents = await self._in_processing(led)
        if not self._may_judge():
            return 0  # the clock leapt while it looked
        own = frozenset(self._own())
        now = self._presence.server_time
        self._note(documents)
        taken = 0
        for document in documents:
            looked = time.monotonic()
            seen = looked - self._seen.get(sight_of(document), looked)
            orphan = orphan_of(document, peers, own, self._rules, now, seen)
            if orphan is None:
                continue
            # What is refused now is tried at the next look, and holds up none of the others.
            delivered = await self._take_over.take(orphan, patient=False)
            if delivered.result == "refused":
                self._log.once_a_while(
                    "rescue", f"an orphan cannot be taken over: {delivered.reason}"
                )
            if delivered.result == "applied":
                taken += 1
                self._counts.rescued(orphan.workitem.wiq)
        await self._forget(peers, documents)
        if self._tend is not None:
            await self._tend(led)
        return taken

    def _may_judge(self) -> bool:
        """Tell whether the living had the time to say so: without that they are silent too."""
        return not self._presence.usable or self._presence.steady() >= self._rules.dead_after

    async def _in_processing(self, queues: Sequence[str]) -> list[JsonObject]:
        """Return all items in processing, oldest first: those that nobody may take over must not
        hide the others."""
        found: dict[str, JsonObject] = {}
        for look in range(MOST_LOOKS):
            page = await self._pool.call(partial(_page, queues=queues, skip=look * LOOK_AT))
            found |= {str(document.get("_id")): document for document in page}
            if len(page) < LOOK_AT:
                break
        return list(found.values())

    def _note(self, documents: Iterable[Mapping[str, Any]]) -> None:
        now = time.monotonic()
        self._seen = {s: self._seen.get(s, now) for s in map(sight_of, documents)}

    async def _forget(self, peers: Sequence[Peer], documents: Sequence[Mapping[str, Any]]) -> None:
        """Delete what long-dead workers left, once none of their items is in processing."""
        held = {str(document.get("_id")) for document in documents}
        if len(documents) >= LOOK_AT * MOST_LOOKS:
            return
        for peer in peers:
            if peer.silent < FORGET_WORKERS_AFTER or held & {item for item, _ in peer.claims}:
                continue
            await self._pool.call(partial(_delete_worker, id=peer.id))
        if any(peer.silent >= FORGET_WORKERS_AFTER for peer in peers):
            before = iso(self._presence.server_now() - FORGET_DEATHS_AFTER)
            await self._pool.call(
                lambda client: client.delete_many(
                    COLLECTION, {"_type": "deaths", "_modified": {"$lt": before}}
                )
            )


async def _page(client: Client, queues: Sequence[str], skip: int) -> list[JsonObject]:
    return await client.query(
        "workitems",
        {"wiq": {"$in": list(queues)}, "state": PROCESSING},
        PROJECTION,
        orderby={"lastrun": 1, "_id": 1},
        top=LOOK_AT,
        skip=skip,
    )


async def _delete_worker(client: Client, id: str) -> None:
    await client.delete_one(COLLECTION, id)


def sight_of(document: Mapping[str, Any]) -> Sight:
    """Return what tells one run of an item, and who is closing it, from the next."""
    retries = number(document.get("retries"))
    return (str(document.get("_id", "")), retries, run_of(document), closer_of(document, retries))


def led_queues(
    queues: Sequence[str], peers: Sequence[Peer], me: str, dead_after: float, namespace: str = ""
) -> list[str]:
    """Return the queues that this worker looks after: no live worker of them, in its namespace, has
    a lower id."""
    return [
        queue
        for queue in queues
        if not any(
            peer.id < me
            and queue in peer.queues
            and peer.silent <= dead_after
            and peer.namespace == namespace
            for peer in peers
        )
    ]


def orphan_of(
    document: Mapping[str, Any],
    peers: Sequence[Peer],
    own: frozenset[Key],
    rules: Rules,
    now: datetime | None,
    seen: float = 0.0,
) -> Orphan | None:
    """Judge one item in processing; None leaves it alone. Pure.

    Args:
        document: the item, without its payload.
        peers: all workers with a document.
        own: what this process works, whatever its document says.
        now: the server's time; None where it is not known, as without the rights for heartbeats:
            this machine's clock may be wrong, so an item is then as old as it was ``seen``.
        seen: for how many seconds this worker has seen it as it is.
    """
    workitem = workitem_of(document)
    key = (workitem.id, workitem.retries)
    if key in own:
        return None
    holders = [
        peer
        for peer in peers
        if key in peer.claims and same_run(peer.lastruns.get(key), workitem.lastrun)
    ]
    live = {peer.id for peer in peers if peer.silent <= rules.dead_after}
    if any(peer.id in live for peer in holders):
        return None
    closer = closer_of(document, workitem.retries)
    if closer in live and seen < rules.dead_after:
        return None  # a matter of moments, unless it has died and lives again
    over = (closer,) if closer else ()
    if holders:
        dead = min(holders, key=lambda peer: peer.silent)
        how = f"died ({dead.host}, pid {dead.pid}, last heard of {dead.silent:.0f} s ago)"
        return Orphan(workitem, dead.id, how, died=True, over=over)
    if not rules.unclaimed_after or workitem.lastrun is None:
        return None
    age = seen if now is None else (now - workitem.lastrun).total_seconds()
    if age < rules.unclaimed_after:
        return None
    how = (
        f"popped by {workitem.username or 'an unknown user'} {age:.0f} s ago, and claimed by no"
        " worker (a pop whose answer was lost, or a foreign worker)"
    )
    return Orphan(workitem, "", how, died=False, over=over)
