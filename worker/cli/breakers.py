"""``breakers``: list, open, close, auto."""

from typing import Annotated

import typer

from worker.cli.shared.client import with_client
from worker.cli.shared.complete import queue_names
from worker.cli.shared.groups import grouped
from worker.cli.shared.item_view import moment
from worker.cli.shared.options import AsJson, Options, Utc, settings_of
from worker.cli.shared.output import print_json, safe, show_noted, to_stdout
from worker.management.queues.breakers import (
    BreakerResponse,
    Breakers,
    BreakersGetListPayload,
    BreakerUpdatePayload,
    To,
)
from worker.openiap.client import Client
from worker.openiap.values import iso

app = typer.Typer(
    help="Look at breakers of systems that handlers need, and force them.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The breaker's name.", show_default=False)]
Queue = Annotated[
    str | None,
    typer.Option(
        "--queue",
        metavar="NAME",
        help="For this queue alone. Default: for all that need it.",
        autocompletion=queue_names,
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for those who look.")]
COLUMNS = dict.fromkeys(("breaker", "queue", "state", "items", "until"), "whole")
POPPED = {"popped": "popped", "probe": "one tries next", "shut": "not popped"}


@app.command("list")
@grouped
def list_breakers(
    queue: Queue = None,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """List the breakers that workers have brought, for each queue that needs them."""
    chosen = settings_of(given).settings

    async def work(signed: Client) -> list[BreakerResponse]:
        return await Breakers(signed).get_list(BreakersGetListPayload(queue=queue))

    found = with_client(chosen, work)
    if as_json:
        print_json([one.model_dump() for one in found])
    elif found:
        _show(found, utc=utc)
    else:
        to_stdout().print("No breakers. A worker brings those of its handlers when it starts.")


@app.command("open")
@grouped
def open_breaker(
    name: Name,
    reason: Reason = "",
    queue: Queue = None,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Have nothing popped that needs it, until it is closed or left to itself."""
    _force(name, "open", reason, queue, given, as_json=as_json)


@app.command("close")
@grouped
def close(
    name: Name,
    reason: Reason = "",
    queue: Queue = None,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Keep it closed whatever happens: errors count as any other, and cost attempts."""
    _force(name, "close", reason, queue, given, as_json=as_json)


@app.command("auto")
@grouped
def auto(
    name: Name,
    queue: Queue = None,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Leave it to itself again; it begins closed."""
    _force(name, "auto", "", queue, given, as_json=as_json)


def _force(
    name: str, to: To, reason: str, queue: str | None, given: Options, *, as_json: bool
) -> None:
    asked = BreakerUpdatePayload(name=name, to=to, queue=queue, reason=reason[:500])

    async def work(signed: Client) -> list[BreakerResponse]:
        return await Breakers(signed).update_one(asked)

    done = with_client(settings_of(given).settings, work)
    if as_json:
        print_json([one.model_dump() for one in done])
        return
    for one in done:
        by_hand = f" is {one.forced} by hand" if one.forced else " is left to itself"
        to_stdout().print(
            safe(
                f"Breaker {one.name} of queue {one.queue}{by_hand}: items are {POPPED[one.stands]}."
            )
        )


def _show(found: list[BreakerResponse], *, utc: bool) -> None:
    rows = [
        (
            one.name,
            one.queue,
            f"{one.forced}, by hand" if one.forced else one.state,
            POPPED[one.stands],
            "" if one.until is None or one.forced else moment(iso(one.until), utc=utc),
        )
        for one in found
    ]
    notes = [f"{one.by}: {one.why}" if one.why and one.stands != "popped" else "" for one in found]
    show_noted(to_stdout(), COLUMNS, rows, notes)
