"""``items``: list, show, retry, delete."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer

from worker.cli.shared.client import with_client
from worker.cli.shared.complete import STATES, queue_names, states
from worker.cli.shared.documents import first, pages
from worker.cli.shared.errors import FAILED, CommandError, explain, no_item, no_queue, usage_error
from worker.cli.shared.item_page import Holder, holder_of, show_item
from worker.cli.shared.item_view import file_sizes, show_items, shown_item, summary
from worker.cli.shared.options import (
    AsJson,
    ClientName,
    Options,
    SettingsFile,
    Url,
    Utc,
    Yes,
    settings_of,
)
from worker.cli.shared.output import confirm, many, print_json, safe, to_stderr, to_stdout
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.item_deletion import delete_files, file_ids
from worker.openiap.workitem import NEW, PROCESSING, RETRY, JsonObject, Workitem
from worker.settings import Settings

app = typer.Typer(help="Look at, retry and delete work items.", no_args_is_help=True)

ITEMS: Final = "workitems"
LISTED: Final = {"payload": 0, "errorsource": 0, "_acl": 0}

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="The items' ids.")]


@app.command("list")
def list_items(
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            metavar="NAME",
            help="Only of this queue. Default: of all.",
            autocompletion=queue_names,
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"One of {', '.join(STATES)}. Default: all.",
            autocompletion=states,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    utc: Utc = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """List items, the newest first."""
    if state is not None and state not in STATES:
        raise usage_error(f"--state {state}: allowed: {', '.join(STATES)}.")
    query: JsonObject = {"_type": "workitem"}
    query |= {} if queue is None else {"wiq": queue}
    query |= {} if state is None else {"state": state}
    chosen = settings_of(Options(url, settings, client)).settings

    async def work(signed: Client) -> tuple[list[JsonObject], int]:
        if queue is not None:
            await _known_queue(signed, queue)
        newest_first = {"_created": -1, "_id": -1}
        found = await pages(signed, ITEMS, query, LISTED, newest_first, limit=limit)
        return found, await signed.count(ITEMS, query)

    found, total = with_client(chosen, work)
    if as_json:
        print_json([summary(document) for document in found])
        return
    if not found:
        to_stdout().print("No items.")
        return
    show_items(to_stdout(), found, utc=utc)
    if total > len(found):
        to_stderr().print(f"{len(found):,} of {total:,}; more with --limit.", style="dim")


@app.command("show")
def show(
    id: Annotated[str, typer.Argument(help="The item's id.", show_default=False)],
    utc: Utc = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Show one item: what it waits for, who had it, what went wrong, its payload and files."""
    chosen = settings_of(Options(url, settings, client)).settings

    async def work(signed: Client) -> tuple[JsonObject, dict[str, int], Holder | None]:
        document = await _item(signed, id)
        holder = None if as_json else await holder_of(signed, document)
        return document, await file_sizes(signed, document), holder

    document, sizes, holder = with_client(chosen, work)
    if as_json:
        print_json(shown_item(document, sizes))
    else:
        show_item(to_stdout(), document, sizes, holder=holder, utc=utc)


@app.command("retry")
def retry(
    ids: Ids,
    force: Annotated[
        bool, typer.Option("--force", help="Also items that are being processed right now.")
    ] = False,
    utc: Utc = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Put items back to new, whatever their queue's limit of attempts says."""
    chosen = settings_of(Options(url, settings, client)).settings

    async def one(signed: Client, id: str) -> JsonObject:
        document = await _item(signed, id)
        state = str(document.get("state", ""))
        if state == NEW:
            raise CommandError(f"Item {id} is new already; nothing to do.")
        if state == PROCESSING and not force:
            raise CommandError(
                f"Item {id} is being processed by {document.get('username') or 'somebody'}; a retry"
                " now would run it twice. If nobody works it any more, add --force."
            )
        item = Workitem(id=id, payload=None, state=RETRY, priority=int(document["priority"]))
        await signed.update_workitem(item, ignoremaxretries=True)
        return await _item(signed, id)

    _each(chosen, ids, one, said="Put back to new", key="retried", as_json=as_json, utc=utc)


@app.command("delete")
def delete(
    ids: Ids,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Delete items and their files."""
    chosen = settings_of(Options(url, settings, client)).settings
    confirm(f"Delete {many(len(ids), 'item')}?", yes=yes)

    async def one(signed: Client, id: str) -> None:
        found = await signed.query("workitems", {"_id": id}, {"files": 1}, top=1)
        files = file_ids(found[0].get("files")) if found else []
        await signed.delete_workitem(id)
        await delete_files(signed, files)

    _each(chosen, ids, one, said="Deleted", key="deleted", as_json=as_json)


def _each(
    settings: Settings,
    ids: list[str],
    one: Callable[[Client, str], Awaitable[JsonObject | None]],
    *,
    said: str,
    key: str,
    as_json: bool,
    utc: bool = False,
) -> None:
    """Do something with each item and show what it gives; one that fails does not keep the others
    from it."""
    done: list[str] = []
    shown: list[JsonObject] = []
    errors: dict[str, str] = {}

    async def work(signed: Client) -> None:
        for id in dict.fromkeys(ids):
            try:
                document = await one(signed, id)
            except (OpenIAPError, CommandError) as error:
                errors[id] = explain(error).text
            else:
                done.append(id)
                shown.extend([] if document is None else [document])

    with_client(settings, work)
    if as_json:
        print_json({key: done, "errors": errors})
    elif done:
        to_stdout().print(safe(f"{said}: {many(len(done), 'item')}."))
        if shown:
            show_items(to_stdout(), shown, utc=utc)
    for text in errors.values():
        to_stderr().print(safe(text), style="red", soft_wrap=True)
    if errors:
        raise typer.Exit(FAILED)


async def _item(client: Client, id: str) -> JsonObject:
    found = await first(client, ITEMS, {"_id": id})
    if found is None:
        raise CommandError(no_item(id))
    return found


async def _known_queue(client: Client, queue: str) -> None:
    if await first(client, "mq", {"_type": "workitemqueue", "name": queue}) is None:
        raise CommandError(no_queue(queue))
