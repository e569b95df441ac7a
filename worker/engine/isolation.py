"""Isolation: items that were in flight when workers died come back in ever smaller company.

1. After one death an item is like any other: most often the worker was killed from outside, and its
   items are to be done as quickly as before.
2. After two, only a few such items run in a process at a time; others run beside them.
3. From three on an item runs alone: this process pops nothing and waits until what runs has ended.
   When it dies then, this item it was that killed it; ``fleet/takeover.py`` ends it.
4. Who has to wait is put back for a moment, without costing an attempt: it holds no slot, and
   another worker may have the room. Where what runs does not end, this process goes on popping, and
   waits longer the next time.

An item bears a mark that comes with the pop, so this costs other items nothing. Nobody here can
tell how a worker died; that it was alone is told in the heartbeat before its handler begins.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from math import isqrt
from typing import Final

from worker.engine.fleet.deaths import Deaths, marked, read_deaths
from worker.engine.in_flight import Running
from worker.item.outcome import Waits
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import Told, ignored
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log

FEW_FROM: Final = 2
ALONE_FROM: Final = 3
PATIENCE: Final = 30.0
"""Seconds that an item waits, the first time, for what runs to end."""
LONGEST: Final = 3600.0
TURN: Final = 5.0
"""Seconds until an item that found no room looks again."""
LOOK_EVERY: Final = 0.05
MOST: Final = 1_000


class Isolation:
    """Of one worker's process.

    Args:
        in_flight: its items.
        slots: how many items it may have in flight, of all queues.
        pool: for what is counted of an item.
        tell: says in the heartbeat what is in flight.
        now: the server's time.
        on_open: told when items may be popped again.
    """

    def __init__(
        self,
        in_flight: Callable[[], Iterable[Running]],
        *,
        slots: int,
        pool: Pool,
        tell: Callable[[], Awaitable[None]],
        now: Callable[[], datetime],
        log: Log,
        chance: random.Random,
        on_open: Callable[[], None] = lambda: None,
        misfits: Told = ignored,
    ) -> None:
        self.few: Final = max(1, isqrt(slots))
        """How many items of two deaths may run at a time."""
        self._in_flight = in_flight
        self._pool = pool
        self._tell = tell
        self._now = now
        self._log = log
        self._chance = chance
        self._on_open = on_open
        self._misfits = misfits
        self._suspects: set[Running] = set()
        self._alone: Running | None = None
        self._patience: dict[str, float] = {}

    @property
    def closed(self) -> bool:
        """Whether nothing may be popped: an item runs alone, or waits to."""
        return self._alone is not None

    def concerns(self, workitem: Workitem) -> bool:
        """Whether an item has to be admitted: few have been in flight in deaths."""
        return marked(workitem.errorsource) >= FEW_FROM

    async def admit(self, running: Running) -> Waits | None:
        """Let an item run, or say why and until when it waits; ``left`` is to be called after it.

        Cancelled while it waits, it has no part in this any more.
        """
        deaths = marked(running.workitem.errorsource)
        if deaths >= FEW_FROM:
            deaths = await self._counted(running, deaths)
        if deaths < FEW_FROM:
            return None
        why = f"was in flight in {deaths} worker deaths: waits until it can run"
        if self.closed:
            return self._wait(f"{why} alone", TURN)
        if deaths >= ALONE_FROM:
            return await self._isolate(running, f"{why} alone")
        if len(self._suspects) >= self.few:
            return self._wait(f"{why} beside few others", TURN)
        self._suspects.add(running)
        return None

    def left(self, running: Running) -> None:
        """The item is out of this worker's hands; idempotent."""
        self._suspects.discard(running)
        if self._alone is running:
            self._patience.pop(running.workitem.id, None)
            self._open()

    async def _isolate(self, running: Running, why: str) -> Waits | None:
        workitem = running.workitem
        patience = self._patience.get(workitem.id, PATIENCE)
        self._alone = running
        try:
            async with asyncio.timeout(patience):
                # What runs may end in many ways, and this is rare.
                while self._others(running):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            self._open()
            if len(self._patience) >= MOST:
                self._patience.clear()
            self._patience[workitem.id] = min(LONGEST, 2 * patience)
            # As long as others waited for it they have the worker for themselves.
            return self._wait(why, patience)
        except BaseException:
            self._open()
            raise
        self._log.info(
            "this item was in flight when workers died: it runs alone until it is known whether it"
            " kills them",
            item=workitem.id,
            queue=workitem.wiq,
        )
        running.alone = True
        try:
            await self._tell()
        except BaseException:
            self._open()
            raise
        return None

    def _others(self, running: Running) -> bool:
        """Whether another item may yet kill this process: its handler has not ended."""
        return any(one is not running and one.stage != "delivering" for one in self._in_flight())

    def _open(self) -> None:
        self._alone = None
        self._on_open()

    def _wait(self, why: str, seconds: float) -> Waits:
        after = timedelta(seconds=seconds * self._chance.uniform(0.2, 1.0))
        return Waits(why, self._now() + after)

    async def _counted(self, running: Running, said: int) -> int:
        """Return what is counted for an item; where that cannot be read, what its mark says."""
        item = running.workitem.id
        try:
            found: Deaths = await read_deaths(self._pool, item, self._misfits)
        except OpenIAPError:
            return said
        return found.total
