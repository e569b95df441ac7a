"""The supervisor: one generation works, older ones finish, a new one takes over once it imports.

1. A change starts a new process. While it imports, the present one goes on.
2. It imports: the present one takes no further item and finishes what it has; the new one works.
3. It does not: it is shown why, and the present one goes on as if nothing had happened.
4. A change in between drops the one that is still importing.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from worker.cli.dev.child_process import Broken, ChildProcess, Plan, Prepared

RESTART_AFTER: Final = 5.0
"""Seconds after which a generation that dies is started again; a younger one waits for a change."""
GRACE: Final = 10.0
"""Seconds beyond drain and cancel after which one that does not end is killed."""


class Listener(Protocol):
    """Who is told what happens; the command line shows it."""

    def prepared(self, number: int, prepared: Prepared) -> None:
        """A generation's code imports; it is about to work. Its queues are to be made here."""

    def working(self, number: int) -> None:
        """A generation works from now on; older ones take no further item."""

    def broken(self, number: int, broken: Broken, kept: int) -> None:
        """A generation's code cannot be used; ``kept`` goes on (0: nothing works)."""

    def died(self, number: int, code: int, again: bool) -> None:
        """The working generation ended by itself; ``again``: it is started again at once."""

    def line(self, number: int, text: str) -> None:
        """A generation printed a line."""


class Supervisor:
    """Runs generations; shape: ``run``, ``changed``, ``stop``, ``hurry``."""

    def __init__(self, plan: Plan, listener: Listener) -> None:
        self._plan = plan
        self._listener = listener
        self._changed = asyncio.Event()
        self._changed.set()
        self._number = 0
        self._present: ChildProcess | None = None
        self._alive: set[ChildProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def present(self) -> ChildProcess | None:
        """The generation that works, or None."""
        return self._present

    @property
    def finishing(self) -> int:
        """How many older generations still have items in flight."""
        return len(self._alive - {self._present})

    def changed(self) -> None:
        """The code is another than it was."""
        self._changed.set()

    async def run(self) -> None:
        """Start generations as the code changes, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._start_new()

    async def stop(self, drain: float, cancel: float) -> None:
        """End all: items in flight have ``drain`` seconds, and ``cancel`` to clean up."""
        self._stopping = True
        for child in tuple(self._alive):
            child.stop(drain)
        if self._endings:
            await asyncio.wait(self._endings, timeout=drain + cancel + GRACE)
        for child in tuple(self._alive):
            await child.kill()
        await asyncio.gather(*self._endings)

    def hurry(self) -> None:
        """Do not wait for items in flight."""
        for child in tuple(self._alive):
            child.hurry()

    async def _start_new(self) -> None:
        self._number += 1
        candidate = ChildProcess(self._number, self._plan, self._listener.line)
        preparing = asyncio.create_task(candidate.prepare())
        changing = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({preparing, changing}, return_when=asyncio.FIRST_COMPLETED)
            if not preparing.done():
                return  # its code is old already
            found = preparing.result()
            if isinstance(found, Broken):
                kept = 0 if self._present is None else self._present.number
                self._listener.broken(candidate.number, found, kept)
                return
            self._listener.prepared(candidate.number, found)
            self._take_over(candidate)
        finally:
            changing.cancel()
            if self._present is not candidate:
                preparing.cancel()
                await asyncio.gather(preparing, return_exceptions=True)
                await candidate.kill()

    def _take_over(self, candidate: ChildProcess) -> None:
        before, self._present = self._present, candidate
        self._alive.add(candidate)
        if before is None:
            self._listener.working(candidate.number)
        else:
            before.finish()
            self._look_after(self._await_quiet(before, candidate))
        candidate.go()
        self._look_after(self._await_end(candidate))

    def _look_after(self, waiting: Coroutine[Any, Any, None]) -> None:
        ending = asyncio.create_task(waiting)
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _await_quiet(self, before: ChildProcess, candidate: ChildProcess) -> None:
        """Tell that the new code works once the old code cannot take a new item any more."""
        await before.quiet.wait()
        if self._present is candidate:
            self._listener.working(candidate.number)

    async def _await_end(self, child: ChildProcess) -> None:
        await child.ended.wait()
        self._alive.discard(child)
        if child is not self._present:
            return
        self._present = None
        if self._stopping or child.told_to_end:
            return
        again = child.worked >= RESTART_AFTER
        self._listener.died(child.number, child.code or 0, again)
        if again:
            self._changed.set()
