"""From what a handler did to what is written back: pure decisions over data.

OpenIAP's rules behind them (server.md, Update, field by field): state ``retry`` with errortype
``business`` ends as failed; with ``application`` it is retried up to the queue's maxretries; the
payload must be sent; a message without a type counts as ``application``.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import ValidationError

from worker.errors import BusinessError, Retry, Skip
from worker.item.error_chain import ResultError, deciding, message_of, whole_source
from worker.item.error_text import (
    MAX_SOURCE,
    clip,
    coded,
    problems_of,
)
from worker.item.failure_facts import facts_line
from worker.item.masking import masked
from worker.item.new_item import FollowUp
from worker.item.retry import Backoff, NeverRetry, Retrying, RetryPolicy
from worker.item.signals import Awaited
from worker.openiap.values import iso
from worker.openiap.workitem import (
    APPLICATION,
    BUSINESS,
    FAILED,
    RETRY,
    SUCCESSFUL,
    JsonObject,
    Workitem,
)

Kind = Literal["successful", "business", "application", "failed", "released"]
State = Literal["successful", "failed", "retry"]
ErrorType = Literal["", "business", "application"]

WAITS: Final = "openiap_worker_waits"
"""Under which an item that waits shows why."""
SIGNALS: Final = "signals"
PAST: Final = "past"
"""Under which it shows there what wakes it, and which signals do not any more."""
MOST_PAST: Final = 50
"""So many of those stand there; what wakes an item for nothing once does no harm."""
LOOK_AGAIN: Final = timedelta(seconds=60)
"""After which an item that waits for a signal, and cannot be parked, is looked at."""
MAX_WHY: Final = 200
RESULT: Final = "result"
"""The payload's field of a result that is no JSON object."""
NOTHING_RAISED: Final = "no traceback, nothing was raised"
"""The source of an error without one: OpenIAP keeps that of an earlier attempt where there is none,
and it would seem to belong to this one's message (server.md, Update)."""


Got = tuple[str, ...] | str


@dataclass(frozen=True, slots=True)
class Waits:
    """A parked item's reason.

    Attributes:
        why: for people: which key, or which rate.
        until: when it is popped again whatever happens, UTC.
        unparked_until: the same for an item that cannot be parked, where that is another.
        times: how often it was handed back for a breaker that stays closed.
        asleep: the handler let it sleep, so that it holds nothing meanwhile.
        signals: the names of those that wake it before; past: the ids of those that do not.
    """

    why: str
    until: datetime
    unparked_until: datetime | None = None
    times: int = 0
    asleep: bool = False
    signals: tuple[str, ...] = ()
    past: tuple[str, ...] = ()

    def document(self) -> JsonObject:
        """Return what stands on the item while it waits."""
        more: JsonObject = {"times": self.times} if self.times else {}
        if self.signals:
            more |= {SIGNALS: list(self.signals), PAST: list(self.past[-MOST_PAST:])}
        return {"why": self.why[:MAX_WHY], "until": iso(self.until), **more}


