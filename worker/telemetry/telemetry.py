"""All of telemetry together: log, counts, gauges, health, systemd, and the watch over the loop.

Readiness is red, with the reason, while one of these holds: not signed in; a queue is unknown; the
disk does not take the outbox; the machine lacks what a handler needs; a thread that cannot be
stopped holds a slot; slots are free and no pop was answered for a while. A paused queue is no
reason: it is said beside.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.durations import text as for_people
from worker.openiap.pool import Pool
from worker.settings import RARELY, Settings
from worker.telemetry.counts import Counts
from worker.telemetry.gauges import GaugeClient, Gauges
from worker.telemetry.health import Health, reasons_of
from worker.telemetry.log import Log, Sink, as_it_is
from worker.telemetry.log_forms import Level, form_for
from worker.telemetry.loop_watch import Blockage, LoopWatch
from worker.telemetry.metrics import BREAKER, BREAKER_HELP, NOT_READY, NOT_READY_HELP
from worker.telemetry.misfits import Misfits
from worker.telemetry.prometheus import MetricsPage
from worker.telemetry.standard_logging import StandardLogging
from worker.telemetry.systemd import Systemd
from worker.telemetry.tracing import Tracing

STALLED_AFTER: Final = 60.0
"""Seconds without an answered pop, with slots free, after which the worker is not ready."""
NOT_YET: Final = "starting, or stopping"


class SpeakingClient(Protocol):
    """A client that has lines of its own."""

    def divert_lines(self, listener: Callable[[Level, str], None]) -> None:
        """Have a listener take them."""


class TelemetryClient(Sink, GaugeClient, Protocol):
    """What of a client telemetry needs: gauges, and the export of log lines."""


class WatchedOutbox(Protocol):
    """The outbox."""

    @property
    def healthy(self) -> bool:
        """Whether the disk took the last write."""

    @property
    def failure(self) -> str:
        """Why it did not, or ""."""

    @property
    def unreadable(self) -> int:
        """How many of its rows could not be read."""

    def size(self) -> int:
        """Return how many items are not settled."""


class WatchedConsumer(Protocol):
    """The consumer of one queue.

    Attributes:
        trouble: why the last pop did not work, or "".
    """

    trouble: str

    @property
    def last_pop(self) -> float:
        """When a pop was last answered, or the queue rested; ``time.monotonic()``."""

    @property
    def free(self) -> int:
        """Slots that a pop could fill now."""

    @property
    def lost(self) -> int:
        """Slots held by threads that cannot be stopped."""


class WatchedQueues(Protocol):
    """The queues as the server has them."""

    @property
    def unknown(self) -> set[str]:
        """Those that the server does not have."""


class WatchedBreakers(Protocol):
    """The breakers of all queues; read from any thread."""

    def reasons(self) -> Mapping[str, str]:
        """Return how those stand that are not simply closed, by queue."""

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """Yield queue, breaker, and 1 unless the queue is popped as far as it goes."""


class Telemetry:
    """One worker's telemetry; shape: ``start``, ``stop``.

    Args:
        environment: where systemd's names are read; nothing else is.
        facts: what ``openiap_worker_info`` tells, for example the version.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Mapping[str, str] | None = None,
        facts: dict[str, str] | None = None,
        log: Log | None = None,
    ) -> None:
        form = form_for(settings.log_format, environment or {}, sys.stderr)
        self.log: Final = log or Log(settings.log_level, form=form, write=as_it_is)
        for secret in (settings.password, settings.jwt):
            self.log.hide(secret.get_secret_value())
        self.misfits: Final = Misfits(self.log)
        self.counts: Final = Counts(bounds=settings.histogram_buckets)
        self.metrics: Final = MetricsPage(self.counts, facts=facts)
        self.health: Final = (
            None
            if settings.health_port is None
            else Health(settings.health_host, settings.health_port, metrics=self.metrics)
        )
        self._settings = settings
        self._gauges = Gauges(
            self.counts,
            interval=settings.metric_interval,
            metric_url=settings.metric_url,
            log=self.log,
        )
        self._systemd = Systemd(environment or {}, log=self.log)
        self._standard_logging = StandardLogging(self.log)
        self._tracing = Tracing(
            settings.trace_url,
            version=(facts or {}).get("version", ""),
            environment=environment or {},
            report=self.log.error,
        )
        self._watch: LoopWatch | None = None
        self._consumers: Mapping[str, WatchedConsumer] = {}
        self._is_ready = False
        self._conditions: dict[str, Callable[[], str]] = {}

    async def start(self, describe: Callable[[], str]) -> None:
        """Watch the loop, and listen if a port is set.

        Args:
            describe: names the handlers in flight on the loop, or returns ""; called from another
                thread.

        Raises:
            StateError: the health port cannot be had.
        """
        self._standard_logging.start()
        self._tracing.start()
        watch = LoopWatch(
            asyncio.get_running_loop(),
            threading.get_ident(),
            describe,
            on_blocked=self._blocked,
        )
        self._condition("started", lambda: "" if self._is_ready else NOT_YET)
        if self.health is not None:
            self.health.use_watch(watch)
            self.health.start()
            url = f"http://{self._settings.health_host}:{self.health.port}/readyz"
            self.log.info("the health listener answers", url=url)
        watch.start()
        self._watch = watch
        await self._gauges.start()
        await self._systemd.start()

    def listen_to(self, client: SpeakingClient) -> None:
        """Write what this client has to say as the worker's own lines."""
        client.divert_lines(self.log.heard)

    def use(self, client: TelemetryClient) -> None:
        """Send gauges, and log lines where somebody collects them, through this client from now
        on."""
        collected = self._settings.log_url or client.server_config.get("otel_log_url")
        self.log.use(client if collected else None)
        self._gauges.use(client)

    def watch(
        self,
        pool: Pool,
        outbox: WatchedOutbox | None,
        consumers: Mapping[str, WatchedConsumer],
        queues: WatchedQueues,
        shortages: Callable[[], Mapping[str, str]] = dict,
        pauses: Callable[[], Mapping[str, str]] = dict,
        breakers: WatchedBreakers | None = None,
    ) -> None:
        """Say what the numbers of the whole worker and readiness are read from.

        Args:
            shortages: returns which queues are not popped for want of something, and of what.
            breakers: of systems that handlers need.
            pauses: returns which are not popped since somebody said so, and who, why, until when.
        """
        counts = self.counts
        self._consumers = consumers
        counts.source("connected", lambda: float(pool.ready))
        counts.source("effective_rate", lambda: pool.rate)
        counts.source("rate_limited", lambda: pool.refusals)
        counts.source("lost_threads", self._lost)
        counts.source("short_queues", lambda: float(len(shortages())))
        counts.source("paused_queues", lambda: float(len(pauses())))
        counts.source("loop_silent_seconds", self._loop_silent)
        counts.source(
            "misfits",
            lambda: float(self.misfits.count + (0 if outbox is None else outbox.unreadable)),
        )
        if outbox is not None:
            counts.source("outbox_size", lambda: float(outbox.size()))
            counts.source("outbox_healthy", lambda: float(outbox.healthy))
        self._condition("link", lambda: "" if pool.ready else "not signed in to OpenIAP")
        self._condition("queues", lambda: _unknown(queues.unknown))
        self._condition("threads", self._lost_threads)
        self._condition("shortages", lambda: _unserved(shortages()))
        self._condition("popping", self._stalled)
        if outbox is not None:
            self._condition("outbox", lambda: outbox.failure)
        health = self.health
        if health is not None:
            counts.source("ready", lambda: float(not health.reasons()))
            health.add_note("paused", pauses)
            if breakers is not None:
                health.add_note("breakers", breakers.reasons)
                self.metrics.add(_Breakers(breakers))
            self.metrics.add(_Reasons(health))

    def reasons(self) -> dict[str, str]:
        """Return why the worker is not ready, by the conditions' names; {} when it is. The same as
        ``/readyz`` tells, whether somebody listens there or not."""
        return reasons_of(self._conditions)

    def trouble(self, reason: str) -> None:
        """Something is wrong for as long as this process lives; readiness says so."""
        self._condition("state", lambda: reason)

    def _condition(self, name: str, check: Callable[[], str]) -> None:
        self._conditions[name] = check
        if self.health is not None:
            self.health.add_condition(name, check)

    def ready(self, what: str = "") -> None:
        """The worker pops, or does what else systemd is told."""
        self._is_ready = True
        self._systemd.ready(what or f"working {', '.join(self._consumers)}")

    def stopping(self, *, replaced: bool = False) -> None:
        """The worker pops no more.

        Args:
            replaced: the process may go on with a fresh worker: systemd would end one that has
                said that it stops.
        """
        self._is_ready = False
        if replaced:
            self._systemd.status("finishing what runs, to start anew")
        else:
            self._systemd.stopping("finishing what runs")

    async def stop(self) -> None:
        """Let go of everything; idempotent."""
        await self._gauges.stop()
        await self._systemd.stop()
        await self._tracing.stop()
        self._standard_logging.stop()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        if self.health is not None:
            await asyncio.to_thread(self.health.stop)
        self.log.use(None)

    def _blocked(self, blockage: Blockage) -> None:
        self.log.error(
            "the loop is blocked: no other item moves until it is free; an async handler must not"
            " wait or compute for long without await",
            blocked_by=blockage.culprit,
            seconds=round(blockage.seconds, 1),
        )

    def _lost(self) -> float:
        return float(sum(consumer.lost for consumer in self._consumers.values()))

    def _loop_silent(self) -> float:
        return 0.0 if self._watch is None else self._watch.silent_for()

    def _lost_threads(self) -> str:
        lost = {name: c.lost for name, c in list(self._consumers.items()) if c.lost}
        said = ", ".join(f"{count} of {queue}" for queue, count in lost.items())
        return f"threads that cannot be stopped hold slots: {said}" if said else ""

    def _stalled(self) -> str:
        now = time.monotonic()
        bound = max(STALLED_AFTER, 1.5 * RARELY * self._settings.poll_interval)
        said = []
        for queue, consumer in list(self._consumers.items()):
            idle = now - consumer.last_pop
            if consumer.free > 0 and idle > bound:
                why = f" ({consumer.trouble})" if consumer.trouble else ""
                said.append(f"{queue}: no pop was answered for {for_people(idle)}{why}")
        return "; ".join(said)


class _Reasons(Collector):
    """Why the worker is not ready, by the name of what is amiss."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(NOT_READY, NOT_READY_HELP, labels=["reason"])
        for name in self._health.reasons():
            family.add_metric([name], 1.0)
        yield family


class _Breakers(Collector):
    """Which breakers are open."""

    def __init__(self, breakers: WatchedBreakers) -> None:
        self._breakers = breakers

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(BREAKER, BREAKER_HELP, labels=["queue", "breaker"])
        for queue, breaker, value in self._breakers.gauges():
            family.add_metric([queue, breaker], value)
        yield family


def _unknown(queues: set[str]) -> str:
    return f"unknown queues: {', '.join(sorted(queues))}" if queues else ""


def _unserved(shortages: Mapping[str, str]) -> str:
    return "; ".join(f"{queue} is not popped: {why}" for queue, why in shortages.items())
