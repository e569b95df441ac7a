"""Signals: the first asks the worker to stop, the second to hurry, the third ends it at once.

At the third nothing is tidied up and nothing is lost: what was computed is in the outbox.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final, Protocol

from worker.forks import guard_signals

CAUGHT: Final = (signal.SIGTERM, signal.SIGINT)
HURRY_AT: Final = 2
EXIT_AT: Final = 3
EXIT_CODE: Final = 1


class SignalLog(Protocol):
    """The log lines that are written here."""

    def info(self, message: str, **fields: object) -> None:
        """Log what is ordinary."""

    def warn(self, message: str, **fields: object) -> None:
        """Log what somebody should look at."""


class Signals:
    """Counts the signals of one process.

    Args:
        stop: called at the first.
        hurry: called at the second.
    """

    def __init__(
        self, *, stop: Callable[[], None], hurry: Callable[[], None], log: SignalLog
    ) -> None:
        self._stop = stop
        self._hurry = hurry
        self._log = log
        self._count = 0

    @property
    def hurried(self) -> bool:
        """Whether the second came already."""
        return self._count >= HURRY_AT

    @property
    def came(self) -> bool:
        """Whether one came."""
        return self._count > 0

    def catch(self) -> Callable[[], None]:
        """Catch SIGTERM and SIGINT on the running loop; returns what lets go of them again."""
        guard_signals()
        loop = asyncio.get_running_loop()
        try:
            for number in CAUGHT:
                loop.add_signal_handler(number, self._came, number)
        except NotImplementedError:  # Windows' loops have no signal handlers of their own
            return self._catch_without_loop(loop)

        def let_go() -> None:
            for number in CAUGHT:
                loop.remove_signal_handler(number)

        return let_go

    def _catch_without_loop(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        previous = [
            signal.signal(n, lambda n, _: loop.call_soon_threadsafe(self._came, n)) for n in CAUGHT
        ]

        def put_back() -> None:
            for number, handler in zip(CAUGHT, previous, strict=True):
                signal.signal(number, handler)

        return put_back

    def _came(self, number: int) -> None:
        self._count += 1
        name = signal.Signals(number).name
        if self._count >= EXIT_AT:
            os._exit(EXIT_CODE)
        if self._count == HURRY_AT:
            self._log.warn(f"{name} again: not waiting for items in flight")
            self._hurry()
            return
        self._log.info(f"{name}: stopping")
        self._stop()
