"""A lock with a lease and a fencing number, shared by all workers.

1. Who holds it says so again every third of the lease, each time as a new version of the lock's
   cell; who lets go says that, too.
2. It is taken over only from a holder that was seen with one and the same version for its whole
   lease, and ``MARGIN``, on the taker's own clock.
3. A holder counts as one only until a lease after it *sent* the last renewal that was confirmed, on
   its own clock; that is always earlier than the moment at which anybody may take over.
4. Each time it changes hands its number grows; it never goes back.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

from worker.durations import Duration, seconds
from worker.durations import text as duration_text
from worker.errors import ApplicationError
from worker.openiap.errors import OpenIAPError, ServerError
from worker.openiap.fields import duration_of, whole
from worker.openiap.workitem import JsonObject
from worker.state.cells import Cells, Version
from worker.uptime import uptime

KIND: Final = "lock"
MARGIN: Final = 1.0
"""Seconds; and the time that a confirmation takes to reach the holder counts for it as well."""
SHORTEST: Final = 1.0
RENEWALS: Final = 3
REFUSED_TRIES: Final = 10
"""Of a renewal within one lease, where the server refuses it."""
WAIT_FIRST: Final = 0.05
WAIT_MAX: Final = 1.0
LETTING_GO: Final = 5.0
"""Seconds to let go; a link that is down leaves the rest to the lease."""


class LockLost(ApplicationError):
    """This process does not hold the lock any more: another one may have it."""


class LockTimeout(ApplicationError):
    """The lock was not free in time."""


class Held:
    """A lock that this process holds, or held.

    Attributes:
        number: the fencing number; give it to whatever the lock protects, and let that refuse a
            number below the greatest that it has seen.
        lost: set once the lock is lost. A process that was frozen learns it as soon as its loop
            runs again; ``check`` knows it at once.
    """

    def __init__(
        self,
        cells: Cells,
        version: Version,
        until: float,
        lease: float,
        clock: Callable[[], float],
    ) -> None:
        self.number: Final = number_of(version)
        self.lost: Final = asyncio.Event()
        self._cells = cells
        self._version = version
        self._until = until
        self._lease = lease
        self._clock = clock
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._renew(), name=f"lock {version.name}")

    def check(self) -> None:
        """Return if the lock is still held, as far as this process can know.

        Between the check and what follows the process can freeze; only the number, compared where
        the work takes effect, closes that gap.

        Raises:
            LockLost: it is not.
        """
        if self._clock() >= self._until:
            self.lost.set()
        if self.lost.is_set():
            raise LockLost(f"lock {self._version.name!r} (number {self.number}) is lost")

    async def let_go(self) -> None:
        """Let go, so that others need not wait for the end of the lease; idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        try:
            async with asyncio.timeout(LETTING_GO):
                await asyncio.shield(self._task)  # a renewal that is on its way comes first
                if not self.lost.is_set():
                    free = {**self._version.content, "held": False}
                    await self._cells.replace(self._version, free)
        except (OpenIAPError, TimeoutError):
            pass  # the lease ends by itself
        finally:
            self.lost.set()
            self._task.cancel()

    async def _renew(self) -> None:
        while not self._closing.is_set():
            # A third after the last one was sent, so that one that took long is not followed late.
            due = self._until - self._lease * (RENEWALS - 1) / RENEWALS
            with suppress(TimeoutError):
                async with asyncio.timeout(due - self._clock()):
                    await self._closing.wait()
                    return
            try:
                renewed = await self._renewed()
            except BaseException:  # nobody renews it any more
                self.lost.set()
                raise
            if not renewed:
                self.lost.set()
                return

    async def _renewed(self) -> bool:
        while True:
            sent = self._clock()
            if sent >= self._until:
                return False
            try:
                async with asyncio.timeout(self._until - sent):
                    made = await self._cells.replace(self._version, self._version.content)
                break
            except ServerError:  # its database may be away for a moment; the lease is not over yet
                await asyncio.sleep(min(WAIT_MAX, self._lease / REFUSED_TRIES))
            except (OpenIAPError, TimeoutError):
                # Whether it was stored is not known, so there is nothing to build the next one on.
                return False
        if made is None:
            return False
        self._version = made
        self._until = sent + self._lease
        return True


