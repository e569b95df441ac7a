"""``/scale``: how much waits in each queue and how many workers it needs, for autoscalers.

1. The server is asked only when somebody asks here, at most once in 5 s for each queue, whoever and
   however many ask; an idle worker asks nothing.
2. Four small calls for a queue, without payloads: two counts and the two oldest items. How fast
   this worker is costs no call, so it is told as it is now: the first seconds of a start do not
   stick.
3. ``/scale`` waits up to 2 s for fresh numbers, then gives the last ones with their age. A scrape
   of ``/metrics`` never waits: it shows the last numbers, with their age, and has new ones fetched
   for the next.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.engine.maintenance.autoscale import DEFAULT_TARGET, Load, Sample, Throughput, wished
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import moment_of
from worker.openiap.pool import Pool
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.service import cancelled
from worker.telemetry.counts import QueueCounts
from worker.telemetry.health import Answer, Query, json_answer
from worker.telemetry.metrics import PREFIX

FRESH: Final = 5.0
"""Seconds for which an answer is given again."""
PATIENCE: Final = 2.0
STALE: Final = 60.0
"""Seconds after which autoscalers are not told any more; ``/metrics`` tells the age instead."""
MOST_OLDEST: Final = 50
"""Waiting items that are looked at for the oldest: those that were put into a queue as documents
are due a little before they were made, and stand before some that are older."""
CALL_TIMEOUT: Final = 5.0
LONGEST_TARGET: Final = 86_400.0
COLLECTION: Final = "workitems"


@dataclass(frozen=True, slots=True)
class Seen:
    """A queue's load, and when it was seen (monotonic seconds)."""

    load: Load
    at: float


@dataclass(frozen=True, slots=True)
class ScaleMetric:
    """A number of ``/scale`` on ``/metrics``."""

    name: str
    help: str
    read: Callable[[Load], float]


SCALE_METRICS: Final[tuple[ScaleMetric, ...]] = (
    ScaleMetric("queue_waiting", "Items of the queue that are due", lambda load: load.waiting),
    ScaleMetric(
        "queue_processing", "Items in processing, whoever has them", lambda load: load.running
    ),
    ScaleMetric(
        "queue_oldest_waiting_seconds",
        "Seconds since the oldest waiting item became due; 0 without one",
        lambda load: load.oldest_waiting,
    ),
    ScaleMetric(
        "queue_oldest_processing_seconds",
        "Seconds since the item longest in processing was popped; 0 without one",
        lambda load: load.oldest_running,
    ),
)
AGE: Final = "queue_age_seconds"
AGE_HELP: Final = "Seconds since the server was asked for the numbers of this queue"
WISHED: Final = "queue_wished_workers"
WISHED_HELP: Final = f"Workers for the queue, so that items wait {DEFAULT_TARGET:g} s at most"


def scale_names() -> tuple[str, ...]:
    """Return the names that this adds to ``/metrics``."""
    return tuple(f"{PREFIX}_{name}" for name in (*(m.name for m in SCALE_METRICS), WISHED, AGE))


