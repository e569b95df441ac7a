"""The heartbeat: a worker keeps its presence document fresh, and knows from it what time it is.

1. Written every heartbeat, and at once when the set of long-running items changes. Who has nothing
   in flight and leads no queue writes every second one: nothing hangs on it.
2. On a clean stop that leaves nothing in processing it is removed, or, where items were worked,
   says that its worker is gone and what it did (``report.py``).
3. A worker without the rights for it says so once and goes on without.
4. Who else is there is looked for by whoever wants to know (``known_peers.py``): here twice at the
   start, then by the rescuer.

Heartbeats are compared in the server's time: the server stamps ``_modified`` on every write, and
what it stamped on our own last write tells what time it is there. Where that time leaps ahead (a
clock that is set, a machine that was asleep), all are silent for as long as it leapt.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

from worker.engine.fleet.known_peers import KnownPeers
from worker.engine.fleet.namesakes import Namesakes
from worker.engine.fleet.own_name import OwnName
from worker.engine.fleet.presence import (
    COLLECTION,
    MAX_CLAIMS,
    Claim,
    Claimed,
    Peer,
    WorkerInfo,
    claims_of,
    document_of,
    farewell_of,
    peer_of,
)
from worker.engine.fleet.roster import Roster
from worker.engine.fleet.shared_clock import MOVED, SharedClock
from worker.item.attempt_id import AttemptId, attempt_id
from worker.openiap.errors import AccessDenied, OpenIAPError, ServerError, Unsupported
from worker.openiap.fields import Told, ignored, moment_of
from worker.openiap.pool import Pool
from worker.openiap.upsert import upsert
from worker.openiap.workitem import JsonObject
from worker.service import Service
from worker.telemetry.log import Log
from worker.uptime import uptime

LONG_RUNNING: Final = 2.0
"""Seconds after which an item in flight is worth a heartbeat of its own."""
GOODBYE_TIMEOUT: Final = 1.0
BEAT_TIMEOUT: Final = 5.0
MISSED: Final = 2.5
"""Intervals without a heartbeat of our own that count as a gap."""
IDLE: Final = 2
"""A worker on which nothing hangs lets so many intervals pass between two heartbeats."""
BEATS_TO_LIVE: Final = 4
"""So many intervals have to go into ``dead_after`` for that."""
FIRST_LOOKS: Final = 2
"""Looks at the start: those who start together know each other after the second."""


class Heartbeat(Service):
    """Keeps this worker's presence document, and reads the others'; a ``Fleet``.

    Args:
        interval, dead_after: seconds.
        in_flight: the items of this process.
        acl: the rights of the document: whoever may see the queues is to see who works them, also
            under another user, who would else take a long-running item for nobody's.
        idle_after: see ``rank_of``.
        misfits: hears of documents that do not fit.
        queues: what there is to tell of them; see ``document_of``.
        report: what there is to tell operators; {} for nothing.
    """

    def __init__(
        self,
        me: WorkerInfo,
        *,
        pool: Pool,
        interval: float,
        dead_after: float,
        in_flight: Callable[[], Iterable[Claim]],
        log: Log,
        acl: Callable[[], Sequence[JsonObject]] = tuple,
        idle_after: float = float("inf"),
        misfits: Told = ignored,
        queues: Callable[[], JsonObject] = dict,
        report: Callable[[], JsonObject] = dict,
    ) -> None:
        super().__init__(
            "heartbeat", pause=interval, on_error=partial(log.failed, "heartbeat not written")
        )
        self.me: Final = me
        self.known: Final = KnownPeers(me, dead_after=dead_after, idle_after=idle_after)
        """Who else is there, as it was at the last look of ``peers``."""
        self.usable = True
        """False where the rights for it are missing."""
        self.on_time_moved: Callable[[], None] = lambda: None
        """Told that the server's time is another than was thought: one of the clocks was set, or
        this machine has slept."""
        self.on_namesake: Callable[[Peer, bool], None] = lambda peer, yields: None
        """Told of another living worker with this one's name, and whether this one, which began
        later, is to end."""
        self._own_name = OwnName(me, pool, dead_after=dead_after, log=log, acl=acl, misfits=misfits)
        self._pool = pool
        self._interval = interval
        self._dead_after = dead_after
        self._in_flight = in_flight
        self._log = log
        self._acl = acl
        self._misfits = misfits
        self._roster = Roster(pool, me.queues, misfits)
        self._rounds = 0
        self._beats = 0
        self._queues = queues
        self._report = report
        self._started = datetime.now(UTC)
        self._namesakes = Namesakes(me, self._started)
        self.last_stamp: tuple[datetime, float] | None = None
        """What the server stamped on the last heartbeat, and when (``uptime``)."""
        self._shared = SharedClock()
        self.shared_time: Final = self._shared.now
        self._beaten: float | None = None
        self._steady_since = 0.0
        self._claimed: frozenset[AttemptId] = frozenset()
        """The long-running items that the last heartbeat told of."""
        self._change = asyncio.Event()
        self._kept = False
        self._looks = FIRST_LOOKS

    async def previous_claims(self) -> list[Claimed]:
        """Take this worker's name, and return the items that an earlier life under it held when it
        ended; waits while another worker may live under it (``own_name.py``).

        Raises:
            NameTaken: one does.
        """
        fresh = document_of(self.me, self._started, (), {}, rounds=self._rounds, first=True)
        try:
            found = await self._own_name.take(fresh)
        except AccessDenied as error:
            self._give_up(error)
            return []
        except ServerError as error:
            self._log.warn(f"the claims of an earlier life cannot be read: {error}")
            return []
        return [] if found is None else claims_of(found, self._misfits)

    async def is_dead(self, name: str, lock: str, *, wait: bool) -> bool | None:
        """Tell whether the worker of another name is dead for certain; see ``OwnName.is_free``.
        Where there are no heartbeats, the lock alone tells.

        Raises:
            OpenIAPError: the server cannot say.
        """
        return await self._own_name.is_free(name, lock, wait=wait) if self.usable else True

    async def start(self) -> None:
        """Say hello, then keep saying it."""
        await self._beat_once()
        await super().start()

    def keep(self) -> None:
        """Leave the document at ``stop``: what it claims is still in processing, and others are to
        find it dead and take that over, which they do with an unclaimed item only much later. No
        more heartbeats: one that came after the items were given up would claim none of them."""
        self._kept = True

    async def beat(self) -> None:
        """Say it now, and learn what time it is on the server; nothing once it has stopped."""
        if self.running:
            await self._beat_once()

    async def stop(self) -> None:
        """Stop, and take leave; a link that is down leaves the document to be found dead."""
        if not self.running:
            return
        await super().stop()
        if self._kept or not self.usable or not self._pool.ready:
            return
        with suppress(OpenIAPError, TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT):
                await self._take_leave()

    async def _take_leave(self) -> None:
        document = farewell_of(self._document(()))
        if self._report().get("minutes"):
            await self._pool.call(lambda client: client.update_one(COLLECTION, document))
        else:
            await self._pool.call(lambda client: client.delete_one(COLLECTION, self.me.id))

    def changed(self) -> None:
        """Items began or ended; tells the server soon when long-running ones are among them."""
        self._change.set()

    @property
    def server_time(self) -> datetime | None:
        """The server's time, or None as long as it has stamped no heartbeat."""
        if self.last_stamp is None:
            return None
        moment, at = self.last_stamp
        return moment + timedelta(seconds=uptime() - at)

    def server_now(self) -> datetime:
        """Return the server's time as far as it is known, else this machine's."""
        return self.server_time or datetime.now(UTC)

    def steady(self) -> float:
        """Return for how many seconds heartbeats went through without a gap or a leap of time.

        After an outage of the server every worker is silent for as long as it lasted, the living
        too, and as well after its clock leapt ahead; who judges others by their silence waits until
        they could have spoken.
        """
        if self._beaten is None:
            return 0.0
        now = uptime()
        # Where this worker was not heard of for dead_after, nobody else may have been.
        if now - self._beaten > min(MISSED * self._interval + BEAT_TIMEOUT, self._dead_after):
            return 0.0
        return now - self._steady_since

    def worked(self) -> None:
        """This worker has looked after its queues; the next heartbeat tells of it. Who does not,
        leads nothing after a while (``rank_of``), however alive it is."""
        self._rounds += 1

    async def peers(self) -> list[Peer]:
        """Return all workers of these queues that have a document, this one included.

        Raises:
            OpenIAPError: they cannot be read, or there are more than could be workers.
        """
        documents = await self._roster.documents()
        now = self.server_now()
        read = (peer_of(document, now, self._misfits) for document in documents)
        peers = [peer for peer in read if peer is not None]
        if self.server_time is None:
            # By this machine's clock, which may be wrong, the living could seem dead for long: they
            # are silent for as long as this worker has seen them so.
            peers = [replace(peer, silent=0.0) for peer in peers]
        peers = self.known.note(peers)
        if self._beaten is not None and (met := self._namesakes.look(peers, self._beaten)):
            self.on_namesake(*met)
        return peers

    def rank(self, queue: str) -> int | None:
        """Return how many live workers of a queue, in this namespace, have a lower id; None when
        it is not known."""
        return self.known.rank(queue) if self.usable else None

    async def round(self) -> float:
        """Say it when it is time to: at once after a reconnect or when claims change, and after a
        failure not without a pause."""
        if not self.usable:
            return self._interval
        await self._look()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace()):
                await self._until_claims_change()
        await self._pool.wait_ready()
        # Whatever there is to tell, at most one document in so many seconds.
        least = min(1.0, self._interval)
        if self._beaten is not None and (since := uptime() - self._beaten) < least:
            await asyncio.sleep(least - max(0.0, since))
        return 0.0 if await self._beat_once() else min(1.0, self._interval)

    async def _look(self) -> None:
        """See who is there, at the start; nothing depends on it."""
        if self._looks <= 0:
            return
        with suppress(OpenIAPError, TimeoutError):
            async with asyncio.timeout(BEAT_TIMEOUT):
                await self.peers()
                self._looks -= 1

    def _pace(self) -> float:
        """Return the seconds between two heartbeats, as things are."""
        relied_upon = (
            self._dead_after < BEATS_TO_LIVE * self._interval
            or any(True for _ in self._in_flight())
            or not all(self.rank(queue) for queue in self.me.queues)  # leads, or does not know
        )
        return self._interval * (1 if relied_upon else IDLE)

    async def _until_claims_change(self) -> None:
        """Return when the set of items that run for long is another than was told."""
        while True:
            long, next_at = self._long_running()
            if long - self._claimed or self._gone():
                return
            self._change.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(next_at):
                    await self._change.wait()
            # At most one document per second, however fast items come and go.
            await asyncio.sleep(min(1.0, self._interval))

    def _long_running(self) -> tuple[frozenset[AttemptId], float | None]:
        """Return who runs for long, and in how many seconds the next one will."""
        now, long, next_at = uptime(), set(), None
        for running in islice(self._in_flight(), MAX_CLAIMS):
            ran = now - running.popped
            if ran >= LONG_RUNNING:
                long.add(attempt_id(running.workitem))
            elif next_at is None or LONG_RUNNING - ran < next_at:
                next_at = LONG_RUNNING - ran
        return frozenset(long), next_at

    def _gone(self) -> bool:
        """Whether more than half of what was claimed is out of this worker's hands."""
        gone = self._claimed - {attempt_id(r.workitem) for r in self._in_flight()}
        return len(gone) * 2 > len(self._claimed)

    async def _beat_once(self) -> bool:
        """Write the document; whether it was written."""
        if not self.usable or self._kept:
            return False
        running = list(self._in_flight())[:MAX_CLAIMS]
        document = self._document(running)
        try:
            # Bounded, so that one lost reply does not make this worker look dead.
            async with asyncio.timeout(max(BEAT_TIMEOUT, self._interval)):
                stored = await self._pool.call(
                    lambda client: upsert(client, COLLECTION, document, acl=self._acl()),
                    turn="first",
                )
        except (AccessDenied, Unsupported) as error:
            self._give_up(error)
            return False
        except (OpenIAPError, TimeoutError) as error:
            self._log.once_a_while(
                "heartbeat", f"heartbeat not written: {error or type(error).__name__}"
            )
            return False
        now = uptime()
        gap = min(MISSED * self._interval, self._dead_after)
        if self._beaten is None or now - self._beaten > gap:
            self._steady_since = now
        self._beaten = now
        self._claimed = frozenset(
            attempt_id(r.workitem) for r in running if now - r.popped >= LONG_RUNNING
        )
        stamped = moment_of(stored.get("_modified"))
        if stamped is not None:
            thought = self.server_time
            if self._leapt(stamped, now):
                self._steady_since = now
            self.last_stamp = (stamped, now)
            self._shared.stamped(stamped, now)
            if thought is not None and abs(stamped - thought) > MOVED:
                self.on_time_moved()
        return True

    def _document(self, running: Iterable[Claim]) -> JsonObject:
        self._beats += 1
        return document_of(
            self.me,
            self._started,
            running,
            self._queues(),
            rounds=self._rounds,
            first=self._beaten is None,
            beat=self._beats,
            report=self._report(),
        )

    def _leapt(self, stamped: datetime, now: float) -> bool:
        """Tell whether the server's time went ahead so far that the living may seem dead."""
        if self.last_stamp is None:
            return False
        before, at = self.last_stamp
        ahead = (stamped - before).total_seconds() - (now - at)
        return ahead > self._dead_after / 2

    def _give_up(self, error: OpenIAPError) -> None:
        if self.usable:
            self.usable = False
            self._log.warn(
                f"no heartbeat: this user may not write the collection {COLLECTION}"
                f" ({error.text}); items of dead workers are recovered by age alone"
            )
