"""Steering: what operators tell a running worker is done here, and answered with the heartbeat.

Who may tell it anything is decided in ``fleet/mailbox.py``. What is set holds until the worker
ends: its next life begins with its settings again.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, get_args

from worker.engine.fleet.command import Command
from worker.engine.fleet.report import MOST_ANSWERS, MOST_STACKS, MOST_TEXT, Answer
from worker.engine.pause import shown
from worker.engine.queue_workers import QueueWorkers
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.telemetry.log import Log
from worker.telemetry.log_forms import Level
from worker.uptime import uptime

MOST_SLOTS: Final = 10_000
"""As the setting ``concurrency`` has it."""
MOST_PROCESSES: Final = 256
LONG_ANSWERS: Final = 300.0
"""Seconds for which stacks go with the heartbeats."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


class _CannotError(Exception):
    """It cannot be done; the text says why."""


class Steering:
    """Does commands.

    Args:
        stop: begins the worker's stop; returns at once.
        tell: writes a heartbeat now.
        now: the server's time.
    """

    def __init__(
        self,
        workers: QueueWorkers,
        *,
        stop: Callable[[], None],
        tell: Callable[[], Awaitable[None]],
        now: Callable[[], datetime],
        log: Log,
    ) -> None:
        self._workers = workers
        self._stop = stop
        self._tell = tell
        self._now = now
        self._log = log
        self._quiet = ""
        self._answers: deque[tuple[Answer, float]] = deque(maxlen=MOST_ANSWERS)
        self.mailbox: Callable[[], str] = lambda: ""
        """Returns where commands go."""

    async def obey(self, command: Command, over: bool) -> None:
        """Do a command and answer it.

        Args:
            over: its time is over; it is only answered.
        """
        by = command.by or "somebody who may write this worker's mailbox"
        if over:
            done, text = False, "its time was over when this worker saw it"
        else:
            try:
                done, text = True, await self._do(command, by)
            except _CannotError as error:
                done, text = False, str(error)
        value = "" if command.value is None else str(command.value)
        parts = (command.action, command.queue, value)
        what = " ".join(part[:MOST_TEXT] for part in parts if part)
        if done:
            self._log.warn(f"{by} steers this worker: {what}", command=command.id)
        else:
            self._log.warn(f"not done: {what}, told by {by}: {text}", command=command.id)
        shown = command.action[:MOST_TEXT]
        answer = Answer(command.id, shown, done, text, command.by, command.byid, self._now())
        self._answers.append((answer, uptime()))
        await self._tell()
        if done and command.action == "stop":
            self._stop()

    def told(self) -> JsonObject:
        """Return what the report says of it."""
        answers = [_told(answer, uptime() - at) for answer, at in self._answers]
        return {"quiet": self._quiet, "mailbox": self.mailbox(), "answers": answers}

    async def _do(self, command: Command, by: str) -> str:
        """Do it, and say what was done.

        Raises:
            _CannotError: it cannot be done.
        """
        if command.action == "quiet":
            if not self._quiet:
                self._quiet = f"since {shown(self._now())} by {by}"[:MOST_TEXT]
            self._workers.hold(True)
            return "it takes no more items; those in flight go on"
        if command.action == "resume":
            self._quiet = ""
            self._workers.hold(False)
            return "it takes items again"
        if command.action == "stop":
            return f"it drains and ends; {len(self._workers.in_flight())} items in flight"
        if command.action == "concurrency":
            return self._set_concurrency(command)
        if command.action == "log_level":
            return self._set_level(command)
        if command.action == "stacks":
            return await self._stacks()
        raise _CannotError(f"this version knows no command {command.action[:50]}")

    def _set_concurrency(self, command: Command) -> str:
        queue, slots = command.queue, command.value
        consumer = self._workers.consumers.get(queue)
        if consumer is None:
            names = ", ".join(self._workers.consumers)[:MOST_TEXT]
            raise _CannotError(f"it does not work queue {queue[:100]}; it works {names}")
        most = MOST_PROCESSES if self._workers.in_processes(queue) else MOST_SLOTS
        if not isinstance(slots, int) or not 1 <= slots <= most:
            raise _CannotError(f"concurrency {slots!r}: allowed: 1 to {most}"[:MOST_TEXT])
        before = consumer.slots
        self._workers.resize(queue, slots)
        return f"concurrency of {queue}: {before} before, {slots} now"

    def _set_level(self, command: Command) -> str:
        for level in LEVELS:
            if command.value == level:
                before = self._log.level
                self._log.set_level(level)
                return f"log level: {before} before, {level} now"
        allowed = ", ".join(LEVELS)
        raise _CannotError(f"log level {str(command.value)[:50]!r}: allowed: {allowed}")

    async def _stacks(self) -> str:
        found = await self._workers.stacks()
        if not found:
            return "nothing runs"
        each = max(200, MOST_STACKS // len(found))
        texts = [f"item {item}\n{stack.rstrip()[:each]}" for item, stack in found.items()]
        text = "\n\n".join(texts)
        return text if len(text) <= MOST_STACKS else f"{text[:MOST_STACKS]}…"


def _told(answer: Answer, age: float) -> JsonObject:
    text = answer.text
    if len(text) > MOST_TEXT and age > LONG_ANSWERS:
        text = f"{text[:MOST_TEXT]}…"
    return {
        "id": answer.id,
        "action": answer.action,
        "done": answer.done,
        "text": text,
        "by": answer.by,
        "byid": answer.byid,
        "at": None if answer.at is None else iso(answer.at),
    }
