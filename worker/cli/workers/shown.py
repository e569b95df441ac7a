"""How workers, their items in flight and their last hour are shown."""

from datetime import datetime

from worker.cli.shared.item_view import moment
from worker.cli.shared.output import print_json, show, show_facts, show_noted, to_stdout
from worker.durations import text
from worker.management.workers.types import (
    HourResponse,
    WorkerDetailResponse,
    WorkerItem,
    WorkerResponse,
)
from worker.openiap.values import iso


def show_workers(workers: list[WorkerDetailResponse], *, utc: bool) -> None:
    """Print workers in a table, with what is amiss below each."""
    columns = dict.fromkeys(("worker", "state", "queues"), "whole")
    columns |= {"in flight": "number", "per second": "number", "seen": "whole"}
    rows = [
        (
            one.id,
            one.state,
            ", ".join(f"{queue.name}:{queue.concurrency}" for queue in one.queues),
            f"{one.in_flight:,}",
            f"{one.per_second:.1f}",
            _moment(one.seen, utc=utc),
        )
        for one in workers
    ]
    show_noted(to_stdout(), columns, rows, [_note(one) for one in workers])


def show_worker(worker: WorkerDetailResponse, *, utc: bool) -> None:
    """Print one worker whole."""
    console = to_stdout()
    facts: list[tuple[str, object]] = [
        ("worker", worker.id),
        ("state", f"{worker.state} {worker.quiet}".strip()),
        ("where", f"{worker.host}, pid {worker.pid}, version {worker.version}"),
        ("since", _moment(worker.since, utc=utc)),
        ("seen", _moment(worker.seen, utc=utc)),
        ("outbox", worker.outbox),
        ("log level", worker.log_level),
    ]
    if worker.trouble:
        facts.append(("trouble", worker.trouble))
    show_facts(console, facts)
    columns = {"queue": "", "handler": "", "at once": "number", "in flight": "number"}
    columns |= {"per second": "number", "done": "number", "failed": "number", "retried": "number"}
    console.print()
    show(
        console,
        columns,
        [
            (
                queue.name,
                queue.handler,
                f"{queue.concurrency:,}",
                f"{queue.in_flight:,}",
                f"{queue.per_second:.1f}",
                *(f"{queue.counts.get(name, 0):,}" for name in ("successful", "failed", "retried")),
            )
            for queue in worker.queues
        ],
    )
    if worker.items:
        console.print()
        columns = {"item": "whole", "queue": "", "attempt": "number", "runs for": "number"}
        columns |= {"until": "whole", "progress": ""}
        items = [
            (*_begun(item), _moment(item.deadline, utc=utc), _progress(item))
            for item in worker.items
        ]
        show(console, columns, items)
    if worker.hour:
        console.print()
        _show_hours(worker.hour)
    if worker.answers:
        console.print()
        rows = [
            (_moment(one.at, utc=utc), one.action, one.by, "yes" if one.done else "no", one.text)
            for one in worker.answers
        ]
        show(console, {"told": "whole", "what": "", "by": "", "done": "", "": ""}, rows)


def _show_hours(hours: list[HourResponse]) -> None:
    """Print the last hour of queues."""
    columns = {"last hour": "", "done": "number", "failed": "number", "retried": "number"}
    columns |= dict.fromkeys(("wait", "wait 95 %", "run", "run 95 %"), "number")
    rows = [
        (
            hour.queue,
            f"{hour.successful:,}",
            f"{hour.failed:,}",
            f"{hour.retried:,}",
            *(
                "" if value is None else f"{value:.3g} s"
                for value in (hour.wait_median, hour.wait_95, hour.run_median, hour.run_95)
            ),
        )
        for hour in hours
    ]
    show(to_stdout(), columns, rows)


def show_all_items(workers: list[WorkerDetailResponse], *, as_json: bool) -> None:
    """Print the items in flight of all workers."""
    if as_json:
        pairs = [(worker.id, item) for worker in workers for item in worker.items]
        print_json([{"worker": id, **item.model_dump(mode="json")} for id, item in pairs])
        return
    rows = [
        (worker.id, *_begun(item), _progress(item)) for worker in workers for item in worker.items
    ]
    if not rows:
        to_stdout().print("No items in flight.")
        return
    columns = {"worker": "whole", "item": "whole", "queue": "", "attempt": "number"}
    show(to_stdout(), {**columns, "runs for": "number", "progress": ""}, rows)


def _begun(item: WorkerItem) -> tuple[object, ...]:
    """Return which item, and for how long it has run."""
    runs_for = "" if item.seconds is None else text(round(max(0.0, item.seconds)))
    return item.id, item.queue, item.attempt, runs_for


def _progress(item: WorkerItem) -> str:
    return "" if item.progress is None else f"{item.progress:.0%} {item.text}".strip()


def _note(worker: WorkerResponse) -> str:
    parts = [f"{worker.host}, pid {worker.pid}", worker.version]
    if worker.quiet:
        parts.append(f"quiet {worker.quiet}")
    if worker.trouble:
        parts.append(worker.trouble)
    return "; ".join(part for part in parts if part)


def _moment(value: datetime | None, *, utc: bool) -> str:
    return "" if value is None else moment(iso(value), utc=utc)
