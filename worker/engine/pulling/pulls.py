"""Where the engine of a program lives: on a loop in a thread of its own, from the first item that
is asked for to the end of the connection.

So a block that keeps its own thread or loop busy keeps its item all the same: heartbeats go on, and
outcomes are sent. The engine is imported there, too: a program that takes nothing does not pay.
"""

import asyncio
import concurrent.futures
import threading
from importlib import import_module
from typing import TYPE_CHECKING

from worker.errors import WorkerError
from worker.forks import Origin
from worker.item.block import Block
from worker.openiap.errors import IN_A_CHILD, NotConnected
from worker.producer.taking import Wanted
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.engine.pulling.desk import Desk


class EnginePulls:
    """A ``worker.producer.taking.Pulls``.

    Args:
        settings: those of the connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._origin = Origin()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._closed = False
        self._desks: dict[str, Desk] = {}

    def ask(self, wanted: Wanted) -> "concurrent.futures.Future[Block]":
        """Wait for an item; see ``Pulls.ask``.

        Raises:
            WorkerError: the connection is closed.
            NotConnected: in a forked child.
        """
        loop = self._running()
        return asyncio.run_coroutine_threadsafe(self._next(wanted), loop)

    def forget(self, wanted: Wanted) -> None:
        """Nobody waits for it any more; an item that came all the same goes back."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._forget, wanted)

    async def close(self) -> None:
        """Write back what was left, and pop no more; idempotent."""
        with self._mutex:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._ending is None:
            return
        self._loop.call_soon_threadsafe(self._ending.set)
        await asyncio.to_thread(thread.join)

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the engine's loop; begins it when it is first asked for."""
        if self._origin.left:
            raise NotConnected(IN_A_CHILD)
        with self._mutex:
            if self._closed:
                raise WorkerError("the connection is closed: nothing can be taken over it")
            if self._thread is None:
                began = threading.Event()
                self._thread = threading.Thread(
                    target=self._serve, args=(began,), name="openiap take", daemon=True
                )
                self._thread.start()
                began.wait()
            assert self._loop is not None
            return self._loop

    def _serve(self, began: threading.Event) -> None:
        asyncio.run(self._live(began))

    async def _live(self, began: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        began.set()
        await self._ending.wait()
        await asyncio.gather(*(desk.stop() for desk in self._desks.values()))

    async def _next(self, wanted: Wanted) -> Block:
        desk = self._desks.get(wanted.queue)
        if desk is None:
            room = import_module("worker.engine.pulling.desk")
            desk = self._desks[wanted.queue] = room.Desk(wanted.queue, self._settings)
        return await desk.next(wanted)

    def _forget(self, wanted: Wanted) -> None:
        desk = self._desks.get(wanted.queue)
        if desk is not None:
            desk.forget(wanted)
