"""Presence: the worker's heartbeat document, so that others know what is held by the living.

1. One document per worker in ``openiap_workers``: who it is, its queues, its items in flight.
2. Written every heartbeat, and at once when the set of long-running items changes.
3. Removed on a clean stop that leaves nothing in processing.
4. A worker without the rights for it says so once and goes on without.

Heartbeats are compared in the server's time: the server stamps ``_modified`` on every write, and
what it stamped on our own last write tells what time it is there. Where that time leaps ahead (a
clock that is set, a machine that was asleep), all are silent for as long as it leapt.
"""

import asyncio
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.engine.in_flight import Running
from worker.errors import StateError
from worker.openiap.errors import AccessDenied, OpenIAPError, ServerError, Unsupported
from worker.openiap.pool import Pool
from worker.openiap.upsert import upsert
from worker.openiap.values import iso, moment_of, number, parse_iso
from worker.openiap.workitem import JsonObject
from worker.telemetry.log import Log

COLLECTION: Final = "openiap_workers"
SCHEMA: Final = 1
LONG_RUNNING: Final = 2.0
MAX_CLAIMS: Final = 5_000
GOODBYE_TIMEOUT: Final = 1.0
BEAT_TIMEOUT: Final = 5.0
MISSED: Final = 2.5
"""Intervals without a heartbeat of our own that count as a gap."""
MOVED: Final = timedelta(seconds=1)
"""By so much the server's time has to differ from what was thought to count as moved."""

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another worker (or this one), as its document tells.

    Attributes:
        silent: seconds since its last heartbeat, in the server's time.
        claims: the attempts that it holds: item id and retries.
        lastruns: when each was popped, as far as it told: an item that was handed back without
            costing an attempt is popped again under the same retries.
        namespace: its setting of that name; leadership is a matter of one namespace, claims count
            whatever theirs is.
    """

    id: str
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    silent: float
    claims: frozenset[Key]
    lastruns: Mapping[Key, str] = field(default_factory=dict)
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Self:
    """What a worker says of itself."""

    id: str
    version: str
    queues: Mapping[str, int]
    namespace: str = ""


class Presence:
    """Keeps the document; shape: ``start``, ``stop``.

    Args:
        interval, dead_after: seconds.
        in_flight: the items of this process.
        acl: the rights of the document: whoever may see the queues is to see who works them, also
            under another user, who would else take a long-running item for nobody's.
    """

    def __init__(
        self,
        me: Self,
        *,
        pool: Pool,
        interval: float,
        dead_after: float,
        in_flight: Callable[[], Iterable[Running]],
        log: Log,
        acl: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self.me: Final = me
        self.usable = True
        """False where the rights for it are missing."""
        self.on_time_moved: Callable[[], None] = _nothing
        """Told that the server's time is another than was thought: one of the clocks was set, or
        this machine has slept."""
        self._pool = pool
        self._interval = interval
        self._dead_after = dead_after
        self._in_flight = in_flight
        self._log = log
        self._acl = acl
        self._started = datetime.now(UTC)
        self._server_time: tuple[datetime, float] | None = None
        self._beaten: float | None = None
        self._steady_since = 0.0
        self._told: frozenset[Key] = frozenset()
        self._change = asyncio.Event()
        self._kept = False
        self._peers: list[Peer] | None = None
        self._task: asyncio.Task[None] | None = None

    async def previous_claims(self) -> list[JsonObject]:
        """Return the items that an earlier life under this identity held when it ended.

        Raises:
            StateError: a worker with this identity lives on another host.
        """
        try:
            found = await self._pool.call(
                lambda client: client.query(COLLECTION, {"_id": self.me.id}, top=1)
            )
        except AccessDenied as error:
            self._give_up(error)
            return []
        except ServerError as error:
            self._log.warn(f"the claims of an earlier life cannot be read: {error}")
            return []
        if not found:
            return []
        peer = peer_of(found[0], self.server_now())
        if peer is not None and peer.host != platform.node() and peer.silent < self._dead_after:
            raise StateError(
                f"Worker {self.me.id} lives on {peer.host} (pid {peer.pid}, heard of"
                f" {max(0.0, peer.silent):.0f} s ago): give each worker a worker_id of its own."
            )
        items = found[0].get("items")
        return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []

    async def start(self) -> None:
        """Say hello, then keep saying it."""
        await self._beat_once()
        self._task = asyncio.create_task(self._beat(), name="presence")

    def keep(self) -> None:
        """Leave the document at ``stop``: what it claims is still in processing, and others are to
        find it dead and take that over, which they do with an unclaimed item only much later. No
        more heartbeats: one that came after the items were given up would claim none of them."""
        self._kept = True

    async def beat(self) -> None:
        """Say it now, and learn what time it is on the server; nothing once it has stopped."""
        if self._task is not None:
            await self._beat_once()

    async def stop(self) -> None:
        """Stop, and remove the document; a link that is down leaves it to be found dead."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._kept or not self.usable or not self._pool.ready:
            return
        with suppress(OpenIAPError, TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT):
                await self._pool.call(lambda client: client.delete_one(COLLECTION, self.me.id))

    def changed(self) -> None:
        """Items began or ended; tells the server soon when long-running ones are among them."""
        self._change.set()

    @property
    def server_time(self) -> datetime | None:
        """The server's time, or None as long as it has stamped no heartbeat."""
        if self._server_time is None:
            return None
        moment, at = self._server_time
        return moment + timedelta(seconds=time.monotonic() - at)

    @property
    def heard(self) -> tuple[datetime, float] | None:
        """What the server stamped on the last heartbeat, and when (``time.monotonic()``)."""
        return self._server_time

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
        now = time.monotonic()
        # Where this worker was not heard of for dead_after, nobody else may have been.
        if now - self._beaten > min(MISSED * self._interval + BEAT_TIMEOUT, self._dead_after):
            return 0.0
        return now - self._steady_since

    async def peers(self) -> list[Peer]:
        """Return all workers that have a document, this one included."""
        documents = await self._pool.call(
            lambda client: client.query(COLLECTION, {"_type": "worker"}, top=1000)
        )
        now = self.server_now()
        self._peers = [peer for d in documents if (peer := peer_of(d, now)) is not None]
        return self._peers

    def rank(self, queue: str) -> int | None:
        """Return how many live workers of a queue, in this namespace, have a lower id; None when
        it is not known.

        As they were when last asked for, for whatever reason; this asks nobody.
        """
        if self._peers is None or not self.usable:
            return None
        return sum(
            peer.id < self.me.id
            and queue in peer.queues
            and peer.namespace == self.me.namespace
            and peer.silent <= self._dead_after
            for peer in self._peers
        )

    async def _beat(self) -> None:
        """Say it for ever; at once after a reconnect, and after a failure not without a pause."""
        while self.usable:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._until_claims_change()
            await self._pool.wait_ready()
            if not await self._beat_once():
                await asyncio.sleep(min(1.0, self._interval))

    async def _until_claims_change(self) -> None:
        """Return when the set of items that run for long is another than was told."""
        while True:
            long, next_at = self._long_running()
            if long - self._told or self._gone():
                return
            self._change.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(next_at):
                    await self._change.wait()
            # At most one document per second, however fast items come and go.
            await asyncio.sleep(min(1.0, self._interval))

    def _long_running(self) -> tuple[frozenset[Key], float | None]:
        """Return who runs for long, and in how many seconds the next one will."""
        now, long, next_at = time.monotonic(), set(), None
        for running in self._in_flight():
            ran = now - running.popped
            if ran >= LONG_RUNNING:
                long.add((running.workitem.id, running.workitem.retries))
            elif next_at is None or LONG_RUNNING - ran < next_at:
                next_at = LONG_RUNNING - ran
        return frozenset(long), next_at

    def _gone(self) -> bool:
        held = {(r.workitem.id, r.workitem.retries) for r in self._in_flight()}
        return bool(self._told - held) and len(self._told - held) * 2 > len(self._told)

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
            self._log.once_a_while("heartbeat", f"heartbeat not written: {error}")
            return False
        now = time.monotonic()
        gap = min(MISSED * self._interval, self._dead_after)
        if self._beaten is None or now - self._beaten > gap:
            self._steady_since = now
        self._beaten = now
        self._told = frozenset(
            (r.workitem.id, r.workitem.retries) for r in running if now - r.popped >= LONG_RUNNING
        )
        stamped = moment_of(stored.get("_modified"))
        if stamped is not None:
            thought = self.server_time
            if self._leapt(stamped, now):
                self._steady_since = now
            self._server_time = (stamped, now)
            if thought is not None and abs(stamped - thought) > MOVED:
                self.on_time_moved()
        return True

    def _leapt(self, stamped: datetime, now: float) -> bool:
        """Tell whether the server's time went ahead so far that the living may seem dead."""
        if self._server_time is None:
            return False
        before, at = self._server_time
        ahead = (stamped - before).total_seconds() - (now - at)
        return ahead > self._dead_after / 2

    def _document(self, running: Iterable[Running]) -> JsonObject:
        return {
            "_id": self.me.id,
            "_type": "worker",
            "name": self.me.id,
            "schema": SCHEMA,
            "version": self.me.version,
            "namespace": self.me.namespace,
            "host": platform.node(),
            "pid": os.getpid(),
            "queues": list(self.me.queues),
            "slots": dict(self.me.queues),
            "started": iso(self._started),
            "heartbeat": iso(datetime.now(UTC)),
            "items": [
                {
                    "id": r.workitem.id,
                    "queue": r.workitem.wiq,
                    "retries": r.workitem.retries,
                    "lastrun": iso(r.workitem.lastrun) if r.workitem.lastrun else None,
                }
                for r in running
            ],
        }

    def _give_up(self, error: OpenIAPError) -> None:
        if self.usable:
            self.usable = False
            self._log.warn(
                f"no heartbeat: this user may not write the collection {COLLECTION}"
                f" ({error.text}); items of dead workers are recovered by age alone"
            )


def _nothing() -> None:
    return None


def peer_of(document: Mapping[str, Any], now: datetime) -> Peer | None:
    """Read a worker's document; None for one that is not readable (a newer version's, say)."""
    stamp = document.get("_modified") or document.get("heartbeat")
    try:
        silent = (now - parse_iso(str(stamp))).total_seconds()
    except ValueError:
        return None
    items = document.get("items")
    lastruns = {
        (str(item.get("id")), number(item.get("retries"))): str(item.get("lastrun") or "")
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
    }
    queues = document.get("queues")
    return Peer(
        id=str(document.get("_id", "")),
        host=str(document.get("host", "")),
        pid=number(document.get("pid")),
        version=str(document.get("version", "")),
        queues=tuple(str(q) for q in queues) if isinstance(queues, list) else (),
        silent=silent,
        claims=frozenset(lastruns),
        lastruns=lastruns,
        namespace=str(document.get("namespace") or ""),
    )
