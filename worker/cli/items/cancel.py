"""``items cancel``: items are not worked any more, or not to their end."""

from datetime import datetime
from typing import Annotated

import typer

from worker.cli.items.choice import Choice, is_given
from worker.cli.items.many import Change, How, change_many
from worker.cli.shared.client import with_client
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import Options, settings_of
from worker.cli.shared.output import print_json, safe, to_stdout
from worker.item.cancelled import MAX_REASON
from worker.management.items.cancelling import ItemCancelledResponse, ItemCancelPayload
from worker.management.items.service import Items
from worker.management.items.types import ItemFilter, ItemsCancelBatchPayload
from worker.openiap.client import Client
from worker.settings import Settings

SAID = {
    "cancelled": "Item {id} is cancelled: it has failed.",
    "stopping": "Item {id} runs; its worker is told to end it.",
}


@grouped
def cancel(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="The items' ids; or say which with options.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="One sentence, shown on the item.")
    ] = "",
    *,
    how: How,
    given: Options,
    choice: Choice,
) -> None:
    """Have items that wait fail with the code CANCELLED, and those that run be asked to end.

    Without ids: as the options say.
    """
    chosen = settings_of(given).settings
    if ids and len(ids) == 1 and not is_given(choice) and not how.dry_run:
        _one(chosen, ids[0], reason, as_json=how.as_json)
        return

    def asked(filter: ItemFilter, before: datetime | None) -> ItemsCancelBatchPayload:
        return ItemsCancelBatchPayload(filter=filter, before=before, reason=reason[:MAX_REASON])

    change = Change("cancel", "Cancel", "Cancelled", asked, Items.cancel_batch)
    change_many(chosen, change, choice, {"reason": reason}, how, ids=ids)


def _one(settings: Settings, id: str, reason: str, *, as_json: bool) -> None:
    asked = ItemCancelPayload.model_construct(id=id, reason=reason)

    async def work(signed: Client) -> ItemCancelledResponse:
        return await Items(signed, history=settings.history).cancel_one(asked)

    done = with_client(settings, work)
    if as_json:
        print_json({"item": id, "result": done.result})
    else:
        to_stdout().print(safe(SAID[done.result].format(id=id)))
