"""``items retry``, ``delete``, ``move``, ``priority``, ``edit``: a few by id, or many at once."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.items.choice import Choice, is_given
from worker.cli.items.many import WHICH, Change, How, change_many
from worker.cli.shared.asking import confirm
from worker.cli.shared.client import with_client
from worker.cli.shared.complete import queue_names
from worker.cli.shared.errors import FAILED, CommandError, explain, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.item_view import show_items
from worker.cli.shared.options import Options, settings_of
from worker.cli.shared.output import many, print_json, safe, to_stderr, to_stdout
from worker.cli.shared.payloads import moment, payload
from worker.durations import seconds
from worker.management.errors import AppError
from worker.management.items.service import Items
from worker.management.items.types import (
    ItemDeletePayload,
    ItemFilter,
    ItemResponse,
    ItemRetryPayload,
    ItemsDeleteBatchPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
)
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.settings import Settings

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID]...", help="The items' ids; or say which with options.", show_default=False
    ),
]


@grouped
def retry(
    ids: Ids = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also items that are being processed right now; by id.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="WHEN", help="Then: 5m, or an ISO date and time. Default: at once."
        ),
    ] = None,
    spread: Annotated[
        str | None,
        typer.Option(
            "--spread",
            metavar="TIME",
            help="Over so much time from then, like 1h. Default: all together.",
        ),
    ] = None,
    *,
    how: How,
    given: Options,
    choice: Choice,
) -> None:
    """Put items back to new, whatever their queue's limit of attempts says.

    Without ids: failed items, as the options say.
    """
    chosen = settings_of(given).settings
    over = 0.0 if spread is None else _seconds("--spread", spread)
    if _by_id(choice, ids, at=at, spread=spread, dry_run=how.dry_run or None):

        async def one(items: Items, id: str) -> ItemResponse:
            return await items.retry_one(ItemRetryPayload.model_construct(id=id, force=force))

        _each(chosen, ids or [], one, said="Put back to new", key="retried", how=how)
        return
    if force:
        raise usage_error("--force: it needs ids; items in processing are not retried by the way.")
    if at is not None:
        # What is wrong is said before anybody is asked.
        moment(at, now=datetime.now(UTC), option="--at")

    def asked(filter: ItemFilter, before: datetime | None) -> ItemsRetryBatchPayload:
        then = None if at is None else moment(at, now=before or datetime.now(UTC))
        return ItemsRetryBatchPayload(filter=filter, before=before, at=then, spread=over)

    change = Change("retry", "Retry", "Put back to new", asked, Items.retry_batch)
    typed = {"at": at, "spread": over}
    change_many(chosen, change, choice, typed, how)


@grouped
def delete(
    ids: Ids = None,
    *,
    how: How,
    given: Options,
    choice: Choice,
) -> None:
    """Delete items and their files.

    Without ids: as the options say, but none that is being processed.
    """
    chosen = settings_of(given).settings
    if _by_id(choice, ids, dry_run=how.dry_run or None):
        confirm(f"Delete {many(len(ids or []), 'item')}?", yes=how.yes)

        async def one(items: Items, id: str) -> None:
            await items.delete_one(ItemDeletePayload.model_construct(id=id))

        _each(chosen, ids or [], one, said="Deleted", key="deleted", how=how)
        return

    def asked(filter: ItemFilter, before: datetime | None) -> ItemsDeleteBatchPayload:
        return ItemsDeleteBatchPayload(filter=filter, before=before)

    change = Change("delete", "Delete", "Deleted", asked, Items.delete_batch)
    change_many(chosen, change, choice, {}, how)


@grouped
def move(
    to: Annotated[
        str,
        typer.Option("--to", metavar="QUEUE", help="Where they go.", autocompletion=queue_names),
    ],
    ids: Ids = None,
    *,
    how: How,
    given: Options,
    choice: Choice,
) -> None:
    """Move waiting and failed items to another queue; they keep their ids, and take its rights."""
    chosen = settings_of(given).settings

    def asked(filter: ItemFilter, before: datetime | None) -> ItemsMoveBatchPayload:
        return ItemsMoveBatchPayload(filter=filter, before=before, to=to)

    change = Change("move", f"Move to {to}", f"Moved to {to}", asked, Items.move_batch)
    change_many(chosen, change, choice, {"to": to}, how, ids=ids)


@grouped
def priority(
    to: Annotated[int, typer.Option("--to", metavar="NUMBER", help="Lower goes first.")],
    ids: Ids = None,
    *,
    how: How,
    given: Options,
    choice: Choice,
) -> None:
    """Give waiting and failed items another priority."""
    chosen = settings_of(given).settings

    def asked(filter: ItemFilter, before: datetime | None) -> ItemsUpdateBatchPayload:
        return ItemsUpdateBatchPayload(filter=filter, before=before, priority=to)

    change = Change("priority", f"Set priority {to} of", "Changed", asked, Items.update_batch)
    change_many(chosen, change, choice, {"priority": to}, how, ids=ids)


@grouped
def edit(
    patch: Annotated[
        str,
        typer.Option(
            "--patch",
            metavar="JSON",
            help='What to change in the payload, for example \'{"country": "DE"}\'; null takes a'
            " field away (JSON Merge Patch).",
        ),
    ],
    ids: Ids = None,
    contracts: Annotated[
        Path | None,
        typer.Option(
            "--contracts",
            metavar="FILE",
            help="Hold the payloads to these contracts: a file of openiap-worker contract."
            " Default: they are not checked.",
        ),
    ] = None,
    *,
    how: How,
    given: Options,
    choice: Choice,
) -> None:
    """Change the payload of waiting and failed items."""
    chosen = settings_of(given).settings
    fields = payload(patch, "--patch")
    checks = None
    if contracts is not None:
        from worker.app.contracts import Contracts  # brings jsonschema along

        checks = Contracts.read(contracts)

    def asked(filter: ItemFilter, before: datetime | None) -> ItemsUpdateBatchPayload:
        return ItemsUpdateBatchPayload(filter=filter, before=before, patch=fields)

    change = Change("edit", "Change the payload of", "Changed", asked, Items.update_batch, checks)
    change_many(chosen, change, choice, {"patch": fields}, how, ids=ids)


def _by_id(choice: Choice, ids: list[str] | None, **many: object) -> bool:
    if not ids:
        if not is_given(choice):
            raise usage_error(WHICH)
        return False
    if is_given(choice) or any(one is not None for one in many.values()):
        raise usage_error("Ids, and options that are for many items: give one of them.")
    return True


def _seconds(option: str, text: str) -> float:
    try:
        return seconds(text)
    except (ValueError, OverflowError) as error:
        raise usage_error(f"{option} {text}: allowed: a time like 90s, 5m or 1h.") from error


def _each(
    settings: Settings,
    ids: list[str],
    one: Callable[[Items, str], Awaitable[ItemResponse | None]],
    *,
    said: str,
    key: str,
    how: How,
) -> None:
    """Do something with each item and show what it gives; one that fails does not keep the others
    from it."""
    done: list[str] = []
    shown: list[ItemResponse] = []
    errors: dict[str, str] = {}

    async def work(signed: Client) -> None:
        items = Items(signed, history=settings.history)
        for id in dict.fromkeys(ids):
            try:
                item = await one(items, id)
            except (OpenIAPError, AppError, CommandError) as error:
                errors[id] = explain(error).text
            else:
                done.append(id)
                shown.extend([] if item is None else [item])

    with_client(settings, work)
    if how.as_json:
        print_json({key: done, "errors": errors})
    elif done:
        to_stdout().print(safe(f"{said}: {many(len(done), 'item')}."))
        if shown:
            show_items(to_stdout(), shown, utc=how.utc)
    for text in errors.values():
        to_stderr().print(safe(text), style="red", soft_wrap=True)
    if errors:
        raise typer.Exit(FAILED)
