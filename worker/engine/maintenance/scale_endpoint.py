"""``/scale``: how much waits in each queue and how many workers it needs, for autoscalers.

1. The server is asked only when somebody asks here, at most once in 5 s for each queue, whoever and
   however many ask; an idle worker asks nothing.
2. How fast one worker is costs a worker no call, so it is told as it is now: the first seconds of a
   start do not stick.
3. ``/scale`` waits up to 2 s for fresh numbers, then gives the last ones with their age. A scrape
   of ``/metrics`` never waits: it shows the last numbers, with their age, and has new ones fetched
   for the next.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.engine.maintenance.autoscale import DEFAULT_TARGET, Load, wished
from worker.engine.maintenance.queue_load import load_of
from worker.engine.maintenance.worked_queues import Refused, WorkedQueues
from worker.openiap.errors import OpenIAPError
from worker.openiap.pool import Pool
from worker.service import cancelled
from worker.telemetry.health import Answer, Query, json_answer
from worker.telemetry.metrics import PREFIX

FRESH: Final = 5.0
"""Seconds for which an answer is given again."""
PATIENCE: Final = 2.0
STALE: Final = 60.0
"""Seconds after which autoscalers are not told any more; ``/metrics`` tells the age instead."""
LONGEST_TARGET: Final = 86_400.0
MOST_SLOTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A queue's load, and when it was seen (monotonic seconds)."""

    load: Load
    at: float


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks.

    Attributes:
        target: seconds that an item may wait.
        per_second, slots: of one worker, where who asks knows better; None as it is known here.
    """

    queue: str
    target: float
    per_second: float | None = None
    slots: int | None = None


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
PAUSED: Final = "queue_paused"
PAUSED_HELP: Final = "1 while the queue is paused, 0 while it is popped"
AGE: Final = "queue_age_seconds"
AGE_HELP: Final = "Seconds since the server was asked for the numbers of this queue"
WISHED: Final = "queue_wished_workers"
WISHED_HELP: Final = f"Workers for the queue, so that items wait {DEFAULT_TARGET:g} s at most"


def scale_names() -> tuple[str, ...]:
    """Return the names that this adds to ``/metrics``."""
    return tuple(
        f"{PREFIX}_{name}" for name in (*(m.name for m in SCALE_METRICS), WISHED, PAUSED, AGE)
    )


class ScaleEndpoint(Collector):
    """Answers autoscalers; shape: ``start``, ``stop``.

    Args:
        queues: those that may be asked about.
        now: the server's time, by which items are due.
        fresh: for how many seconds an answer is given again.
        stale: for how many the last one is given where the server does not answer; what is fresh
            is given anyway.
    """

    def __init__(
        self,
        queues: WorkedQueues,
        *,
        pool: Pool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        fresh: Callable[[], float] = lambda: FRESH,
        stale: float = STALE,
    ) -> None:
        self._queues = queues
        self._pool = pool
        self._now = now
        self._clock = clock
        self._for = fresh
        self._stale = stale
        self._seen: dict[str, Seen] = {}
        self._trouble: dict[str, str] = {}
        """By queue, why the server's last answer was none."""
        self._asking: dict[str, asyncio.Task[Seen | None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to answer; to be called on the loop."""
        self._loop = asyncio.get_running_loop()

    def ask_ahead(self) -> None:
        """Have numbers fetched for the first who asks."""
        for queue in self._queues.names:
            if self._queues.refusal(queue) is None:
                self._refresh_soon(queue)

    async def stop(self) -> None:
        """Ask the server no more; idempotent."""
        self._loop = None
        await cancelled(*self._asking.values())

    def answer(self, query: Query) -> Answer:
        """Answer ``/scale?queue=NAME&target=SECONDS``; runs in the listener's threads.

        With one queue its name may be left out; ``target`` is how long an item may wait.
        """
        question = self._question(query)
        told = (
            question
            if isinstance(question, Refused)
            else self._told(question, self._fresh(question.queue))
        )
        if isinstance(told, Refused):
            return json_answer(told.status, told.content)
        return json_answer(HTTPStatus.OK, told)

    async def told(self, query: Query) -> dict[str, object] | Refused:
        """Answer the same on the loop."""
        question = self._question(query)
        if isinstance(question, Refused):
            return question
        seen = None
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                seen = await self._refresh(question.queue)
        return self._told(question, seen or self._kept(question.queue))

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
        shown = {q: s for q, s in dict(self._seen).items() if self._queues.refusal(q) is None}
        self.ask_ahead()
        for metric in SCALE_METRICS:
            family = GaugeMetricFamily(f"{PREFIX}_{metric.name}", metric.help, labels=["queue"])
            for queue, seen in shown.items():
                family.add_metric([queue], metric.read(seen.load))
            yield family
        family = GaugeMetricFamily(f"{PREFIX}_{WISHED}", WISHED_HELP, labels=["queue"])
        for queue, seen in shown.items():
            numbers = self._numbers(Question(queue, DEFAULT_TARGET), seen)
            family.add_metric([queue], float(numbers.wished))
        yield family
        family = GaugeMetricFamily(f"{PREFIX}_{PAUSED}", PAUSED_HELP, labels=["queue"])
        for queue in shown:
            family.add_metric([queue], float(bool(self._queues.paused(queue))))
        yield family
        family = GaugeMetricFamily(f"{PREFIX}_{AGE}", AGE_HELP, labels=["queue"])
        for queue, seen in shown.items():
            family.add_metric([queue], max(0.0, now - seen.at))
        yield family

    def _question(self, query: Query) -> Question | Refused:
        queue = query.get("queue") or self._queues.meant
        target = _above_0(query.get("target") or f"{DEFAULT_TARGET}", LONGEST_TARGET)
        if target is None:
            return _wrong(f"target is seconds, above 0 and at most {LONGEST_TARGET:g}")
        rate, slots = query.get("per_second", ""), query.get("slots", "")
        per_second = _above_0(rate, float("inf")) if rate else None
        if rate and per_second is None:
            return _wrong("per_second is the number of items that one worker finishes, above 0")
        at_once = _above_0(slots, MOST_SLOTS) if slots else None
        if slots and (at_once is None or at_once != int(at_once)):
            return _wrong(f"slots is a whole number, above 0 and at most {MOST_SLOTS}")
        refusal = self._queues.refusal(queue)
        return refusal or Question(queue, target, per_second, int(at_once) if at_once else None)

    def _told(self, question: Question, seen: Seen | None) -> dict[str, object] | Refused:
        if seen is None:
            why = self._trouble.get(question.queue, "the server was not asked yet")
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, why)
        numbers = self._numbers(question, seen)
        return {
            "queue": question.queue,
            "waiting": seen.load.waiting,
            "running": seen.load.running,
            "oldest_waiting_seconds": round(seen.load.oldest_waiting, 3),
            "oldest_running_seconds": round(seen.load.oldest_running, 3),
            "per_second": None if numbers.per_second is None else round(numbers.per_second, 3),
            "slots": numbers.slots,
            "target_seconds": question.target,
            "wished": numbers.wished,
            "paused": self._queues.paused(question.queue) or None,
            "age_seconds": round(max(0.0, self._clock() - seen.at), 3),
        }

    def _numbers(self, question: Question, seen: Seen) -> "_Numbers":
        queue = question.queue
        slots = question.slots or self._queues.slots(queue)
        rate = question.per_second or self._queues.per_second(queue)
        load = seen.load
        if self._queues.paused(queue):
            # What nobody may pop needs nobody; who is busy with the queue is left to finish.
            load = replace(load, waiting=0, oldest_waiting=0.0)
        wish = wished(load, per_second=rate, slots=slots, target=question.target)
        return _Numbers(slots, rate, wish)

    def _fresh(self, queue: str) -> Seen | None:
        """Return numbers of the last 5 s; older ones where the server does not answer in time."""
        loop = self._loop
        if loop is None or self._is_fresh(queue):
            return self._seen.get(queue)
        waiting = asyncio.run_coroutine_threadsafe(self._refresh(queue), loop)
        seen = None
        try:
            seen = waiting.result(PATIENCE)
        except TimeoutError:
            waiting.cancel()
        return seen or self._kept(queue)

    def _is_fresh(self, queue: str) -> bool:
        seen = self._seen.get(queue)
        return seen is not None and self._clock() - seen.at < self._for()

    def _kept(self, queue: str) -> Seen | None:
        seen = self._seen.get(queue)
        if seen is None or self._is_fresh(queue):
            return seen
        return seen if self._clock() - seen.at <= self._stale else None

    def _refresh_soon(self, queue: str) -> None:
        loop = self._loop
        if loop is not None and not self._is_fresh(queue):
            loop.call_soon_threadsafe(self._ask_once, queue)

    async def _refresh(self, queue: str) -> Seen | None:
        """Return numbers that are fresh, or were so when the server gave them just now."""
        if self._is_fresh(queue):  # perhaps another thread's question was answered meanwhile
            return self._seen[queue]
        return await asyncio.shield(self._ask_once(queue))

    def _ask_once(self, queue: str) -> "asyncio.Task[Seen | None]":
        """Have one question to the server for a queue under way, whoever wants the answer."""
        task = self._asking.get(queue)
        if task is None or task.done():
            task = asyncio.create_task(self._ask(queue), name=f"scale {queue}")
            self._asking[queue] = task
        return task

    async def _ask(self, queue: str) -> Seen | None:
        try:
            load = await self._pool.call(lambda client: load_of(client, queue, now=self._now()))
            at = self._clock()
            await self._queues.saw(queue, load, at)
        except OpenIAPError as error:
            self._trouble[queue] = error.text  # the age of the last numbers tells, too
            return None
        self._trouble.pop(queue, None)
        self._seen[queue] = seen = Seen(load, at)
        return seen


@dataclass(frozen=True, slots=True)
class _Numbers:
    slots: int
    per_second: float | None
    wished: int


def _above_0(text: str, most: float) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 < found <= most and found != float("inf") else None


def _wrong(error: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, error)