class Lock:
    """One lock; see ``State.lock``."""

    def __init__(
        self,
        cells: Cells,
        name: str,
        *,
        lease: float,
        wait: float | None,
        chance: random.Random,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self.name: Final = name
        self._cells = cells
        self._lease = lease
        self._wait = wait
        self._chance = chance
        self._clock = clock
        self._held: Held | None = None

    async def __aenter__(self) -> Held:
        return await self.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()

    async def acquire(self) -> Held:
        """Wait for the lock and take it; ``async with`` does it, and lets go at the end.

        Raises:
            LockTimeout: not within ``wait``.
            RuntimeError: this very object holds it already; it does not nest.
            OpenIAPError: no answer for a minute.
        """
        held = await self.acquire_unless(None)
        assert held is not None
        return held

    async def acquire_unless(self, needless: Callable[[], Awaitable[bool]] | None) -> Held | None:
        """Like ``acquire``, and asked before each wait whether it is needed still; None: no.

        Raises:
            LockTimeout, RuntimeError, OpenIAPError: as ``acquire``.
        """
        if self._held is not None:
            raise RuntimeError(f"lock {self.name!r} is held through this object already")
        end = None if self._wait is None else self._clock() + self._wait
        watched, since, tries = "", 0.0, 0
        while True:
            sent = self._clock()
            tip = await self._cells.tip(KIND, self.name)
            made: Version | None = None
            if tip is None or not _held(tip):
                sent = self._clock()
                made = await self._taken(tip)
            elif tip.token != watched:
                watched, since = tip.token, self._clock()
            elif sent - since > _lease(tip, self._lease) + MARGIN:
                sent = self._clock()
                made = await self._taken(tip)
            if made is not None:
                self._held = Held(self._cells, made, sent + self._lease, self._lease, self._clock)
                return self._held
            left = None if end is None else end - self._clock()
            if left is not None and left <= 0:
                raise LockTimeout(
                    f"lock {self.name!r} was not free within {duration_text(self._wait or 0)}"
                )
            tries += 1
            most = min(WAIT_MAX, WAIT_FIRST * 2 ** min(tries, 10))
            pause = self._chance.uniform(most / 2, most)
            if needless is not None and await needless():
                return None
            await asyncio.sleep(pause if left is None else min(pause, left))

    async def release(self) -> None:
        """Let go of it; nothing where it is not held."""
        held, self._held = self._held, None
        if held is not None:
            await held.let_go()

    async def _taken(self, tip: Version | None) -> Version | None:
        content: JsonObject = {
            "held": True,
            "number": number_of(tip) + 1,
            "lease": self._lease,
            "owner": secrets.token_hex(8),
        }
        if tip is None:
            return await self._cells.create(KIND, self.name, content)
        return await self._cells.replace(tip, content)


def number_of(version: Version | None) -> int:
    """Return a lock's fencing number; 0 where it was never held.

    It never goes back: one that somebody spoiled goes on from the cell's own, which is greater.
    """
    if version is None:
        return 0
    found = whole(version.content.get("number"))
    return version.number if found is None or found < 0 else found


def lease_seconds(lease: Duration) -> float:
    """Return a lease in seconds.

    Raises:
        ValueError: no duration, or shorter than a second.
    """
    found = seconds(lease, "lease")
    if found < SHORTEST:
        raise ValueError(f"lock: lease = {lease!r} is too short; allowed: at least 1s")
    return found


def _held(version: Version) -> bool:
    return not version.removed and bool(version.content.get("held"))


def _lease(version: Version, otherwise: float) -> float:
    found = duration_of(version.content.get("lease"))
    return otherwise if found is None else found
