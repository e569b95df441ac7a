"""Many items changed at once: shown first, asked for, done with a bar, and what failed in the end.

A command that is stopped in the middle goes on when it is given again (``unfinished.py``).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from worker.cli.items.choice import Choice, is_given
from worker.cli.items.unfinished import Unfinished
from worker.cli.shared.asking import bar, confirm
from worker.cli.shared.client import with_client
from worker.cli.shared.errors import FAILED, usage_error
from worker.cli.shared.item_view import moment, show_items
from worker.cli.shared.options import AsJson, Utc, Yes
from worker.cli.shared.output import many, print_json, safe, to_stderr, to_stdout
from worker.management.items.service import Items
from worker.management.items.types import (
    BatchPreviewResponse,
    BatchResponse,
    ItemFilter,
)
from worker.openiap.client import Client
from worker.openiap.values import iso
from worker.producer.producer import Checks
from worker.settings import Settings

MOST_SHOWN: Final = 20
WHICH: Final = "Which items? Give their ids, or say which, for example --queue NAME."


@dataclass(frozen=True, slots=True)
class How:
    """How much is asked, done and shown: options as they were given."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how many and which, and change nothing.")
    ] = False
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Begin anew, and do not go on with the same command that was stopped."
        ),
    ] = False
    yes: Yes = False
    utc: Utc = False
    as_json: AsJson = False


@dataclass(frozen=True, slots=True)
class Change:
    """What a command does.

    Attributes:
        word: what is typed to confirm it, before the number of items.
        does, done: how it is called before and after.
        asked: makes what the service is asked for, of the filter and the moment of its beginning.
        run: the service's method.
        checks: contracts for the payloads.
    """

    word: str
    does: str
    done: str
    asked: Callable[[ItemFilter, datetime | None], Any]
    run: Callable[..., Awaitable[BatchResponse]]
    checks: Checks | None = None


def change_many(
    settings: Settings,
    change: Change,
    choice: Choice,
    given: Mapping[str, Any],
    how: How,
    *,
    ids: list[str] | None = None,
) -> None:
    """Show, ask, do, and tell.

    Args:
        given: what else the command was given, to know it again.
    """
    if ids and is_given(choice):
        raise usage_error("Ids, and options that are for many items: give one of them.")
    if not ids and not is_given(choice):
        raise usage_error(WHICH)
    filter = ItemFilter(ids=list(dict.fromkeys(ids))) if ids else choice.filter()
    # A filter that says "in the last hour" is another one every time; what was typed is not.
    typed = {name: getattr(choice, name) for name in Choice.__dataclass_fields__}
    kept = Unfinished(settings, {"word": change.word, "ids": ids, **typed, **given})
    begun = None if how.anew else kept.before()
    if begun is not None:
        to_stderr().print(
            safe(
                f"Goes on with what was begun at {moment(iso(begun), utc=how.utc)}; items that"
                " changed since then are left alone. To begin anew: --anew."
            ),
            soft_wrap=True,
        )

    untouched = 0

    async def work(signed: Client) -> BatchResponse | None:
        nonlocal untouched
        items = Items(signed, contracts=change.checks, history=settings.history)
        preview = await items.preview_batch(change.asked(filter, begun))
        if begun is None and filter.ids:  # of those that were begun some are done
            untouched = len(filter.ids) - preview.count
        if how.dry_run and how.as_json:
            print_json(preview.model_dump())
            return None
        if not how.as_json or not how.yes:
            _show(change, preview, utc=how.utc)
        if how.dry_run:
            return None
        if not preview.count:
            kept.end()
            return BatchResponse(before=preview.before, conditional=preview.conditional)
        confirm(
            f"{change.does}: {many(preview.count, 'item')}?",
            yes=how.yes,
            typed=f"{change.word} {preview.count}",
        )
        kept.begin(preview.before)
        with bar(preview.count) as shown:
            task = shown.add_task(change.does, total=preview.count)

            def on_progress(response: BatchResponse) -> None:
                shown.update(task, completed=response.done + response.changed + response.failed)

            response = await change.run(items, change.asked(filter, preview.before), on_progress)
        kept.end()
        return response

    response = with_client(settings, work)
    if response is not None and how.as_json:
        print_json(response.model_dump())
    elif response is not None:
        _tell(change, response)
    if untouched > 0:
        to_stderr().print(
            f"{untouched:,} of {many(len(filter.ids), 'item')} cannot be: not there, not for this"
            " user, or in a state that this does not touch. See: openiap-worker items show ID.",
            style="red",
            soft_wrap=True,
        )
    if untouched > 0 or (response is not None and response.failed):
        raise typer.Exit(FAILED)


def _show(change: Change, preview: BatchPreviewResponse, *, utc: bool) -> None:
    console = to_stderr()
    console.print(safe(f"{change.does}: {many(preview.count, 'item')}."), soft_wrap=True)
    if not preview.count:
        return
    show_items(console, preview.sample, utc=utc)
    if preview.count > len(preview.sample):
        console.print(f"and {preview.count - len(preview.sample):,} more", style="dim")
    for left, count in sorted(preview.attempts_left.items()):
        console.print(f"It leaves {many(left, 'attempt')} to {many(count, 'item')}.")
    if preview.running:
        run = "runs; its worker" if preview.running == 1 else "run; their workers"
        console.print(f"Of these {preview.running:,} {run} would be told to end.", soft_wrap=True)
    if not preview.conditional and change.word != "cancel":
        console.print(
            "The official client cannot change an item on a condition: each is read right before,"
            " and what changes in that moment is overwritten. With --client native it is not.",
            soft_wrap=True,
        )


def _tell(change: Change, response: BatchResponse) -> None:
    to_stdout().print(safe(f"{change.done}: {many(response.done, 'item')}."))
    if response.stopping:
        run = "runs; its worker is" if response.stopping == 1 else "run; their workers are"
        to_stdout().print(f"Of these {response.stopping:,} {run} told to end.")
    if response.changed:
        verb = "was" if response.changed == 1 else "were"
        to_stdout().print(
            f"Left alone: {many(response.changed, 'item')} that {verb} changed meanwhile."
        )
    for failure in response.failures[:MOST_SHOWN]:
        to_stderr().print(safe(f"{failure.id}: {failure.reason}"), style="red", soft_wrap=True)
    if response.failed > MOST_SHOWN:
        more = response.failed - MOST_SHOWN
        to_stderr().print(f"and {more:,} more; all with --json", style="red")