class ScaleEndpoint(Collector):
    """Answers autoscalers; shape: ``start``, ``stop``.

    Args:
        slots: for each queue, how many items this worker works at once.
        counts: what this worker has done, by queue.
        now: the server's time, by which items are due.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        *,
        pool: Pool,
        counts: Callable[[], Mapping[str, QueueCounts]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = dict(slots)
        self._pool = pool
        self._counts = counts
        self._now = now
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._throughput = {queue: Throughput() for queue in slots}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to answer; to be called on the loop."""
        self._loop = asyncio.get_running_loop()

    def ask_ahead(self) -> None:
        """Have numbers fetched for the first who asks."""
        for queue in self._slots:
            self._refresh_soon(queue)

    async def stop(self) -> None:
        """Ask the server no more; idempotent."""
        self._loop = None
        await cancelled(*self._asking.values())

    def answer(self, query: Query) -> Answer:
        """Answer ``/scale?queue=NAME&target=SECONDS``; runs in the listener's threads.

        With one queue its name may be left out; ``target`` is how long an item may wait.
        """
        queue = query.get("queue") or (next(iter(self._slots)) if len(self._slots) == 1 else "")
        if queue not in self._slots:
            return json_answer(
                HTTPStatus.NOT_FOUND, {"error": "no such queue here", "queues": [*self._slots]}
            )
        target = _target(query.get("target", ""))
        if target is None:
            return json_answer(
                HTTPStatus.BAD_REQUEST,
                {"error": f"target is seconds, above 0 and at most {LONGEST_TARGET:g}"},
            )
        seen = self._fresh(queue)
        if seen is None:
            return json_answer(
                HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the server was not asked yet"}
            )
        return json_answer(HTTPStatus.OK, self._content(queue, seen, target))

    def waiting(self) -> int | None:
        """Return how many items are due in all queues, as far as is known, and have fresh numbers
        fetched; None before the first."""
        self.ask_ahead()
        seen = list(self._seen.values())
        return sum(one.load.waiting for one in seen) if seen else None

    def describe(self) -> Iterable[Metric]:
        """Say nothing before it is asked, so that registering asks the server nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the last numbers for ``/metrics`` and have the next ones fetched."""
        now = self._clock()
        shown = dict(self._seen)
        self.ask_ahead()
        for metric in SCALE_METRICS:
            family = GaugeMetricFamily(f"{PREFIX}_{metric.name}", metric.help, labels=["queue"])
            for queue, seen in shown.items():
                family.add_metric([queue], metric.read(seen.load))
            yield family
        family = GaugeMetricFamily(f"{PREFIX}_{WISHED}", WISHED_HELP, labels=["queue"])
        for queue, seen in shown.items():
            wish = self._wished(queue, seen, DEFAULT_TARGET, self._per_second(queue))
            family.add_metric([queue], wish)
        yield family
        family = GaugeMetricFamily(f"{PREFIX}_{AGE}", AGE_HELP, labels=["queue"])
        for queue, seen in shown.items():
            family.add_metric([queue], max(0.0, now - seen.at))
        yield family

    def _content(self, queue: str, seen: Seen, target: float) -> dict[str, object]:
        rate = self._per_second(queue)
        return {
            "queue": queue,
            "waiting": seen.load.waiting,
            "running": seen.load.running,
            "oldest_waiting_seconds": round(seen.load.oldest_waiting, 3),
            "oldest_running_seconds": round(seen.load.oldest_running, 3),
            "per_second": None if rate is None else round(rate, 3),
            "slots": self._slots[queue],
            "target_seconds": target,
            "wished": self._wished(queue, seen, target, rate),
            "age_seconds": round(max(0.0, self._clock() - seen.at), 3),
        }

    def _wished(self, queue: str, seen: Seen, target: float, rate: float | None) -> int:
        return wished(seen.load, per_second=rate, slots=self._slots[queue], target=target)

    def _per_second(self, queue: str) -> float | None:
        counts = self._counts().get(queue, QueueCounts(queue))
        mean = counts.latency_sum / counts.finished if counts.finished else 0.0
        return self._throughput[queue].per_second(slots=self._slots[queue], mean_seconds=mean)

    def _fresh(self, queue: str) -> Seen | None:
        """Return numbers of the last 5 s; older ones where the server does not answer in time."""
        seen = self._seen.get(queue)
        loop = self._loop
        if loop is None or (seen is not None and self._clock() - seen.at < FRESH):
            return seen
        waiting = asyncio.run_coroutine_threadsafe(self._refresh(queue), loop)
        try:
            waiting.result(PATIENCE)
        except TimeoutError:
            waiting.cancel()
        seen = self._seen.get(queue)
        return seen if seen is not None and self._clock() - seen.at <= STALE else None

    def _refresh_soon(self, queue: str) -> None:
        loop = self._loop
        seen = self._seen.get(queue)
        if loop is not None and (seen is None or self._clock() - seen.at >= FRESH):
            loop.call_soon_threadsafe(self._ask_once, queue)

    async def _refresh(self, queue: str) -> None:
        seen = self._seen.get(queue)  # perhaps another thread's question was answered meanwhile
        if seen is None or self._clock() - seen.at >= FRESH:
            await asyncio.shield(self._ask_once(queue))

    def _ask_once(self, queue: str) -> "asyncio.Task[None]":
        """Have one question to the server for a queue under way, whoever wants the answer."""
        task = self._asking.get(queue)
        if task is None or task.done():
            task = asyncio.create_task(self._ask(queue), name=f"scale {queue}")
            self._asking[queue] = task
        return task

    async def _ask(self, queue: str) -> None:
        try:
            load = await self._pool.call(lambda client: load_of(client, queue, now=self._now()))
        except OpenIAPError:
            return  # the age of the last numbers tells
        at = self._clock()
        counts = self._counts().get(queue, QueueCounts(queue))
        self._throughput[queue].saw(Sample(at, counts.finished, load.waiting))
        self._seen[queue] = Seen(load, at)


async def load_of(client: Client, queue: str, *, now: datetime) -> Load:
    """Return a queue's load.

    Args:
        now: the server's time.

    Raises:
        OpenIAPError: the server refused, or did not answer within 5 s.
    """
    waiting = {"wiq": queue, "state": "new", "nextrun": {"$lte": iso(now)}}
    running = {"wiq": queue, "state": "processing"}
    waits = await client.count(COLLECTION, waiting, timeout=CALL_TIMEOUT)
    runs = await client.count(COLLECTION, running, timeout=CALL_TIMEOUT)
    return Load(
        waiting=waits,
        running=runs,
        # The two are asked one after the other: what was counted as none has no age.
        oldest_waiting=await _oldest_waiting(client, waiting, now) if waits else 0.0,
        oldest_running=await _oldest_running(client, running, now) if runs else 0.0,
    )


async def _oldest_waiting(client: Client, query: JsonObject, now: datetime) -> float:
    """Return since how many seconds an item has been due, and there; 0 without one."""
    found = await client.query(
        COLLECTION,
        query,
        {"nextrun": 1, "_created": 1},
        {"nextrun": 1},
        top=MOST_OLDEST,
        timeout=CALL_TIMEOUT,
    )
    since = [
        max(moments)
        for one in found
        if (moments := [m for key in ("nextrun", "_created") if (m := moment_of(one.get(key)))])
    ]
    return max(0.0, (now - min(since)).total_seconds()) if since else 0.0


async def _oldest_running(client: Client, query: JsonObject, now: datetime) -> float:
    """Return how many seconds ago the first of them was popped; 0 without one."""
    first = {"lastrun": 1}
    found = await client.query(COLLECTION, query, first, first, top=1, timeout=CALL_TIMEOUT)
    then = moment_of(found[0].get("lastrun")) if found else None
    return 0.0 if then is None else max(0.0, (now - then).total_seconds())


def _target(text: str) -> float | None:
    try:
        seconds = float(text or DEFAULT_TARGET)
    except ValueError:
        return None
    return seconds if 0 < seconds <= LONGEST_TARGET else None
