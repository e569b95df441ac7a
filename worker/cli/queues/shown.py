"""How queues are shown, and what their commands share."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from worker.cli.shared.client import with_client
from worker.cli.shared.complete import queue_names
from worker.cli.shared.item_view import moment
from worker.cli.shared.options import Options, settings_of
from worker.durations import text as duration_text
from worker.management.queues.service import Queues
from worker.management.queues.types import QueueResponse
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

T = TypeVar("T")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The queue's name.",
        show_default=False,
        autocompletion=queue_names,
    ),
]
COLUMNS: Final = {
    "queue": "whole",
    "new": "number",
    "running": "number",
    "successful": "number",
    "failed": "number",
    "oldest": "number",
    "workers": "number",
    "attempts": "number",
    "delay": "number",
}


def with_queues(given: Options, work: Callable[[Queues], Awaitable[T]]) -> T:
    """Do a command's work with a signed-in client."""
    return with_client(settings_of(given).settings, lambda signed: work(Queues(signed)))


def shown(queue: QueueResponse) -> JsonObject:
    """Return it for programs."""
    return queue.model_dump(exclude={"items", "oldest_waiting", "workers", "slots"})


def row(queue: QueueResponse) -> tuple[Any, ...]:
    """Return it as a line of the table."""
    items = queue.items
    waits = queue.oldest_waiting
    return (
        queue.name,
        *(("",) * 4 if items is None else items.model_dump().values()),
        "" if waits is None else duration_text(round(waits)),
        "" if queue.workers is None else queue.workers,
        queue.max_retries,
        f"{queue.retry_delay} s",
    )


def note(queue: QueueResponse, *, utc: bool = False) -> str:
    """Return what else is to be said of it: that it is paused, and where its items go on to."""
    ways = (("successful ones", queue.success_queue), ("failed ones", queue.failed_queue))
    then = [f"{which} to {target}" for which, target in ways if target]
    parts = [pause_text(queue, utc=utc)] if queue.paused else []
    return "; ".join(parts + ([f"then {', '.join(then)}"] if then else []))


def pause_text(queue: QueueResponse, *, utc: bool) -> str:
    """Say who paused it, why and until when."""
    pause = queue.paused
    if pause is None:
        return "not paused"
    by = f" by {pause.by}" if pause.by else ""
    end = "until it is resumed"
    if pause.until is not None:
        end = f"until {moment(iso(pause.until), utc=utc)}"
    return f"paused{by} {end}{f': {pause.reason}' if pause.reason else ''}"
