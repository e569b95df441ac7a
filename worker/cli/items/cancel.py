"""``items cancel``: an item is not worked any more, or not to its end."""

from typing import Annotated

import typer

from worker.cli.shared.client import with_client
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, settings_of
from worker.cli.shared.output import print_json, safe, to_stdout
from worker.management.items.cancelling import ItemCancelledResponse, ItemCancelPayload
from worker.management.items.service import Items
from worker.openiap.client import Client

SAID = {
    "cancelled": "Item {id} is cancelled: it has failed.",
    "stopping": "Item {id} runs; its worker is told to end it.",
}


@grouped
def cancel(
    id: Annotated[str, typer.Argument(help="The item's id.", show_default=False)],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="One sentence, shown on the item.")
    ] = "",
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Have an item that waits fail with the code CANCELLED, and one that runs be asked to end."""
    chosen = settings_of(given).settings
    asked = ItemCancelPayload.model_construct(id=id, reason=reason)

    async def work(signed: Client) -> ItemCancelledResponse:
        return await Items(signed, history=chosen.history).cancel_one(asked)

    done = with_client(chosen, work)
    if as_json:
        print_json({"item": id, "result": done.result})
    else:
        to_stdout().print(safe(SAID[done.result].format(id=id)))
