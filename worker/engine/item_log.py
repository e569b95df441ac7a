"""One log line for each item that was worked: what became of it, and what comes next.

Late outcomes, items that are gone and refusals have lines of their own where they are met.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from worker.engine.delivery.delivery import Delivered
from worker.engine.in_flight import Running
from worker.item.masking import masked
from worker.item.new_item import DEFAULT_NAME
from worker.item.outcome import Outcome
from worker.item.trace import Trace
from worker.openiap.values import iso
from worker.openiap.workitem import FAILED
from worker.telemetry.log import Log, ToSay
from worker.telemetry.log_forms import Level
from worker.telemetry.ready_line import NUMBER, WORD, WORDS, ReadyLine

Choice = Literal["all", "failures", "none"]
Done = tuple[str, str, str, int, str, Trace | None, float]
"""Queue, id, name, attempt, handler, trace and seconds of an item that is done. Its line is made
later, with others: here it must cost next to nothing."""

MAX_ERROR: Final = 500
MOST_READY: Final = 1_000
"""Lines that are kept ready: one for each handler, or a few."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line: its level, its message, and what it tells beside item and outcome."""

    level: Level
    message: str
    fields: Mapping[str, object]


class ItemLog:
    """Writes the lines of one worker.

    Args:
        choice: the setting ``item_log``; failures are retries and what failed for good.
        log: takes the lines.
    """

    def __init__(self, choice: Choice, log: Log) -> None:
        self._choice: Final = choice
        self._log: Final = log
        self._says_done: Final = choice == "all"
        self._ready: Final[dict[tuple[str, str, bool, str], ReadyLine]] = {}

    def finished(
        self, running: Running, outcome: Outcome, delivered: Delivered, seconds: float
    ) -> None:
        """Say what became of an item.

        Args:
            seconds: from its pop to now.
        """
        if self._choice == "none" or delivered.result != "applied":
            return
        if outcome.kind == "successful":
            if self._says_done and self._log.enabled("info"):  # steering may change the level
                workitem, item = running.workitem, running.item
                done: Done = (
                    workitem.wiq,
                    workitem.id,
                    workitem.name,
                    workitem.retries + 1,
                    "" if item is None else item.handler,
                    running.trace,
                    seconds,
                )
                self._log.say_later("info", self._line_of, done)
            return
        if self._choice == "failures" and outcome.kind == "released":
            return
        workitem = running.workitem
        by_queue = None if running.item is None else running.item.attempts_left
        left = _attempts_left(workitem.retries + 1, by_queue, outcome.allowed)
        said = said_of(outcome, delivered, attempts_left=left)
        if not self._log.enabled(said.level):
            return
        self._log.masked_already(
            said.level,
            said.message,
            handler="" if running.item is None else running.item.handler,
            trace=running.trace,
            queue=workitem.wiq,
            item=workitem.id,
            **({"name": name} if (name := _name(workitem.name)) else {}),
            attempt=workitem.retries + 1,
            outcome=outcome.kind,
            seconds=round(seconds, 3),
            **said.fields,
        )

    def _line_of(self, done: Done) -> ToSay:
        """Return the line of an item that is done."""
        queue, identity, name, attempt, handler, trace, seconds = done
        kind = ""
        if name and name != DEFAULT_NAME:
            name = masked(name)
            kind = "" if not name else WORDS if " " in name else WORD
        key = (queue, handler, trace is not None, kind)
        ready = self._ready.get(key) or self._make_ready(key)
        seconds = int(seconds * 1000 + 0.5) / 1000  # as round does, at a third of its cost
        if kind:
            return ready, (identity, name, attempt, seconds), trace
        return ready, (identity, attempt, seconds), trace

    def _make_ready(self, key: tuple[str, str, bool, str]) -> ReadyLine:
        queue, handler, traced, name = key
        if len(self._ready) >= MOST_READY:
            self._ready.clear()
        ready = self._ready[key] = self._log.ready_line(
            "info",
            "item done",
            handler=handler,
            traced=traced,
            queue=queue,
            item=WORD,
            **({"name": name} if name else {}),
            attempt=NUMBER,
            outcome="successful",
            seconds=NUMBER,
        )
        return ready


def said_of(outcome: Outcome, delivered: Delivered, *, attempts_left: int | None) -> Said:
    """Return what is said of an outcome other than success that the server took.

    Args:
        attempts_left: further attempts that queue and policy allow; None if unknown.
    """
    if outcome.kind == "released":
        if delivered.parked:
            return Said("verbose", "item waits", {"why": masked(outcome.message)})
        return Said("info", "item handed back", {"why": masked(outcome.message)})
    error = _short(masked(outcome.message))
    if outcome.kind == "application" and delivered.state != FAILED:
        again = delivered.nextrun or outcome.retry_at
        fields: dict[str, object] = {
            "again": "by the queue's delay" if again is None else iso(again)
        }
        if attempts_left is not None:
            fields["attempts_left"] = attempts_left
        return Said("info", "item will be tried again", {**fields, "error": error})
    return Said("warn", "item failed for good", {"why": _why_final(outcome), "error": error})


def _why_final(outcome: Outcome) -> str:
    if outcome.kind == "business":
        return "a business error is not tried again"
    if outcome.kind == "application" or outcome.allowed is not None:
        return "no attempts are left"
    return "it would fail again"


def _attempts_left(attempt: int, by_queue: int | None, allowed: int | None) -> int | None:
    """Return what the queue's rule and the handler's leave; the smaller one holds."""
    if allowed is None:
        return by_queue
    by_policy = max(0, allowed - attempt)
    return by_policy if by_queue is None else min(by_queue, by_policy)


def _name(name: str) -> str:
    return masked(name) if name and name != DEFAULT_NAME else ""


def _short(text: str) -> str:
    return text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]}…"
