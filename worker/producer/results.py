"""Hearing at once that an item has ended: one watch for all that are waited for over a client.

1. It asks for a field that every popped item has, and picks its items here. A comparison of their
   ids would be a script to OpenIAP, for each change of any item and each that is waited for
   (``worker.engine.watch_test``); one field costs it next to nothing, however many are waited for.
2. It begins with the first item and ends with the last.
3. It is a hint. Who waits looks as well, and where a look found what no event had told, the watch
   may have gone with its link: the next one to wait begins it anew.
4. It tells of items whole, of whoever's: one that is larger than the client carries breaks the
   link. Where links break one after another there is no watch for a while, and who waits looks.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.types import WatchEvent
from worker.openiap.workitem import FAILED, SUCCESSFUL
from worker.uptime import uptime

ENDS: Final = (SUCCESSFUL, FAILED)
POPPED_ITEMS: Final = "$.*.userid"
MOST_BREAKS: Final = 4
WITHIN: Final = 300.0
"""Seconds for so many breaks."""
NONE_FOR: Final = 3600.0
"""Seconds."""


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
        self._made_on = 0
        """The sign-in that the watch was last seen on."""
        self._breaks: deque[float] = deque(maxlen=MOST_BREAKS)
        """When links had gone under it (``uptime``)."""
        self._none_before = 0.0
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

    async def look(self) -> None:
        """Have a look at the watch itself, which may be what breaks the links."""
        async with self._turn:
            if self._watch and self._breaks_links():
                self._none_before = uptime() + NONE_FOR
                await self._let_go()

    def _breaks_links(self) -> bool:
        try:
            sign_ins = self._client.sign_ins
        except OpenIAPError:
            return False
        if sign_ins != self._made_on:
            self._made_on = sign_ins
            self._breaks.append(uptime())
        return len(self._breaks) == MOST_BREAKS and uptime() - self._breaks[0] < WITHIN

    async def _begin(self) -> None:
        if not self._client.server_config.get("supports_watch") or self._none_before > uptime():
            return
        async with self._turn:
            if self._doubted:
                await self._let_go()
            if not self._watch:
                with suppress(OpenIAPError):
                    self._watch = await self._client.watch("workitems", [POPPED_ITEMS], self._seen)
                    self._made_on = self._client.sign_ins

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
