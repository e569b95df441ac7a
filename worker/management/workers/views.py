"""What is answered of workers, made of what they told. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from worker.engine.fleet.presence import is_gone
from worker.engine.fleet.report import Answer, QueueReport, Report
from worker.management.paging import Direction
from worker.management.workers.hours import hours_of_fleet
from worker.management.workers.types import (
    AnswerResponse,
    SortBy,
    WorkerDetailResponse,
    WorkerItem,
    WorkerQueue,
    WorkerResponse,
    WorkerState,
)

W = TypeVar("W", bound=WorkerResponse)
OF_OTHERS: Final = "of a queue that this user does not see"


def worker_of(report: Report, document: Mapping[str, Any], dead_after: float) -> WorkerResponse:
    """Return a worker as lists show it.

    Args:
        dead_after: seconds of silence after which it counts as dead.
    """
    peer, state = report.peer, _state(report, document, dead_after)
    in_flight = Counter(claim.queue for claim in report.claimed)
    living = state in ("working", "quiet")
    return WorkerResponse(
        id=peer.id,
        state=state,
        host=peer.host,
        pid=peer.pid,
        version=peer.version,
        namespace=peer.namespace,
        since=report.began,
        seen=peer.stamp,
        silent=round(max(0.0, peer.silent), 1),
        queues=[_queue(queue, in_flight[queue.name]) for queue in report.queues],
        in_flight=len(report.claimed),
        per_second=round(sum(queue.per_second for queue in report.queues) if living else 0.0, 3),
        outbox=report.outbox,
        log_level=report.level,
        quiet=report.quiet,
        not_ready=dict(report.not_ready) if living else {},
        steerable=living and bool(report.mailbox),
        trouble=_trouble(report, state),
    )


def detail_of(
    report: Report, document: Mapping[str, Any], now: datetime, dead_after: float
) -> WorkerDetailResponse:
    """Return a worker whole; ``now`` is the server's time."""
    queues = {queue.name: queue for queue in report.queues}
    items = []
    for claim in report.claimed:
        queue = queues.get(claim.queue, QueueReport(claim.queue))
        share, text = report.progress.get(claim.id, (None, ""))
        since, deadline = claim.lastrun, None
        if since is not None and queue.timeout is not None:
            deadline = since + timedelta(seconds=queue.timeout)
        items.append(
            WorkerItem(
                id=claim.id,
                queue=claim.queue,
                handler=queue.handler,
                attempt=claim.retries + 1,
                since=since,
                seconds=None if since is None else round((now - since).total_seconds(), 1),
                progress=share,
                text=text,
                deadline=deadline,
            )
        )
    return WorkerDetailResponse(
        **worker_of(report, document, dead_after).model_dump(),
        items=items,
        hour=list(hours_of_fleet([report], now).values()),
        answers=[_answer(one) for one in report.answers],
    )


def without(report: Report, hidden: Collection[str]) -> Report:
    """Return what a worker tells, less what is of some queues."""

    def shown(text: str) -> str:
        return OF_OTHERS if any(name in text for name in hidden) else text

    if not hidden:
        return report
    return replace(
        report,
        queues=tuple(one for one in report.queues if one.name not in hidden),
        claimed=tuple(one for one in report.claimed if one.queue not in hidden),
        not_ready={shown(name): shown(text) for name, text in report.not_ready.items()},
        answers=tuple(replace(one, text=shown(one.text)) for one in report.answers),
    )


def queues_of(reports: Iterable[Report]) -> set[str]:
    """Return the names of all queues in what workers tell."""
    return {
        name
        for report in reports
        for name in (*(one.name for one in report.queues), *(one.queue for one in report.claimed))
    }


def sorted_by(workers: Sequence[W], field: SortBy, direction: Direction) -> list[W]:
    """Return workers in an order; those without the value come last."""

    def place(worker: W) -> tuple[Any, str]:
        value: Any = getattr(worker, field)
        return (value.timestamp() if isinstance(value, datetime) else value), worker.id

    there = [one for one in workers if getattr(one, field) is not None]
    rest = [one for one in workers if getattr(one, field) is None]
    return [*sorted(there, key=place, reverse=direction == "desc"), *rest]


def _state(report: Report, document: Mapping[str, Any], dead_after: float) -> WorkerState:
    if is_gone(document):
        return "gone"
    if report.peer.silent > dead_after:
        return "dead"
    return "quiet" if report.quiet else "working"


def _trouble(report: Report, state: WorkerState) -> str:
    if state == "gone":
        return ""
    if state == "dead":
        held = len(report.claimed)
        return f"silent for {report.peer.silent:.0f} s" + (f", holds {held} items" if held else "")
    told = [f"{name}: {text}" for name, text in report.not_ready.items()]
    told += [f"{queue.name}: {queue.trouble}" for queue in report.queues if queue.trouble]
    return "; ".join(told)


def _queue(queue: QueueReport, in_flight: int) -> WorkerQueue:
    return WorkerQueue(
        name=queue.name,
        handler=queue.handler,
        concurrency=queue.slots,
        free=queue.free,
        in_flight=in_flight,
        per_second=queue.per_second,
        counts=dict(queue.counts),
        trouble=queue.trouble,
    )


def _answer(answer: Answer) -> AnswerResponse:
    return AnswerResponse(
        id=answer.id,
        action=answer.action,
        done=answer.done,
        text=answer.text,
        by=answer.by,
        at=answer.at,
    )
