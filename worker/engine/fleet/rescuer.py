"""The rescuer: finds items in ``processing`` that no living worker has, and puts them back.

1. One worker per queue (and namespace) looks: the live one with the lowest id. When it dies, the
   next one does; so it does when that one lives and does nothing (``leadership.py``). Who cannot be
   the next one yet does not ask who is there.
2. Claimed by a live worker: left alone. By a dead one: taken over. By nobody: taken over once it
   is older than ``unclaimed_after``.
3. Two that look at once do no harm: the write-back's fence decides.
4. Nobody is judged before this worker's own heartbeats went through for ``dead_after``, without an
   outage or a leap of the server's clock.
5. Who began to close an item and died in between does not keep it for ever.
6. Whatever else one worker per queue looks after is called at the end (``maintain``).
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from worker.engine.delivery.fence import closer_of, run_of, same_run
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.in_processing import MOST, ItemsInProcessing
from worker.engine.fleet.leadership import idle_after, leads_at_earliest, led_queues
from worker.engine.fleet.mailbox import forget_mailboxes
from worker.engine.fleet.presence import COLLECTION, GONE, TYPE, Peer
from worker.engine.fleet.takeover import Orphan, TakeOver, workitem_of
from worker.item.attempt_id import AttemptId, attempt_id
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import Told, id_of, ignored, number
from worker.openiap.pool import Pool
from worker.openiap.values import iso
from worker.service import Service, spread
from worker.state.retrying import passes
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log
from worker.uptime import uptime

FORGET_WORKERS_AFTER: Final = 3600.0
FORGET_AGAIN: Final = 6 * 3600.0
MOST_FORGOTTEN: Final = 100
"""In one look."""
FORGET_DEATHS_AFTER: Final = timedelta(days=7)

RunId = tuple[str, int, int, str]
"""One run of an item, and who is closing it: what ``run_id`` tells apart."""

MOST_ROUNDS: Final = 3
"""So many intervals at most count between two looks."""


@dataclass(frozen=True, slots=True)
class RescueTimes:
    """Seconds: between two looks, of silence after which a worker counts as dead, and of age after
    which an item that nobody claims is taken over (0: never)."""

    interval: float
    dead_after: float
    unclaimed_after: float


@dataclass(slots=True)
class _Stays:
    """A document that was to be deleted: not asked for again before (``uptime``), whether said."""

    until: float
    said: bool


class Rescuer(Service):
    """Looks after the queues of this worker.

    Args:
        own: the attempts in flight in this process.
        maintain: called with the queues that this worker leads, after each look.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        heartbeat: Heartbeat,
        take_over: TakeOver,
        own: Callable[[], Iterable[AttemptId]],
        pool: Pool,
        times: RescueTimes,
        counts: Counts,
        log: Log,
        chance: random.Random,
        maintain: Callable[[Sequence[str]], Awaitable[None]] | None = None,
        misfits: Told = ignored,
    ) -> None:
        super().__init__(
            "rescuer",
            first=spread(times.interval, chance),
            pause=times.interval,
            on_error=partial(log.failed, "could not look for orphans"),
        )
        self._queues = tuple(queues)
        self._heartbeat = heartbeat
        self._take_over = take_over
        self._own = own
        self._pool = pool
        self._times = times
        self._counts = counts
        self._log = log
        self._maintain = maintain
        self._in_processing = ItemsInProcessing(pool, misfits)
        self._tidied = float("-inf")
        self._deaths_tidied = float("-inf")
        self._stays: dict[str, _Stays] = {}
        """Workers' documents that were to go."""
        self._chance = chance
        self._idle_until = 0.0
        """Before that (``uptime``) this worker leads none of its queues."""
        self._seen: dict[RunId, float] = {}
        """For how many seconds an item was seen in processing, unchanged."""
        self._noted = 0.0
        """When that was brought up to date; ``uptime``."""

    async def round(self) -> float:
        """Look, where there is a link, or let it be; returns when the next round is.

        Who leads nothing yet goes on with its rounds without a message, and tells of them: the
        others pass over whoever has none.
        """
        if self._idle_until > uptime():
            if self._may_judge():
                self._heartbeat.worked()
        elif self._pool.ready:
            await self.rescue()
        pause = spread(self._times.interval, self._chance)
        left = self._idle_until - uptime()
        return min(pause, left) if left > 0 else pause

    async def rescue(self) -> int:
        """Look once, and put back what nobody works; returns how many items that were.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        if not self._may_judge():
            return 0
        peers = await self._heartbeat.peers() if self._heartbeat.usable else []
        me = self._heartbeat.me
        dead_after = self._times.dead_after
        limit = idle_after(self._times.interval, dead_after)
        led = led_queues(self._queues, peers, me.id, dead_after, me.namespace, idle_after=limit)
        earliest = leads_at_earliest(
            self._queues, peers, me.id, dead_after, me.namespace, idle_after=limit
        )
        if earliest > 0:  # not all that wait for the same worker's silence look at once
            earliest += self._times.interval * self._chance.random()
        self._idle_until = uptime() + earliest
        if not led:
            self._heartbeat.worked()
            return 0
        documents = await self._in_processing.of(led)
        if not self._may_judge():
            return 0  # the clock leapt while it looked
        own = frozenset(self._own())
        now = self._heartbeat.server_time
        self._note(documents)
        taken = 0
        for document in documents:
            seen = self._seen.get(run_id(document), 0.0)
            orphan = orphan_of(document, peers, own, self._times, now, seen)
            if orphan is None:
                continue
            # What is refused now is tried at the next look, and holds up none of the others.
            try:
                delivered = await self._take_over.take(orphan, patient=False)
            except OpenIAPError:
                raise  # the link, most likely: the next round looks anew
            except Exception as error:  # whatever is odd about it, the others behind it go on
                self._log.failed(f"item {orphan.workitem.id} cannot be taken over", error)
                continue
            self._heartbeat.worked()
            if delivered.result == "refused":
                self._log.once_a_while(
                    "rescue", f"an orphan cannot be taken over: {delivered.reason}"
                )
            if delivered.result == "applied":
                taken += 1
                self._counts.rescued(orphan.workitem.wiq)
        await self._forget(peers, documents)
        if self._maintain is not None:
            await self._maintain(led)
        self._heartbeat.worked()
        return taken

    def _may_judge(self) -> bool:
        """Tell whether the living had the time to say so: without that they are silent too."""
        return not self._heartbeat.usable or self._heartbeat.steady() >= self._times.dead_after

    def _note(self, documents: Iterable[Mapping[str, Any]]) -> None:
        # A clock that leaps ahead, as one does that takes the leap for sleep, makes no item old.
        since = min(uptime() - self._noted, MOST_ROUNDS * self._times.interval)
        seen = {run: before + since for run, before in self._seen.items()}
        self._noted = uptime()
        self._seen = {run: seen.get(run, 0.0) for run in map(run_id, documents)}

    async def _forget(self, peers: Sequence[Peer], documents: Sequence[Mapping[str, Any]]) -> None:
        """Delete what long-dead workers left, once none of their items is in processing."""
        there = {peer.id for peer in peers}
        self._stays = {id: stays for id, stays in self._stays.items() if id in there}
        held = {str(document.get("_id")) for document in documents}
        if len(documents) >= MOST:
            return
        await self._forget_others()
        asked, stay = 0, list[str]()
        for peer in peers:
            if peer.silent < FORGET_WORKERS_AFTER or held & {item for item, _ in peer.claims}:
                continue
            asked += await self._forget_one(peer, stay)
            if asked >= MOST_FORGOTTEN:
                break
        if stay:
            self._log.warn(
                f"{len(stay)} documents of workers that are long dead stay in {COLLECTION}, the"
                f" first one: {stay[0]}; this user may not delete them"
            )
        if any(peer.silent >= FORGET_WORKERS_AFTER for peer in peers) and self._deaths_are_due():
            before = iso(self._heartbeat.server_now() - FORGET_DEATHS_AFTER)
            await self._pool.call(
                lambda client: client.delete_many(
                    COLLECTION, {"_type": "deaths", "_modified": {"$lt": before}}
                )
            )

    async def _forget_one(self, peer: Peer, stay: list[str]) -> bool:
        """Delete a long-dead worker's document, and ask again rarely where it stays: it may be one
        that this user may not delete, which a server says or does not.

        Args:
            stay: gets those of which that is found out now.

        Returns:
            Whether the server was asked.
        """
        now = uptime()
        stays = self._stays.get(peer.id)
        if stays is not None and not stays.said:
            stays.said = True
            stay.append(peer.id)
        if stays is not None and stays.until > now:
            return False
        self._stays[peer.id] = _Stays(now + FORGET_AGAIN, said=stays is not None)
        try:
            await self._pool.call(partial(_delete_worker, id=peer.id))
        except OpenIAPError as error:
            if passes(error):
                del self._stays[peer.id]
                raise
        return True

    def _deaths_are_due(self) -> bool:
        due = uptime() - self._deaths_tidied >= FORGET_WORKERS_AFTER
        if due:
            self._deaths_tidied = uptime()
        return due

    async def _forget_others(self) -> None:
        """Delete, once an hour, what workers of any queue left an hour ago that claims nothing."""
        if uptime() - self._tidied < FORGET_WORKERS_AFTER or self._heartbeat.server_time is None:
            return
        self._tidied = uptime()
        moment = self._heartbeat.server_time - timedelta(seconds=FORGET_WORKERS_AFTER)
        before = iso(moment)
        query = {"_type": {"$in": [TYPE, GONE]}, "items": [], "_modified": {"$lt": before}}
        await self._pool.call(lambda client: client.delete_many(COLLECTION, query))
        await self._pool.call(partial(forget_mailboxes, before=moment))


async def _delete_worker(client: Client, id: str) -> None:
    await client.delete_one(COLLECTION, id)


def run_id(document: Mapping[str, Any]) -> RunId:
    """Return what tells one run of an item in processing, and who is closing it, from the next."""
    retries = number(document.get("retries"))
    return (id_of(document), retries, run_of(document), closer_of(document, retries))


def orphan_of(
    document: Mapping[str, Any],
    peers: Sequence[Peer],
    own: frozenset[AttemptId],
    times: RescueTimes,
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
    key = attempt_id(workitem)
    if key in own:
        return None
    holders = [
        peer
        for peer in peers
        if key in peer.claims and same_run(peer.lastruns.get(key), workitem.lastrun)
    ]
    live = {peer.id for peer in peers if peer.silent <= times.dead_after}
    if any(peer.id in live for peer in holders):
        return None
    closer = closer_of(document, workitem.retries)
    if closer in live and seen < times.dead_after:
        return None  # a matter of moments, unless it has died and lives again
    over = (closer,) if closer else ()
    if holders:
        dead = min(holders, key=lambda peer: peer.silent)
        how = f"died ({dead.host}, pid {dead.pid}, last heard of {dead.silent:.0f} s ago)"
        alone = key in dead.alone
        return Orphan(workitem, dead.id, how, died=True, alone=alone, over=over)
    if not times.unclaimed_after:
        return None
    # A pop that is not known, or lies ahead since the server's clock was set back, is as old as it
    # was seen here: it must not stay in processing for that.
    age = seen
    if now is not None and workitem.lastrun is not None:
        age = max(seen, (now - workitem.lastrun).total_seconds())
    if age < times.unclaimed_after:
        return None
    how = (
        f"popped by {workitem.username or 'an unknown user'} {age:.0f} s ago, and claimed by no"
        " worker (a pop whose answer was lost, or a foreign worker)"
    )
    return Orphan(workitem, "", how, died=False, over=over)
