"""The steps of items whose results are a field of their own on the item's document."""

from typing import Final

from worker.item.outcome import Outcome, released, unreadable
from worker.item.steps import FIELD, OF, is_apart, together
from worker.openiap.errors import OpenIAPError
from worker.openiap.pool import Pool
from worker.openiap.workitem import JsonObject
from worker.state.retrying import passes

UNREAD: Final = "its steps cannot be read"


class StoredSteps:
    """Of one worker's items.

    Args:
        pool: the links.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of(self, item_id: str, steps: JsonObject) -> JsonObject | Outcome | None:
        """Return an item's own steps; None where they are of the item that it is a copy of.

        An outcome where they are elsewhere and cannot be read now: without them, finished steps
        would run again.

        Args:
            item_id: the item.
            steps: what its payload tells of them.
        """
        if steps.get(OF) != item_id:
            return None
        if not is_apart(steps):
            return steps
        try:
            found = await self._pool.call(
                lambda client: client.query("workitems", {"_id": item_id}, {FIELD: 1}, top=1)
            )
        except OpenIAPError as error:
            why = f"{UNREAD}: {error}"
            return released(why) if passes(error) else unreadable(why)
        if not found:
            return unreadable(f"{UNREAD}: no right to read the item")
        return together(item_id, steps, found[0].get(FIELD))
