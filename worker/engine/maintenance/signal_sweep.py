"""The sweep of signals: those whose item has succeeded or is gone, deleted once an hour.

1. The worker that leads the first of its queues does it, for all signals that its user sees.
2. A signal goes ``KEPT`` after it came, if its item has succeeded. One whose item is not seen may
   be somebody else's, so it goes after ``UNSEEN``.
3. What has no name is no signal (``worker.item.cancelled`` leaves notes), and goes after ``KEPT``.
4. The signals of a failed item stay as long as that does: tried again, it may wait for them.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from worker.engine.awaiting.waker import WAKES
from worker.engine.fleet.leadership import Fleet
from worker.engine.fleet.led_service import LedService
from worker.item.signals import COLLECTION, sent_at
from worker.openiap.client import Client
from worker.openiap.fields import id_of, text_of
from worker.openiap.reader import Reader
from worker.openiap.values import iso
from worker.openiap.workitem import SUCCESSFUL, JsonObject
from worker.telemetry.log import Log

FIRST: Final = 900.0
EVERY: Final = 3600.0
PAGE: Final = 250
MOST_PAGES: Final = 40
KEPT: Final = timedelta(hours=1)
UNSEEN: Final = timedelta(days=7)
FIELDS: Final[JsonObject] = {"item": 1, "name": 1, WAKES: 1, "_created": 1}


class SignalSweep(LedService):
    """Sweeps for a fleet.

    Args:
        first, every: seconds before the first sweep, and between two.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        client: Client,
        fleet: Fleet,
        log: Log,
        chance: random.Random,
        first: float = FIRST,
        every: float = EVERY,
    ) -> None:
        super().__init__(
            "signal sweep",
            queues,
            fleet,
            first=first,
            pause=every,
            on_error=partial(log.failed, "old signals could not be deleted"),
            chance=chance,
        )
        self._client = client
        self._reader = Reader(client, "signal")
        self._items = Reader(client, "work item")
        self._after = ""
        """Where the last sweep ended that did not come to the end."""

    async def round(self) -> None:
        """Sweep, where this worker leads."""
        if self.leads:
            await self.sweep(self._fleet.server_now())

    async def sweep(self, now: datetime) -> int:
        """Sweep once; returns how many documents were deleted.

        Args:
            now: the server's time.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        gone = 0
        for _ in range(MOST_PAGES):
            query: JsonObject = {
                "_created": {"$lt": iso(now - KEPT)},
                "_id": {"$gt": self._after},
            }
            page = await self._reader.query(COLLECTION, query, FIELDS, {"_id": 1}, top=PAGE)
            over = await self._over(page, now)
            if over:
                gone += await self._client.delete_many(COLLECTION, ids=over)
            self._after = id_of(page[-1]) if len(page) == PAGE else ""
            if not self._after:
                break
        return gone

    async def _over(self, page: Sequence[JsonObject], now: datetime) -> list[str]:
        """Return the ids of the signals of a page that nobody waits for any more."""
        items = {text_of(one.get("item")) or text_of(one.get(WAKES)) for one in page} - {""}
        if not page:
            return []
        query: JsonObject = {"_id": {"$in": sorted(items)}}
        found = await self._items.query("workitems", query, {"state": 1}, top=PAGE)
        states = {id_of(document): document.get("state") for document in found}
        over = []
        for one in page:
            item, sent = text_of(one.get("item")) or text_of(one.get(WAKES)), sent_at(one)
            unseen = item not in states and sent is not None and sent < now - UNSEEN
            nameless = bool(one.get("item")) and not one.get("name")
            if unseen or nameless or states.get(item) == SUCCESSFUL:
                over.append(id_of(one))
        return over
