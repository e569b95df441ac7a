"""What is known of the fleet, as the server told last; and the tables made of it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.cli.shared.item_view import name_of
from worker.durations import text as duration_text
from worker.management.items.types import ErrorGroupResponse, ItemResponse
from worker.management.queues.types import QueueResponse
from worker.management.workers.types import WorkerDetailResponse
from worker.openiap.fields import moment_of
from worker.openiap.values import iso
from worker.openiap.workitem import SUCCESSFUL

TABS: Final = ("queues", "workers", "errors", "running", "items")
MINUTES: Final = 60
MOST_NOTE: Final = 2_000


@dataclass(slots=True)
class Board:
    """What was told.

    Attributes:
        away: why the server is not there; "" while it is.
        refused: by tab, why it cannot be seen.
        user: who is signed in.
        asked: the moment by this machine's clock to which the ages of queues and workers are told.
        groups, items: None until they were told.
    """

    url: str = ""
    user: str = ""
    away: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    queues: list[QueueResponse] | None = None
    workers: list[WorkerDetailResponse] | None = None
    groups: list[ErrorGroupResponse] | None = None
    items: list[ItemResponse] | None = None
    scope: str = ""
    """Which items these are."""
    queues_at: float = 0.0
    workers_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``width`` 0 takes what is left."""

    name: str
    width: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Attributes:
        id: of what it shows; ranks: what each column is sorted by.
        note: what else is to be said of it.
        about: what keys act on.
    """

    id: str
    cells: tuple[str, ...]
    ranks: tuple[Any, ...]
    note: str = ""
    style: str = ""
    about: Any = None


COLUMNS: Final = {
    "queues": (
        Column("queue"),
        Column("waiting", 9, True),
        Column("oldest", 8, True),
        Column("running", 9, True),
        Column("failed", 9, True),
        Column("done", 9, True),
        Column("workers", 7, True),
    ),
    "workers": (
        Column("worker"),
        Column("state", 8),
        Column("running", 7, True),
        Column("items/s", 7, True),
        Column("seen", 6, True),
        Column("queues", 26),
    ),
    "errors": (
        Column("items", 8, True),
        Column("last", 7, True),
        Column("queues", 16),
        Column("error"),
    ),
    "running": (
        Column("item", 24),
        Column("queue", 12),
        Column("worker", 12),
        Column("try", 3, True),
        Column("for", 7, True),
        Column("progress"),
    ),
    "items": (
        Column("item", 24),
        Column("state", 10),
        Column("queue", 12),
        Column("try", 3, True),
        Column("changed", 7, True),
        Column("error or name"),
    ),
}


def rows_of(board: Board, tab: str, now: datetime, uptime: float) -> list[Row] | None:
    """Return a tab's lines; None for what is not known yet.

    Args:
        now: this machine's time.
        uptime: seconds; the clock of ``queues_at`` and ``workers_at``.
    """
    if tab == "queues":
        older = max(0.0, uptime - board.queues_at)
        return _each(board.queues, lambda one: _queue(one, older))
    if tab == "errors":
        return _each(board.groups, lambda one: _group(one, now))
    if tab == "items":
        return _each(board.items, lambda one: _item(one, now))
    if board.workers is None:
        return None
    older = max(0.0, uptime - board.workers_at)
    if tab == "workers":
        return [_worker(one, older) for one in board.workers]
    living = [one for one in board.workers if one.state != "gone"]
    return [_running(worker, item, older) for worker in living for item in worker.items]


def _each(found: Sequence[Any] | None, row: Callable[[Any], Row]) -> list[Row] | None:
    return None if found is None else [row(one) for one in found]


def _queue(queue: QueueResponse, older: float) -> Row:
    items, waits = queue.items, queue.oldest_waiting
    held = (0, 0, 0, 0)
    if items is not None:
        held = (items.new, items.processing, items.failed, items.successful)
    age = None if waits is None else waits + older
    new, running, failed, done = held
    note, style = "", ""
    if queue.paused is not None:
        pause = queue.paused
        until = "" if pause.until is None else f" until {iso(pause.until)[:16]}Z"
        note = f"paused by {pause.by or 'somebody'}{until}: {pause.reason or 'no reason given'}"
        style = "yellow"
    elif new and not queue.workers:
        note, style = "items wait, and no worker works it", "red"
    name = f"{queue.name} (paused)" if queue.paused else queue.name
    return Row(
        queue.name,
        (
            name,
            f"{new:,}",
            ago(age),
            f"{running:,}",
            f"{failed:,}",
            f"{done:,}",
            f"{queue.workers or 0:,}",
        ),
        (queue.name, new, age or 0.0, running, failed, done, queue.workers or 0),
        note,
        style,
        queue,
    )


def _worker(worker: WorkerDetailResponse, older: float) -> Row:
    silent = worker.silent + older
    queues = ", ".join(f"{queue.name}:{queue.concurrency}" for queue in worker.queues)
    note = f"{worker.host}, pid {worker.pid}, {worker.version}"
    for more in (f"quiet {worker.quiet}" if worker.quiet else "", worker.trouble):
        note = f"{more}; {note}" if more else note
    style = "red" if worker.trouble else "dim" if worker.state == "gone" else ""
    if worker.state == "quiet" and not style:
        style = "yellow"
    return Row(
        worker.id,
        (
            worker.id,
            worker.state,
            f"{worker.in_flight:,}",
            f"{worker.per_second:.1f}",
            ago(silent),
            queues,
        ),
        (worker.id, worker.state, worker.in_flight, worker.per_second, silent, queues),
        note,
        style,
        worker,
    )


def _group(group: ErrorGroupResponse, now: datetime) -> Row:
    queues = ", ".join(sorted(group.queues))
    error = f"[{group.code}] {group.message}" if group.code else group.message
    return Row(
        group.id,
        (f"{group.count:,}", since(group.last, now), queues, error),
        (group.count, group.last or "", queues, error),
        f"group {group.id}, for example {group.sample.id}: {group.sample.message}"[:MOST_NOTE],
        "",
        group,
    )


def _running(worker: WorkerDetailResponse, item: Any, older: float) -> Row:
    took = None if item.seconds is None else max(0.0, item.seconds + older)
    share = "" if item.progress is None else f"{item.progress:.0%} {item.text}".strip()
    note = f"{item.handler} on {worker.host}" + (f"; {share}" if share else "")
    if item.deadline is not None:
        note += f"; its time ends at {iso(item.deadline)[:19]}Z"
    return Row(
        item.id,
        (item.id, item.queue, worker.id, str(item.attempt), ago(took), share or item.handler),
        (item.id, item.queue, worker.id, item.attempt, took or 0.0, share),
        note,
        "red" if worker.state == "dead" else "",
        item,
    )


def _item(item: ItemResponse, now: datetime) -> Row:
    # The official client cannot take the error of an earlier attempt away.
    error = "" if item.state == SUCCESSFUL else item.waits or item.errormessage or ""
    what = error or name_of(item.name)
    style = {"failed": "red", "processing": "cyan", "successful": "green"}.get(item.state or "", "")
    return Row(
        item.id,
        (
            item.id,
            item.state or "",
            item.queue or "",
            str(item.attempts),
            since(item.modified, now),
            what,
        ),
        (
            item.id,
            item.state or "",
            item.queue or "",
            item.attempts,
            item.modified or "",
            what,
        ),
        ": ".join(one for one in (name_of(item.name), error) if one)[:MOST_NOTE],
        style,
        item,
    )


def chosen(rows: Sequence[Row], sort: int, *, down: bool, text: str) -> list[Row]:
    """Return the lines that have a text in them, by a column."""
    wanted = text.casefold()
    kept = [row for row in rows if not wanted or any(wanted in c.casefold() for c in row.cells)]
    kept.sort(key=lambda row: row.id)
    kept.sort(key=lambda row: row.ranks[sort], reverse=down)
    return kept


def ended_by_minute(workers: Sequence[WorkerDetailResponse], now: datetime) -> list[int]:
    """Return how many attempts ended in each minute of the last hour, the oldest first."""
    counts = [0] * MINUTES
    begin = now.astimezone(UTC).replace(second=0, microsecond=0)
    for worker in workers:
        for hour in worker.hour:
            for one in hour.minutes:
                back = (begin - one.at) // timedelta(minutes=1)
                if 0 <= back < MINUTES:
                    counts[MINUTES - 1 - back] += one.successful + one.failed + one.retried
    return counts


def ago(seconds: float | None) -> str:
    """Return a time in at most 7 characters; "" for none."""
    if seconds is None:
        return ""
    for most, unit, letter in ((60, 1, "s"), (3_600, 60, "m"), (86_400, 3_600, "h")):
        if seconds < most:
            return (
                duration_text(round(seconds)) if letter == "s" else f"{seconds / unit:.0f}{letter}"
            )
    return f"{min(seconds / 86_400, 99_999):.0f}d"


def since(moment: str | None, now: datetime) -> str:
    """Return how long ago a moment of OpenIAP's was."""
    found = moment_of(moment)
    return "" if found is None else ago(max(0.0, (now - found).total_seconds()))
