"""Which events an item's end is, and telling them."""

from typing import Final

from worker.app.events import Event, EventName, Events
from worker.app.options import HandlerOptions
from worker.engine.delivery.delivery import Delivered
from worker.item.item import Item
from worker.item.outcome import Outcome, spent
from worker.openiap.workitem import FAILED, Workitem


class ItemEvents:
    """Tells the worker's hooks and one handler's own of the ends of its items."""

    def __init__(self, options: HandlerOptions, events: Events) -> None:
        self._options: Final = options
        self._events: Final = events

    async def notify(
        self,
        workitem: Workitem,
        item: Item | None,
        error: BaseException | None,
        seconds: float,
        outcome: Outcome,
        delivered: Delivered,
    ) -> None:
        """Tell what became of an item; of one that the server would not take, why."""
        attempt = workitem.retries + 1
        limited = error is not None and spent(error, attempt=attempt, policy=self._options.retry)
        for name in events_of(outcome, delivered, limited=limited):
            own = self._options.on_exhausted if name == "exhausted" else None
            await self._events.notify(
                Event(
                    name,
                    worker=self._events.worker,
                    item=item,
                    item_id=workitem.id,
                    queue=workitem.wiq,
                    kind=outcome.kind,
                    message=outcome.message if name != "error" else _not_taken(outcome, delivered),
                    payload=outcome.payload if name == "success" else None,
                    next_attempt=delivered.nextrun or outcome.retry_at if name == "retry" else None,
                    seconds=seconds,
                ),
                () if own is None else (own,),
            )


def events_of(outcome: Outcome, delivered: Delivered, *, limited: bool) -> tuple[EventName, ...]:
    """Return the events of an end, in the order in which they are told.

    Args:
        limited: the handler's own policy allows no further attempt.
    """
    if outcome.kind == "released":
        return ()
    if delivered.result != "applied":
        return ("error",)
    if outcome.kind == "successful":
        return ("success",)
    if outcome.kind == "application" and delivered.state != FAILED:
        return ("retry",)
    exhausted = outcome.kind == "application" or (outcome.kind == "failed" and limited)
    return ("failed", "exhausted") if exhausted else ("failed",)


def _not_taken(outcome: Outcome, delivered: Delivered) -> str:
    said = f": {delivered.reason}" if delivered.reason else ""
    return f"its outcome ({outcome.kind}) was not taken ({delivered.result}){said}"


def item_events_of(options: HandlerOptions, events: Events | None) -> ItemEvents | None:
    """Return who tells of a handler's items, or None where nobody listens."""
    if events is None or not (events.for_items() or options.on_exhausted is not None):
        return None
    return ItemEvents(options, events)
