"""The reporter: makes what a worker tells operators (``fleet/report.py``) of what its parts know.

Made anew for each heartbeat, so each part is asked for what it has at hand, and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from worker.engine.fleet.report import COUNTS, MOST_PROGRESS, MOST_QUEUES, MOST_TEXT
from worker.engine.in_flight import Running
from worker.engine.queue_workers import QueueWorkers
from worker.item.masking import masked
from worker.openiap.fields import duration_of
from worker.openiap.workitem import JsonObject
from worker.telemetry.counts import Counts


@dataclass(frozen=True, slots=True)
class ReportSources:
    """Where a reporter looks.

    Attributes:
        timeouts: seconds that each queue's handler may take.
        not_ready: why the worker is not, by the name of what is amiss.
        short: queues that are not popped for want of something, and of what.
        outbox: how many items are not settled on disk.
        level: of the log.
    """

    workers: QueueWorkers
    counts: Counts
    timeouts: Mapping[str, float | None]
    not_ready: Callable[[], Mapping[str, str]]
    short: Callable[[], Mapping[str, str]]
    outbox: Callable[[], int]
    level: Callable[[], str]


class Reporter:
    """Makes reports."""

    def __init__(self, sources: ReportSources) -> None:
        self._sources = sources
        self.steered: Callable[[], JsonObject] = dict
        """Returns what there is to tell of commands."""

    def __call__(self) -> JsonObject:
        """Return the report as it is now; what is empty is left out."""
        sources = self._sources
        report: dict[str, Any] = {
            "queues": self._queues(),
            "progress": _progress(sources.workers.in_flight()),
            "outbox": sources.outbox(),
            "not_ready": _texts(sources.not_ready()),
            "level": sources.level(),
            "minutes": sources.counts.minutes.told(),
            **self.steered(),
        }
        return {name: value for name, value in report.items() if value}

    def _queues(self) -> JsonObject:
        sources, short = self._sources, self._sources.short()
        found: JsonObject = {}
        for name, counts in islice(sources.counts.snapshot().items(), MOST_QUEUES):
            consumer = sources.workers.consumers.get(name)
            trouble = short.get(name) or (consumer.trouble if consumer is not None else "")
            queue: dict[str, Any] = {
                "handler": counts.handler,
                "timeout": sources.timeouts.get(name),
                "per_second": round(counts.items_per_second, 3),
                "trouble": _text(trouble),
                **{count: getattr(counts, count) for count in COUNTS},
            }
            found[name] = {key: value for key, value in queue.items() if value}
        return found


def _progress(in_flight: list[Running]) -> JsonObject:
    found: JsonObject = {}
    for running in in_flight:
        item = running.item
        if item is None or not item.has_metadata or item.metadata.progress is None:
            continue
        progress = item.metadata.progress
        share = duration_of(progress.get("share"))
        found[running.workitem.id] = [share or 0.0, _text(str(progress.get("text") or ""))]
        if len(found) >= MOST_PROGRESS:
            break
    return found


def _texts(given: Mapping[str, str]) -> JsonObject:
    return {name: _text(text) for name, text in given.items()}


def _text(text: str) -> str:
    return masked(text)[:MOST_TEXT] if text else ""
