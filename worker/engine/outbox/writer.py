"""The outbox's writer: commits in groups, and keeps trying while the disk refuses.

1. Usual rows are committed at the end of a turn of the loop, on the loop (``loop_commits.py``).
2. All else is the thread's: what is large or slow, reading, shortening the log, and trouble.
   Everything that changed while its last commit ran goes into the next one.
3. One of the two has the file: the loop only while the thread rests, with ``mutex`` held.

What is to be written is state (``batch.py``), so after trouble the same state is simply written
again, into a new file if need be.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from worker.engine.outbox.answers import fail, finish, succeed
from worker.engine.outbox.batch import Batch, Entry, Job
from worker.engine.outbox.ledger_file import LedgerFile
from worker.engine.outbox.loop_commits import LoopCommits
from worker.engine.outbox.row_numbers import RowNumbers
from worker.engine.outbox.sqlite import MOST_AT_ONCE, Ledger, StoredRow, Sync
from worker.errors import StateError
from worker.item.attempt_id import AttemptId

FORGET_EVERY: Final = 3600.0
LOOK_EVERY: Final = 0.5
"""Seconds between looks of the thread whether a handler that blocks the loop keeps it from
committing what others have finished."""
LINGER: Final = 0.000_01
LONGEST_LINGER: Final = 0.001
"""Seconds between commits for each item in flight, and at most. Waking a thread costs more than
what it then commits, so under load it looks by itself, and more goes into each commit; the fewer
slots there are, the more a slot that waits for its commit counts."""
SOON: Final = 0.05
"""Seconds until what nobody waits for is committed, at most."""
CROWD: Final = 4
"""Items in flight from which commits are shared even if each comes a little later."""
MOST_EVIDENCE: Final = 1000
MOST_REASON: Final = 500
"""Refusals kept in memory while the disk takes none."""


class Writer:
    """The thread and its file.

    Args:
        path: the SQLite file.
        keep: seconds that evidence is kept.
        retry: seconds between tries while the disk refuses.
        live: returns every entry not gone; called with ``mutex`` held.
        in_flight: how many items are; with ``CROWD`` of them commits are worth waiting for.
        loaded: called once, in the thread, with what the file held.
        on_trouble, on_recovery: called on the loop, once per change, with one sentence.
    """

    def __init__(
        self,
        path: Path,
        *,
        sync: Sync,
        keep: float,
        retry: float,
        live: Callable[[], list[Entry]],
        in_flight: Callable[[], int],
        loaded: Callable[[list[StoredRow], dict[str, int]], None],
        on_trouble: Callable[[str], None],
        on_recovery: Callable[[str], None],
    ) -> None:
        self.failure = ""
        self.mutex: Final = threading.Lock()
        self.pending = Batch()
        self.closed = False
        self._path = path
        self._file = LedgerFile(path, sync=sync, on_trouble=self._in_trouble)
        self._keep = keep
        self._retry = retry
        self._live = live
        self._in_flight = in_flight
        self._leaving: dict[AttemptId, Entry] = {}
        self._soon: asyncio.TimerHandle | None = None
        self._loaded = loaded
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery
        self._loop = asyncio.get_running_loop()
        self.numbers: Final = RowNumbers()
        self.life = 0
        """This life's number in the file; 0 until it is begun."""
        self._has_loaded = False
        self._idle = False
        """The thread rests and leaves the file to the loop, until it is woken."""
        self._of_loop = LoopCommits(sync)
        self._at_turns_end = False
        """The loop commits at the end of this turn."""
        self._closing = False
        self._said = ""
        self._forgot = 0.0
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="outbox writer", daemon=True)

    async def start(self) -> None:
        """Start the thread; returns when the file was opened, or could not be."""
        self._thread.start()
        await asyncio.shield(self._ready)

    def nudge(self) -> None:
        """See to it that ``pending`` is written; call on the loop, with ``mutex`` held."""
        if not self._idle:
            return  # the thread looks again before it rests
        if not self._of_loop.fit(self.pending):
            self._wake_thread()
        elif not self._at_turns_end:
            self._at_turns_end = True
            self._loop.call_soon(self._end_of_turn)

    def _wake_thread(self) -> None:
        self._idle = False
        self._wake.put(None)

    def _end_of_turn(self) -> None:
        """Commit what came in this turn, unless the thread sees to it."""
        self._at_turns_end = False
        with self.mutex:
            batch = self.pending
            if not self._idle or self.closed or not batch:
                return
            if not self._written_here(batch):
                self._wake_thread()
                return
            self.pending = Batch()
        finish(batch.waiting)

    def _written_here(self, batch: Batch) -> bool:
        """Commit a batch on the loop; whether that could be done."""
        began = time.monotonic()
        ledger = self._file.at_hand(began)
        if ledger is None or not self._of_loop.fit(batch):
            return False
        try:
            ledger.write(batch.change(self.life, self.numbers))
        except Exception:  # the thread tries it once more, and sees what it is
            return False
        finally:
            self._of_loop.took(time.monotonic() - began)
        batch.written()
        return True

    def forget_soon(self, key: AttemptId, entry: Entry) -> None:
        """Delete an entry that is gone, together with others; call on the loop.

        Nobody waits for that, and a commit that stores as well costs less without it.
        """
        if key in self._leaving:
            self._forget_now()
        self._leaving[key] = entry
        if len(self._leaving) >= MOST_AT_ONCE:
            self._forget_now()
        elif self._soon is None:
            self._soon = self._loop.call_later(SOON, self._forget_now)

    def forget_with_next(self, key: AttemptId) -> None:
        """Delete what is gone under a key with the next commit: the row that this one stores under
        it has to be the only one. Call on the loop, with ``mutex`` held."""
        entry = self._leaving.pop(key, None)
        if entry is not None:
            self.pending.entries[entry] = None

    def _forget_now(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        leaving, self._leaving = self._leaving, {}
        with self.mutex:
            self.pending.entries.update(dict.fromkeys(leaving.values()))
            self.nudge()

    def committed(self) -> "asyncio.Future[None] | None":
        """Return what ends with the commit of what is pending; None while the disk refuses: nobody
        waits for that. Call on the loop, with ``mutex`` held."""
        self.nudge()
        if self.failure or self.closed:
            return None
        done: asyncio.Future[None] = self._loop.create_future()
        self.pending.waiting.append(done)
        return done

    async def run(self, job: Job) -> Any:
        """Run something on the file, in the thread, after what is pending.

        Raises:
            StateError: the file cannot be used now.
        """
        done: asyncio.Future[Any] = self._loop.create_future()
        with self.mutex:
            if self.closed:
                raise StateError("The outbox is closed.")
            self.pending.jobs.append((job, done))
            self.nudge()
        return await done

    async def close(self, timeout: float) -> bool:
        """Write what is pending, once more if the disk refused, and end; whether it ended."""
        if not self._closing:
            self._closing = True
            self._forget_now()
            self._wake.put(None)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._ended)
        except TimeoutError:
            return False
        self._thread.join(timeout)
        return True

    # From here on: the thread.

    def _run(self) -> None:
        try:
            self._attempt(Batch())
            self._post(finish, [self._ready])
            while not self._closing:
                try:
                    self._round()
                except Exception as error:  # whatever it is, nobody else writes this file
                    self._stumbled(error)
            self._last()
        finally:
            self.closed = True
            self._post(finish, [self._ready, self._ended])

    def _round(self) -> None:
        batch = self._take()
        if batch:
            self._attempt(batch)
            if self.failure:
                self._pause(self._retry)
            elif self._left_to_loop():
                self._pause(LOOK_EVERY)
            elif (crowd := self._in_flight()) >= CROWD:
                time.sleep(min(LONGEST_LINGER, crowd * LINGER))
        elif self.failure:
            self._pause(self._retry)
            self._attempt(Batch())
        else:
            self._pause(LOOK_EVERY)

    def _left_to_loop(self) -> bool:
        """Leave the file, and what came meanwhile, to the loop; whether that may be."""
        with self.mutex:
            self._idle = not self._closing and self._of_loop.fit(self.pending)
            if self._idle and self.pending:
                self._post(self._end_of_turn)
            return self._idle

    def _stumbled(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            self._say(self._on_trouble, f"The outbox's writer failed, and goes on: {said}.")
        self._said = said
        with suppress(Exception):
            self._pause(min(1.0, self._retry))

    def _pause(self, seconds: float) -> None:
        try:
            self._wake.get(timeout=seconds)
        except queue.Empty:
            with self.mutex:
                self._idle = False

    def _take(self) -> Batch:
        with self.mutex:
            batch, self.pending = self.pending, Batch()
            self._idle = not batch and not self.failure
            return batch

    def _attempt(self, batch: Batch) -> None:
        """Write a batch; on trouble it goes back to the front of what is pending."""
        try:
            ledger = self._usable(batch)
            change = batch.change(self.life, self.numbers)
            if self.failure and not (change.store or change.delete):
                ledger.touch(self.life, time.time())
            ledger.write(change)
        except Exception as error:  # whatever it is, the engine must not wait for ever
            self._refused(batch, error)
        else:
            batch.written()
            self._succeeded()
        if batch.waiting:
            self._post(finish, batch.waiting)
        for job, done in batch.jobs:
            self._do(job, done)
        self._file.shorten_log()

    def _usable(self, batch: Batch) -> Ledger:
        """Return the open file, with what this life writes into it first."""
        now = time.monotonic()
        ledger, is_new = self._file.usable(now)
        if is_new:
            self.life = 0
            self._everything_again(batch)
        if not self._has_loaded:
            self._loaded(ledger.rows(), ledger.deaths())
            self._has_loaded = True
        if not self.life:
            self.life = ledger.begin_life(time.time())
            self._loaded([], ledger.deaths())
        if now - self._forgot > FORGET_EVERY or not self._forgot:
            ledger.forget_before(time.time() - self._keep)
            self._forgot = now
        return ledger

    def _everything_again(self, batch: Batch) -> None:
        """A new file holds nothing: all that is known goes into it."""
        with self.mutex:
            known = self._live()
        for entry in known:
            batch.entries[entry] = None
        for entry in batch.entries:
            entry.stored = False

    def _refused(self, batch: Batch, error: Exception) -> None:
        self._file.refused(error)
        with self.mutex:
            later = self.pending
            later.entries = {**batch.entries, **later.entries}
            later.deaths = {**batch.deaths, **later.deaths}
            later.evidence = [*batch.evidence, *later.evidence][-MOST_EVIDENCE:]
            first, self.failure = not self.failure, f"{self._path}: {error}"
            # Who began to wait meanwhile is let go as well: nobody waits for a broken disk.
            released, later.waiting = later.waiting, []
        batch.waiting.extend(released)
        if first:
            self._say(
                self._on_trouble,
                f"The outbox cannot be written ({self._path}: {error}). The worker goes on, but"
                " what it computes would not survive its own death until the disk is back.",
            )

    def _succeeded(self) -> None:
        if not self.failure:
            return
        with self.mutex:
            self.failure = ""
        self._say(self._on_recovery, f"The outbox is written again ({self._path}).")

    def _do(self, job: Job, done: "asyncio.Future[Any]") -> None:
        try:
            if self._file.ledger is None:
                raise StateError(f"The outbox cannot be used: {self.failure}.")
            result = job(self._file.ledger)
        except (sqlite3.Error, OSError) as error:
            self._post(fail, done, StateError(f"{self._path.parent}: {error}."))
        except Exception as error:  # it is the caller's: this thread has the others to serve
            self._post(fail, done, error)
        else:
            self._post(succeed, done, result)

    def _last(self) -> None:
        self.closed = True
        batch = self._take()
        self._attempt(batch)
        if self._file.ledger is not None:
            try:
                self._file.ledger.end_life(self.life, time.time())
            except sqlite3.Error as error:
                self._say(self._on_trouble, f"The outbox could not be closed well: {error}.")
            self._file.drop()

    def aside(self, seq: int, stored: StoredRow, found: Entry | None, why: str) -> None:
        """Keep the texts of a row that cannot be read as evidence; with the mutex held.

        Args:
            found: what stands in its place from now on, or None.
            why: what of it cannot be read.
        """
        reason = f"a row of the outbox that cannot be read, {why[:MOST_REASON]}"
        self.pending.aside(seq, stored, found, reason)
        self.nudge()
        self._say(self._on_trouble, f"Item {stored.item_id}: {reason}; it is kept as evidence.")

    def _in_trouble(self, text: str) -> None:
        self._say(self._on_trouble, text)

    def _say(self, listener: Callable[[str], None], text: str) -> None:
        self._post(listener, text)

    def _post(self, call: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(call, *args)