@dataclass(frozen=True, slots=True)
class Written:
    """A payload and its JSON text, compact and no deeper than whoever reads it takes."""

    payload: JsonObject
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be written back for one attempt.

    Attributes:
        kind: one of five.

            - ``successful``: the handler returned, or raised ``Skip``.
            - ``business``: it raised ``BusinessError``, or was not called because payload or files
              do not fit; the item fails and is never retried.
            - ``application``: another error, or ``Retry``; retried by the queue's rules, and failed
              where no attempts are left.
            - ``failed``: an application error that is not retried: the policy says so (``Never``,
              ``Backoff(attempts=…)``), or the result cannot be kept.
            - ``released``: handed back without costing an attempt: the worker stops, or the item
              waits for its key or a rate.
        payload: the JSON object to store, or None to keep the stored one.
        message, source: for errormessage and errorsource; "" for a success.
        retry_at: when to try again, where the handler or its policy chose a time.
        attachments: name and local path of each file to store with the item.
        pushes: follow-up items, pushed once the server has the outcome; with a success only.
        written: the payload's JSON text, where it was made already.
        got: the fields of the payload that are the handler's result, or the one that is the result
            itself; not kept on disk.
        allowed: the attempts that the error's rule allows in all, where it counts them; for the
            log line of this life, not kept on disk.
        ran: seconds that the handler took, where that is known.
        error_class: of the exception that decided it, or "".
        waits: why and until when an item that is handed back is parked; not kept on disk, so one
            that was not parked before a crash is handed back by the next life.
    """

    kind: Kind
    payload: JsonObject | None = None
    message: str = ""
    source: str = ""
    retry_at: datetime | None = None
    attachments: tuple[tuple[str, str], ...] = ()
    pushes: tuple[FollowUp, ...] = ()
    allowed: int | None = field(default=None, compare=False)
    ran: float | None = field(default=None, compare=False)
    error_class: str = field(default="", compare=False)
    waits: Waits | None = None
    written: Written | None = field(default=None, compare=False, repr=False)
    got: Got = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        """Let go of a text that is of another payload."""
        if self.written is not None and self.written.payload is not self.payload:
            object.__setattr__(self, "written", None)

    def where_got(self, *, wraps: bool) -> Got:
        """Return where in the payload the result is.

        Args:
            wraps: whether the handler's results are kept in one field.
        """
        return RESULT if wraps and self.got else self.got

    @property
    def code(self) -> str:
        """The error's code, as ``BusinessError(…, code="BAD_AMOUNT")`` has it; "" for an error
        without one, and where there is no error."""
        return "" if self.kind in ("successful", "released") else coded(self.message)[0]

    @property
    def state(self) -> State:
        """The state to send with an update."""
        if self.kind == "successful":
            return SUCCESSFUL
        return FAILED if self.kind == "failed" else RETRY

    @property
    def errortype(self) -> ErrorType:
        """The errortype to send with an update; "" where there is no error."""
        if self.kind in ("successful", "released"):
            return ""
        return BUSINESS if self.kind == "business" else APPLICATION


UNCHANGED: Final = Outcome("successful", None)
"""What is written back where a handler returned nothing and had no way to change the payload."""


def failure(
    error: BaseException,
    *,
    attempt: int,
    policy: RetryPolicy,
    now: datetime,
    chance: random.Random,
) -> Outcome:
    """Make the outcome of a handler that raised.

    Args:
        error: what it raised; of a group one member decides, see ``error_chain.py``.
        attempt: 1 for the first.
        policy: the handler's retry policy.
        now: the present, UTC.
        chance: the source of jitter.
    """
    decided = deciding(error, policy)
    if isinstance(decided, Skip):
        return Outcome("successful", None)
    message = message_of(error, decided)
    if isinstance(decided, BusinessError):
        return Outcome("business", None, message, whole_source(error))
    if isinstance(decided, Retry):
        at = decided.at if decided.after is None else now + timedelta(seconds=decided.after)
        # OpenIAP keeps the source of an earlier attempt where there is none (server.md, Update).
        return Outcome("application", None, message, whole_source(error), retry_at=at)
    source = whole_source(error)
    if isinstance(decided, ResultError):
        return Outcome("failed", None, message, source)
    rule = rule_for(error, policy)
    if isinstance(rule, NeverRetry):
        return Outcome("failed", None, message, source)
    if isinstance(rule, Backoff):
        allowed = rule.attempts
        if allowed is not None and attempt >= allowed:
            return Outcome("failed", None, message, source, allowed=allowed)
        at = now + timedelta(seconds=rule.wait(attempt, chance))
        return Outcome("application", None, message, source, retry_at=at, allowed=allowed)
    return Outcome("application", None, message, source)


def rule_for(error: BaseException, policy: RetryPolicy) -> Retrying:
    """Return the rule for an error: that of the member which decides, else that of the group."""
    return policy.named(deciding(error, policy)) or policy.for_error(error)


def spent(error: BaseException, *, attempt: int, policy: RetryPolicy) -> bool:
    """Return whether the policy itself allows no further attempt because there were enough."""
    rule = rule_for(error, policy)
    return isinstance(rule, Backoff) and rule.attempts is not None and attempt >= rule.attempts


def with_facts(
    outcome: Outcome, error: BaseException, *, worker: str, attempt: int, seconds: float
) -> Outcome:
    """Return a failure whose source begins with who worked, how long, and the error's data."""
    if not outcome.source:
        return outcome
    line = facts_line(deciding(error), worker=worker, attempt=attempt, seconds=seconds)
    text = f"{line}\n{outcome.source}"
    return replace(outcome, source=clip(text, MAX_SOURCE))


def with_attempt(outcome: Outcome, *, worker: str, attempt: int, seconds: float) -> Outcome:
    """Return a failure whose source says at least which attempt it is of."""
    if outcome.source or outcome.kind in ("successful", "released"):
        return outcome
    who = f"worker {worker}, " if worker else ""
    said = f"{who}attempt {attempt}, {seconds:.3g} s: {NOTHING_RAISED}"
    return replace(outcome, source=masked(said))


def invalid_payload(error: ValidationError, *, handler: str) -> Outcome:
    """Make the outcome of a payload that does not validate: a business error naming the fields."""
    text = f"Payload of {handler} is invalid: {problems_of(error)}"
    return Outcome("business", None, clip(text, 2_000))


def released(reason: str) -> Outcome:
    """Make the outcome of an attempt that is handed back without costing the item anything."""
    return Outcome("released", None, reason)


def unreadable(why: str) -> Outcome:
    """Make the outcome of an item of which something cannot be read that its handler needs."""
    return Outcome("application", None, why, NOTHING_RAISED)


def sleeping(until: datetime, awaited: Awaited | None = None) -> Outcome:
    """Make the outcome of a run whose handler lets its item sleep.

    Args:
        until: UTC.
        awaited: the signals that it waits for. Nobody can wake an item that cannot be parked.
    """
    if awaited is not None:
        waits = Waits(
            str(awaited),
            until,
            unparked_until=min(until, awaited.looked + LOOK_AGAIN),
            asleep=True,
            signals=awaited.names,
            past=awaited.past,
        )
        return Outcome("released", None, waits.why, waits=waits)
    why = f"sleeps until {until.isoformat(sep=' ', timespec='seconds').replace('+00:00', ' UTC')}"
    return Outcome("released", None, why, waits=Waits(why, until, asleep=True))


def update_of(workitem: Workitem, outcome: Outcome) -> Workitem:
    """Return the work item to send for an outcome: what was popped, with the outcome on it."""
    return Workitem(
        id=workitem.id,
        name=workitem.name,
        payload=outcome.payload,
        priority=workitem.priority,
        nextrun=outcome.retry_at,
        state=outcome.state,
        wiq=workitem.wiq,
        wiqid=workitem.wiqid,
        errormessage=outcome.message if outcome.kind != "successful" else "",
        errorsource=outcome.source,
        errortype=outcome.errortype,
    )
