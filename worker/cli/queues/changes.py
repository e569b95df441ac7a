"""``queues purge``, ``delete``, ``pause``, ``resume``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from worker.cli.items.choice import Choice, is_given
from worker.cli.queues.shown import Name, pause_text, shown, with_queues
from worker.cli.shared.asking import confirm
from worker.cli.shared.errors import FAILED, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, Utc, Yes
from worker.cli.shared.output import many, print_json, print_result, safe, to_stderr
from worker.cli.shared.payloads import moment
from worker.durations import seconds
from worker.management.items.types import ItemFilter
from worker.management.queues.service import Queues
from worker.management.queues.types import (
    QueueDeletePayload,
    QueuePausePayload,
    QueuePurgePayload,
    QueuePurgeResponse,
    QueueResumePayload,
)


@grouped
def purge(
    of: Name,
    yes: Yes = False,
    as_json: AsJson = False,
    *,
    given: Options,
    choice: Choice,
) -> None:
    """Delete items of a queue with their files: all, in whatever state, or those that options say.

    With options, none that is being processed.
    """
    chosen = is_given(choice)
    filter = choice.filter() if chosen else ItemFilter()
    if filter.queue not in (None, of):
        raise usage_error(f"--queue {filter.queue}: the queue is {of}; leave it out.")

    async def work(queues: Queues) -> QueuePurgeResponse:
        asked = QueuePurgePayload(name=of, filter=filter)
        preview = await queues.preview_purge(asked)
        confirm(f"Delete {many(preview.count, 'item')} of queue {of}?", yes=yes)
        asked = asked.model_copy(update={"before": preview.before if chosen else None})
        with _counting(f"deleting items of {of}") as advance:
            return await queues.purge_one(asked, advance)

    gone = with_queues(given, work)
    text = f"Deleted {many(gone.deleted, 'item')} of queue {of}."
    if gone.changed:
        text += f" Left alone: {many(gone.changed, 'item')}, changed meanwhile."
    if as_json:
        less = {"changed", "failed"} if not chosen else set()
        print_json(gone.model_dump(exclude=less))
    else:
        print_result(None, text, as_json=False)
    if gone.failed:
        failed = f"{many(gone.failed, 'item')} could not be deleted."
        to_stderr().print(safe(failed), style="red")
        raise typer.Exit(FAILED)


@grouped
def delete(
    name: Name,
    yes: Yes = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Delete a queue and all its items."""

    async def work(queues: Queues) -> None:
        preview = await queues.preview_delete(QueueDeletePayload(name=name))
        confirm(f"Delete queue {name} with {many(preview.count, 'item')}?", yes=yes)
        with _counting(f"deleting items of {name}") as advance:
            await queues.delete_one(QueueDeletePayload(name=name), advance)

    with_queues(given, work)
    text = f"Deleted queue {name}."
    print_result({"queue": name, "deleted": True}, text, as_json=as_json)


@grouped
def pause(
    name: Name,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for those who look.")
    ] = "",
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="Until then: 2026-12-24T18:00, or 2h."),
    ] = None,
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="For so long: 90s, 2h. Default: until resumed."),
    ] = None,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Have no worker pop a queue; what runs finishes. Takes the right to update the queue."""
    if until is not None and lasting is not None:
        raise usage_error("--until and --for: give one of them.")
    asked = QueuePausePayload(
        name=name,
        reason=reason[:500],
        until=None if until is None else moment(until, now=datetime.now(UTC), option="--until"),
        seconds=None if lasting is None else _seconds(lasting),
    )

    done = with_queues(given, lambda queues: queues.pause_one(asked))
    text = f"Queue {name} is {pause_text(done, utc=utc)}. To go on: openiap-worker queues resume"
    print_result(shown(done), f"{text} {name}", as_json=as_json)


@grouped
def resume(
    name: Name,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Let workers pop a queue again."""

    done = with_queues(given, lambda queues: queues.resume_one(QueueResumePayload(name=name)))
    print_result(shown(done), f"Queue {name} is popped.", as_json=as_json)


def _seconds(text: str) -> float:
    try:
        found = seconds(text)
    except (ValueError, OverflowError):
        found = 0.0
    if not 0 < found <= 10 * 365 * 86_400:
        raise usage_error(f"--for {text}: allowed: a time like 90s, 2h or 3d.")
    return found


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    counter = TextColumn("{task.completed:.0f}")
    console = to_stderr()
    with Progress(
        *columns, counter, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda number: bar.advance(task, number)
