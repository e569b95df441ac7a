"""OpenIAP's gauges: the counts, published through the client's functions every so often.

Only where a metric URL is known: without one the official library logs an error for every call
(client.md, trap 12). Gauges have no labels there, so a queue's name is part of the gauge's name; a
name's type is fixed by its first setter, so it comes from the table and never from the value.
"""

import re
import zlib
from typing import Final, Protocol

from worker.openiap.workitem import JsonObject
from worker.service import Service
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log
from worker.telemetry.metrics import PREFIX, QUEUE_METRICS, WORKER_METRICS, Number

_OTHER: Final = re.compile(r"[^a-z0-9]+")
MAX_NAME: Final = 100
"""Characters of a queue's name that enter a gauge's name; OpenTelemetry's names end at 255."""


class GaugeClient(Protocol):
    """What of a client the gauges need."""

    @property
    def server_config(self) -> JsonObject:
        """What the server's ``/config`` says."""

    def set_f64_observable_gauge(self, name: str, value: float, description: str) -> None:
        """Set a gauge that is a float for ever."""

    def set_u64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge that is a whole number, never below 0, for ever."""

    def disable_observable_gauge(self, name: str) -> None:
        """Publish a gauge no more."""


class Gauges(Service):
    """Publishes the counts.

    Args:
        interval: seconds between two publications.
        metric_url: where metrics go, if the settings say; else the server's ``/config`` decides.
    """

    def __init__(self, counts: Counts, *, interval: float, metric_url: str, log: Log) -> None:
        super().__init__("gauges", pause=interval, on_error=self._failed)
        self._counts = counts
        self._metric_url = metric_url
        self._log = log
        self._client: GaugeClient | None = None
        self._names = GaugeNames()
        self._set: set[str] = set()

    def use(self, client: GaugeClient) -> None:
        """Publish through this client from now on."""
        if client is not self._client:
            self._client = client
            self._set.clear()

    @property
    def wanted(self) -> bool:
        """Whether there is a client and a place for metrics to go."""
        client = self._client
        if client is None:
            return False
        return bool(self._metric_url or client.server_config.get("otel_metric_url"))

    async def round(self) -> None:
        """Publish."""
        self.publish()

    async def stop(self) -> None:
        """Publish no more, and take the gauges away; idempotent."""
        await super().stop()
        client, names = self._client, sorted(self._set)
        self._set.clear()
        if client is None:
            return
        for name in names:
            client.disable_observable_gauge(name)

    def publish(self) -> None:
        """Set every gauge to its present value."""
        client = self._client
        if client is None or not self.wanted:
            return
        snapshot = self._counts.snapshot()
        for queue in (*snapshot.values(), self._counts.together()):
            for metric in QUEUE_METRICS:
                name = self._names.of(queue.queue, metric.name)
                self._put(client, name, metric.number, metric.read(queue), metric.help)
        read = self._counts.worker()
        for worker_metric in WORKER_METRICS:
            value = read.get(worker_metric.name)
            if value is not None:
                name = self._names.of("", worker_metric.name)
                self._put(client, name, worker_metric.number, value, worker_metric.help)

    def _put(self, client: GaugeClient, name: str, number: Number, value: float, help: str) -> None:
        self._set.add(name)
        if number == "u64":
            client.set_u64_observable_gauge(name, max(0, round(value)), help)
        else:
            client.set_f64_observable_gauge(name, float(value), help)

    def _failed(self, error: Exception) -> None:
        self._log.once_a_while("gauges", "the gauges cannot be set", error=error)


class GaugeNames:
    """Gives each queue its part of the gauges' names, once and for ever."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {"": ""}
        self._taken: set[str] = {""}

    def of(self, queue: str, metric: str) -> str:
        """Return ``openiap_worker_<queue>_<metric>``; without a queue the worker's own name."""
        part = self._parts.get(queue)
        if part is None:
            part = self._parts[queue] = self._new(queue)
            self._taken.add(part)
        return f"{PREFIX}_{part}_{metric}" if part else f"{PREFIX}_{metric}"

    def _new(self, queue: str) -> str:
        reduced = _OTHER.sub("_", queue.lower()).strip("_")[:MAX_NAME] or "queue"
        if reduced not in self._taken:
            return reduced
        # Two queues, "a-b" and "a b", that come down to one name; the sum tells them apart.
        return f"{reduced}_{zlib.crc32(queue.encode('utf-8', 'replace')):08x}"
