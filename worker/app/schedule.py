"""``@schedule``: items for a handler, pushed by the clock."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from worker.app.cron import Cron
from worker.app.options import Handler
from worker.app.schedule_options import MAX_NAME, MISSED, Missed, Schedule, is_name, wants_tick
from worker.errors import HandlerError, name_of
from worker.item.headers import headers_of

H = TypeVar("H", bound=Handler[..., Any])


def schedule(
    expression: str,
    *,
    tz: str = "UTC",
    payload: Any = None,
    missed: Missed = "last",
    name: str = "",
    headers: Mapping[str, str] | None = None,
) -> Callable[[H], H]:
    """Push an item for a handler at each tick of a cron expression; stands above ``@handler``::

        @schedule("0 6 * * MON-FRI", tz="Europe/Copenhagen", payload={"kind": "daily"})
        @handler("reports")
        async def report(payload: dict[str, str]) -> None: ...

    Each tick makes one item, however many workers run and whoever of them dies: the item's id
    follows from the tick, and OpenIAP takes an id once. Where this user may not insert into
    ``workitems`` the items are pushed the ordinary way and looked for before: two workers that look
    in the same moment, as when the leading one is late, may then both push.

    What that holds against: a worker whose clock jumps, since the server's time decides (without
    the rights for heartbeats the machine's own: a clock that is ahead then fires early, but still
    once); a worker that was frozen, since it reads how far the schedule has come before it pushes;
    an item that was deleted, since only ticks after the schedule's last one count. A server whose
    clock was ahead for a while has done the ticks of that while, and does none of them again. Who
    deletes the schedule's document by hand, while no worker runs, lets it begin anew.

    Args:
        expression: minute, hour, day of month, month, day of week; with six fields seconds first.
        tz: the time zone whose clock is meant. Summer time is treated as by Debian's cron: a time
            that is skipped runs at the moment of the change, one that comes twice runs once; what
            has ``*`` or ``*/n`` for its minute or hour follows the clock.
        payload: of each item: a dict, model or dataclass, or a function that makes one within 10 s,
            plain (and then short: it runs on the loop) or async; a parameter of its is given the
            tick's moment, in ``tz``. None is ``{}``.
        missed: of the ticks that no worker did for two minutes, or that fell into a pause:
            ``"last"`` makes the last one good, ``"skip"`` none, ``"all"`` all of them (the last
            1,000).
        name: tells several schedules of a handler apart; the function's name by default. A schedule
            is known by its queue and this name: under another name it begins anew.
        headers: of each item, for ``item.headers``.

    Raises:
        HandlerError: an expression that is none or never fires, an unknown time zone, or another
            argument that cannot be.
    """

    def declare(handler: H) -> H:
        who = name_of(handler)
        if not isinstance(handler, Handler):
            raise HandlerError(f"Schedule of {who}: @schedule stands above @handler(QUEUE).")
        chosen = name or handler.function.__name__
        try:
            cron = Cron(expression, tz)
        except ValueError as error:
            raise HandlerError(f"Handler {who}: schedule {error}.") from None
        if missed not in MISSED:
            raise HandlerError(
                f"Handler {who}: schedule missed = {missed!r}; allowed: {', '.join(MISSED)}."
            )
        if not is_name(chosen):
            raise HandlerError(
                f"Handler {who}: schedule name = {chosen!r}; allowed: up to {MAX_NAME} characters,"
                " without /."
            )
        if any(one.name == chosen for one in handler.options.schedules):
            raise HandlerError(
                f"Handler {who}: two schedules are called {chosen}; give one a name of its own."
            )
        try:
            takes_tick = callable(payload) and wants_tick(payload)
        except ValueError as error:
            raise HandlerError(
                f"Handler {who}: schedule payload = {name_of(payload)}; {error}."
            ) from None
        try:
            kept, _ = headers_of(headers or {})
        except ValueError as error:
            raise HandlerError(f"Handler {who}: schedule {chosen}: {error}.") from None
        found = Schedule(chosen, cron, payload, takes_tick, missed, kept)
        # In place: a router above which this stands has the same handler.
        handler.options = replace(handler.options, schedules=(found, *handler.options.schedules))
        return handler

    return declare
