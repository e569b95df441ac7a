"""The real server's pop loop: every pop reads the first item and tries to take it, again and again.

1. Reading and taking are two calls to a database that works off one call at a time, each in a few
   milliseconds: so the more pops are in flight, the slower is every one of them.
2. Pops in flight at once read the same item; one takes it, the others have lost a round and start
   over, without bound.
3. Rounds and lost rounds are counted.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from worker.localserver.operations.workitems import WorkItems
from worker.localserver.storage.item_rules import Queue, StoredItem
from worker.localserver.storage.user import User

CALL: Final = (0.001, 0.003)
"""The least and the most seconds that the database is busy with one call."""
ROUNDS: Final = "poprounds"
LOST: Final = "lostrounds"
"""Names in the server's ``stats``: how often an item was tried, and how often in vain."""


class PopLoop:
    """Pops the way of the real server.

    Args:
        workitems: finds and takes items.
        now: the server's time in milliseconds.
        stats: where rounds are counted.
        chance: random numbers.
    """

    def __init__(
        self,
        workitems: WorkItems,
        now: Callable[[], int],
        stats: Counter[str],
        chance: random.Random,
    ) -> None:
        self._workitems = workitems
        self._now = now
        self._stats = stats
        self._chance = chance
        self._database = asyncio.Lock()

    async def pop(self, queue: Queue, user: User) -> StoredItem | None:
        """Take the most urgent due item of a queue into processing, or return None.

        Raises:
            RefusedError: the first item that the user may read may not be invoked by them.
        """
        while True:
            await self._busy()
            found = self._workitems.first_due(queue, user, self._now())
            if found is None:
                return None
            place, item = found
            self._stats[ROUNDS] += 1
            await self._busy()
            if self._workitems.take(place, item, user, self._now()):
                return item
            self._stats[LOST] += 1

    async def _busy(self) -> None:
        """Wait until the database has worked off what came before, and this call."""
        async with self._database:
            await asyncio.sleep(self._chance.uniform(*CALL))
