"""The file of an outbox: opened, looked after, and set aside where it cannot be read.

It belongs to whoever commits: the writer's thread, or the loop while that one rests.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from worker.engine.outbox.sqlite import Ledger, Sync, set_aside, useless

CHECK_EVERY: Final = 2.0
"""Seconds between checks that the file is still there."""


class LedgerFile:
    """One outbox's file.

    Args:
        path: the SQLite file.
        on_trouble: called with one sentence where another file is begun.
    """

    def __init__(self, path: Path, *, sync: Sync, on_trouble: Callable[[str], None]) -> None:
        self.path: Final = path
        self.ledger: Ledger | None = None
        """The file while it is open."""
        self._sync: Sync = sync
        self._on_trouble = on_trouble
        self._checked = 0.0

    def at_hand(self, now: float) -> Ledger | None:
        """Return the open file where nothing is to be seen to first; None otherwise.

        Args:
            now: by the monotonic clock.
        """
        ledger = self.ledger
        if ledger is None or ledger.has_long_log or now - self._checked > CHECK_EVERY:
            return None
        return ledger

    def usable(self, now: float) -> tuple[Ledger, bool]:
        """Return the open file, and whether it was made just now; made anew where it is gone.

        Raises:
            sqlite3.Error, OSError: it cannot be opened.
        """
        if self.ledger is not None and now - self._checked > CHECK_EVERY:
            self._checked = now
            if not self.ledger.intact():
                self.drop()
                self._on_trouble(f"The outbox {self.path} vanished; it is made anew.")
        if self.ledger is not None:
            return self.ledger, False
        self.ledger = self._opened()
        self._checked = now
        return self.ledger, self.ledger.created

    def shorten_log(self) -> None:
        """Shorten its log where that is long."""
        if self.ledger is not None and self.ledger.has_long_log:
            with suppress(sqlite3.Error):  # the next write sees what is wrong
                self.ledger.shorten_log()

    def refused(self, error: Exception) -> None:
        """Let go of it after an error, so that the next use opens it; aside where it is useless."""
        self.drop()
        why = useless(error)
        if why:
            with suppress(Exception):  # whatever it is, the next opening finds the file again
                set_aside(self.path, why, time.time())

    def drop(self) -> None:
        """Close it."""
        ledger, self.ledger = self.ledger, None
        if ledger is not None:
            with suppress(Exception):  # it failed already; a new connection is made
                ledger.close()

    def _opened(self) -> Ledger:
        try:
            return Ledger(self.path, sync=self._sync)
        except sqlite3.Error as error:
            why = useless(error)
            if not why:
                raise
            aside = set_aside(self.path, why, time.time())
            text = f"The outbox {self.path} cannot be read ({error}). It is kept as {aside.name}"
            self._on_trouble(f"{text}; a new one is begun.")
            return Ledger(self.path, sync=self._sync)
