"""``items``: list, show, errors, index; what changes items is in ``changes.py``, and all else has a
file of its own."""

from typing import Annotated, get_args

import typer

from worker.cli.items.cancel import cancel
from worker.cli.items.changes import delete, edit, move, priority, retry
from worker.cli.items.choice import Choice
from worker.cli.items.download import download
from worker.cli.items.history import history
from worker.cli.items.signal import signal
from worker.cli.items.watch import watch
from worker.cli.push import push
from worker.cli.shared.client import with_client
from worker.cli.shared.complete import sort_fields
from worker.cli.shared.errors import usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.item_page import show_item
from worker.cli.shared.item_view import moment, show_items
from worker.cli.shared.options import AsJson, Options, Utc, settings_of
from worker.cli.shared.output import many, print_json, show, to_stderr, to_stdout
from worker.management.items.service import Items
from worker.management.items.types import (
    ErrorGroupResponse,
    ItemDetailResponse,
    ItemGetPayload,
    ItemResponse,
    ItemsGetCountPayload,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    SortBy,
)
from worker.openiap.client import Client

app = typer.Typer(help="Look at, retry, change and delete work items.", no_args_is_help=True)
SORTS = get_args(SortBy)


@app.command("list")
@grouped
def list_items(
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="FIELD",
            help=f"By: {', '.join(SORTS)}.",
            autocompletion=sort_fields,
        ),
    ] = "created",
    ascending: Annotated[
        bool, typer.Option("--ascending", help="The first one first, not the last one.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
    choice: Choice,
) -> None:
    """List items, the newest first."""
    if sort not in SORTS:
        raise usage_error(f"--sort {sort}: allowed: {', '.join(SORTS)}.")
    asked = ItemsGetListPayload(
        filter=choice.filter(),
        sort_by=sort,
        sort_direction="asc" if ascending else "desc",
        limit=limit,
    )
    chosen = settings_of(given).settings

    async def work(signed: Client) -> tuple[list[ItemResponse], int]:
        items = Items(signed)
        found = await items.get_list(asked)
        return found, len(found) if len(found) < limit else await items.get_count(
            ItemsGetCountPayload(filter=asked.filter)
        )

    found, total = with_client(chosen, work)
    if as_json:
        print_json([item.model_dump() for item in found])
        return
    if not found:
        to_stdout().print("No items.")
        return
    show_items(to_stdout(), found, utc=utc)
    if total > len(found):
        to_stderr().print(f"{len(found):,} of {total:,}; more with --limit.", style="dim")


@app.command("show")
@grouped
def show_one(
    id: Annotated[str, typer.Argument(help="The item's id.", show_default=False)],
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Show one item: what it waits for, who had it, what went wrong, its payload and files."""
    chosen = settings_of(given).settings

    async def work(signed: Client) -> ItemDetailResponse:
        items = Items(signed, namespace=chosen.namespace)
        return await items.get_one(ItemGetPayload.model_construct(id=id))

    item = with_client(chosen, work)
    if as_json:
        print_json(item.model_dump())
    else:
        show_item(to_stdout(), item, utc=utc)


@app.command("errors")
@grouped
def errors(
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
    choice: Choice,
) -> None:
    """Show what fails and why: failed items in groups, by messages that differ in ids, numbers and
    the like alone."""
    asked = ItemsGetGroupsPayload(filter=choice.filter())
    chosen = settings_of(given).settings

    async def work(signed: Client) -> list[ErrorGroupResponse]:
        return await Items(signed).get_groups(asked)

    found = with_client(chosen, work)
    if as_json:
        print_json([group.model_dump() for group in found])
        return
    if not found:
        to_stdout().print("No errors.")
        return
    columns = {"group": "whole", "items": "number", "queues": "", "last": "whole", "message": ""}
    rows = [
        (
            group.id,
            f"{group.count:,}",
            ", ".join(sorted(group.queues)),
            moment(group.last, utc=utc),
            f"[{group.code}] {group.message}" if group.code else group.message,
        )
        for group in found
    ]
    show(to_stdout(), columns, rows)
    total = sum(group.count for group in found)
    to_stderr().print(
        f"{many(total, 'item')} in {many(len(found), 'group')};"
        " items of one: openiap-worker items list --group ID.",
        style="dim",
    )


@app.command("index")
@grouped
def index(
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Make the indexes that keep lists and counts quick, once; takes an administrator's rights."""
    chosen = settings_of(given).settings

    async def work(signed: Client) -> list[str]:
        return await Items(signed).create_indexes()

    made = with_client(chosen, work)
    if as_json:
        print_json({"made": made})
    else:
        to_stdout().print(f"Made: {', '.join(made)}." if made else "All indexes are there.")


app.command("history")(history)
app.command("download")(download)
app.command("watch")(watch)
app.command("push")(push)
app.command("signal")(signal)
app.command("cancel")(cancel)
app.command("retry")(retry)
app.command("delete")(delete)
app.command("move")(move)
app.command("priority")(priority)
app.command("edit")(edit)
