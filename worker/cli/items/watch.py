"""``items watch``: items as they change, a line each, until Ctrl-C."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, cast

import typer
from rich.text import Text

from worker.cli.items.choice import Choice
from worker.cli.shared.client import with_client
from worker.cli.shared.groups import grouped
from worker.cli.shared.item_view import moment, name_of, state
from worker.cli.shared.options import AsJson, Options, Utc, settings_of
from worker.cli.shared.output import print_json, safe, to_stderr, to_stdout
from worker.management.items.service import Items
from worker.management.items.types import ItemResponse, ItemsWatchPayload
from worker.openiap.client import Client
from worker.openiap.values import iso
from worker.openiap.workitem import FAILED, PROCESSING


@grouped
def watch(
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="End after so many lines. Default: at Ctrl-C."),
    ] = None,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
    choice: Choice,
) -> None:
    """Show items as they change: pushed, popped, finished, put back. Ctrl-C ends it."""
    asked = ItemsWatchPayload(filter=choice.filter())
    chosen = settings_of(given).settings

    async def work(signed: Client) -> None:
        shown = 0
        changed = cast("AsyncGenerator[ItemResponse, None]", Items(signed).watch(asked))
        async with aclosing(changed):
            async for item in changed:
                _show(item, as_json=as_json, utc=utc)
                shown += 1
                if shown == limit:
                    return

    if not as_json:
        to_stderr().print("Watching; Ctrl-C ends it.", style="dim")
    try:
        with_client(chosen, work)
    except KeyboardInterrupt:
        return


def _show(item: ItemResponse, *, as_json: bool, utc: bool) -> None:
    if as_json:
        print_json(item.model_dump(), on_one_line=True)
        return
    at = item.lastrun if item.state == PROCESSING else item.modified
    line = Text("  ").join(
        [
            safe(moment(at or iso(datetime.now(UTC)), utc=utc)),
            safe(item.id),
            state(item),
            safe(item.queue or ""),
            safe(f"attempt {item.attempts}" if item.attempts else "not begun"),
            safe(" ".join(name_of(item.name).split())),
        ]
    )
    if item.state == FAILED or item.waits:
        line.append_text(safe("  " + " ".join((item.waits or item.errormessage or "").split())))
    to_stdout().print(line, soft_wrap=True)
