"""``items signal``: an item is told something that it waits for."""

import json
from typing import Annotated, Any

import typer

from worker.cli.shared.client import with_client
from worker.cli.shared.errors import usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, settings_of
from worker.cli.shared.output import print_json, safe, to_stdout
from worker.management.items.service import Items
from worker.management.items.signalling import ItemSignalledResponse, ItemSignalPayload
from worker.openiap.client import Client


@grouped
def signal(
    id: Annotated[str, typer.Argument(help="The item's id.", show_default=False)],
    name: Annotated[
        str, typer.Argument(help="What it waits for: approval, say.", show_default=False)
    ],
    payload: Annotated[
        str, typer.Option("--payload", metavar="JSON", help="The signal's value.")
    ] = "null",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="TEXT",
            help="Of signals with the same key, to the same item and name, only the first counts.",
        ),
    ] = "",
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Tell an item something that its handler waits for, now or later."""
    value = _value(payload)
    chosen = settings_of(given).settings
    asked = ItemSignalPayload.model_construct(id=id, name=name, value=value, key=key)

    async def work(signed: Client) -> ItemSignalledResponse:
        return await Items(signed).signal_one(asked)

    sent = with_client(chosen, work)
    if as_json:
        print_json({"item": id, "name": name, "signal": sent.signal})
    else:
        to_stdout().print(safe(f"Item {id} is told {name}."))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise usage_error(
            f"--payload {text[:100]}: {error}; allowed: JSON, a text in its quotes."
        ) from error
