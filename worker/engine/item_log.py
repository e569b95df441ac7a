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
from worker.openiap.values import iso
from worker.openiap.workitem import FAILED, Workitem
from worker.telemetry.log import Log
from worker.telemetry.log_forms import Level

Choice = Literal["all", "failures", "none"]

MAX_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Said:
    """A line: its level, its message, and what it tells beside item and outcome."""

    level: Level
    message: str
    fields: Mapping[str, object]


DONE: Final = Said("info", "item done", {})


class ItemLog:
    """Writes the lines of one worker.

    Args:
        choice: the setting ``item_log``; failures are retries and what failed for good.
        log: takes the lines.
    """

    def __init__(self, choice: Choice, log: Log) -> None:
        self._choice: Final = choice
        self._log: Final = log

    def finished(
        self, running: Running, outcome: Outcome, delivered: Delivered, seconds: float
    ) -> None:
        """Say what became of an item.

        Args:
            seconds: from its pop to now.
        """
        if self._choice == "none" or delivered.result != "applied":
            return
        if self._choice == "failures" and outcome.kind in ("successful", "released"):
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
            **_name(workitem),
            attempt=workitem.retries + 1,
            outcome=outcome.kind,
            seconds=round(seconds, 3),
            **said.fields,
        )


def said_of(outcome: Outcome, delivered: Delivered, *, attempts_left: int | None) -> Said:
    """Return what is said of an outcome that the server took.

    Args:
        attempts_left: further attempts that queue and policy allow; None if unknown.
    """
    if outcome.kind == "successful":
        return DONE
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


def _name(workitem: Workitem) -> dict[str, str]:
    named = workitem.name and workitem.name != DEFAULT_NAME
    return {"name": masked(workitem.name)} if named else {}


def _short(text: str) -> str:
    return text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]}…"
