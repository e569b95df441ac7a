"""Hearing at once that an item has ended: one watch for all that are waited for over a client.

1. It asks for a field that every popped item has, and picks its items here. A comparison of their
   ids would be a script to OpenIAP, for each change of any item and each that is waited for
   (``worker.engine.watch_test``); one field costs it next to nothing, however many are waited for.
2. It begins with the first item and ends with the last.
3. It is a hint. Who waits looks as well, and where a look found what no event had told, the watch
   may have gone with its link: the next one to wait begins it anew.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.types import WatchEvent
from worker.openiap.workitem import FAILED, SUCCESSFUL

ENDS: Final = (SUCCESSFUL, FAILED)
POPPED_ITEMS: Final = "$.*.userid"


class Told:
    """What was told of an item so far.

    Attributes:
        ended: set when it has ended; whoever looks after that clears it.
        heard_of_end: whether that was ever told.
        of_anything: that it changed, the pop included: so the watch does tell.
    """

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.heard_of_end = False
        self.of_anything = False


class Results:
    """The items that are waited for over one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[str, set[Told]] = {}
        self._watch = ""
        self._doubted = False
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def of(self, item_id: str) -> AsyncIterator[Told]:
        """Hear of an item inside the block; of nothing where client or server have no watches."""
        told = Told()
        self._waiting.setdefault(item_id, set()).add(told)
        try:
            await self._begin()
            yield told
        finally:
            those = self._waiting[item_id]
            those.discard(told)
            if not those:
                del self._waiting[item_id]
            await self._end()

    def doubt(self) -> None:
        """A look found what the watch had not told of."""
        self._doubted = True

    async def _begin(self) -> None:
        if not self._client.server_config.get("supports_watch"):
            return
        async with self._turn:
            if self._doubted:
                await self._let_go()
            if not self._watch:
                with suppress(OpenIAPError):
                    self._watch = await self._client.watch("workitems", [POPPED_ITEMS], self._seen)

    async def _end(self) -> None:
        async with self._turn:
            if not self._waiting:
                await self._let_go()

    async def _let_go(self) -> None:
        watch, self._watch, self._doubted = self._watch, "", False
        if watch:
            with suppress(OpenIAPError):
                await self._client.unwatch(watch)

    def _seen(self, event: WatchEvent) -> None:
        state = event.document.get("state")
        if not state:  # a deletion, which no path is asked about
            return
        for told in self._waiting.get(str(event.document.get("_id")), ()):
            told.of_anything = True
            if state in ENDS:
                told.heard_of_end = True
                told.ended.set()
