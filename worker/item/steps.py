"""What an item keeps of its long work: the results of its steps, and until when it sleeps. Pure.

It stands under the worker's key of the payload (``metadata.py``) as

``{"of": ID, "done": {NAME: {"n", "json", "at"}}, "waits": {NAME: {"n", "until"}}}``, and, once it
waited for a signal, ``"signals": {NAME: {"n", "since", …}}`` (``signals.py``)

1. ``of`` is the item's id: what a copy of the item brings along (a chain, a dead letter) is of
   another item, and counts as none.
2. A result is kept as JSON text, so it comes back to the letter: OpenIAP makes dates of texts that
   look like some, and loses what a JavaScript double cannot hold.
3. Where a failed item is about to be copied by a chain, its steps are moved out of the payload that
   is copied, into the field ``FIELD`` of its document, and ``"apart": true`` says so.
4. ``n`` counts steps and sleeps together, in the order in which they were stored; times are seconds
   since 1970.
"""

import json
import random
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import ValidationError

from worker.errors import BusinessError, LostItem, Outage, Retry, Skip, StateError
from worker.item.error_chain import ResultError, deciding
from worker.item.json_form import NotJson, json_form, typed_form
from worker.item.retry import Backoff, RetryPolicy
from worker.item.type_form import TypeForm
from worker.openiap.fields import number, object_of
from worker.openiap.values import format_bytes, json_text
from worker.openiap.workitem import JsonObject

Part = Literal["done", "waits", "signals"]

FIELD: Final = "openiap_worker_steps"
OF: Final = "of"
APART: Final = "apart"
DONE: Final[Part] = "done"
WAITS: Final[Part] = "waits"
SIGNALS: Final[Part] = "signals"
PARTS: Final[tuple[Part, ...]] = (DONE, WAITS, SIGNALS)
MAX_STEPS: Final = 1024 * 1024
"""Bytes that all of it may have; it travels with every pop of the item."""
MAX_NAME: Final = 200
AROUND: Final = 60
"""Bytes that an entry has around its name and its text."""
ATTEMPTS: Final = 3
"""Of a step whose ``Backoff`` names no number: the item's own attempts are counted elsewhere."""
LET_OUT: Final = (BusinessError, LostItem, Outage, ResultError, Retry, Skip, StateError)
"""What a step does not try again by itself: it decides about the whole item."""
_KEYS: Final = uuid.UUID("6a1f6b0e-30c1-4f0e-9a55-3f0b8d3f0a11")
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(?=\d\d:\d\d:\d\d\.)")
_EXPRESSION: Final = "__REGEXP "


class StepError(ResultError):
    """A step or a sleep is used in a way that cannot be kept; the text says what to do. The item
    fails, and is not retried: the same would happen again, and the step may have run."""


@dataclass(frozen=True, slots=True)
class KeptStep:
    """The stored result of a step.

    Attributes:
        number: its place among all steps and sleeps of the item.
        text: the result, as JSON text.
        at: when it was done, UTC.
    """

    name: str
    number: int
    text: str
    at: datetime

    @property
    def value(self) -> Any:
        """The result as JSON values."""
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class KeptSleep:
    """A sleep that was begun; ``until`` is UTC."""

    name: str
    number: int
    until: datetime


class Steps:
    """Of one item.

    Attributes:
        content: as it is stored; the very object that goes with the item's metadata.
        fresh: nothing of it stands on the item yet, or something else stands in its place.
    """

    def __init__(self, item_id: str, found: object = None) -> None:
        kept = object_of(found)
        self.fresh = kept.get(OF) != item_id or not all(
            isinstance(kept.get(part, {}), dict) for part in PARTS
        )
        own: JsonObject = {} if self.fresh else kept
        self.content: Final[JsonObject] = {OF: item_id}
        for part in PARTS:
            entries = object_of(own.get(part))
            found = {key: dict(entry) for key, entry in entries.items() if _fits(part, entry)}
            if found or part != SIGNALS:
                self.content[part] = found
        self._size = sum(self._weight(part, key) for part, key in self._places())
        self._last = max(
            (number(self.entry(*place).get("n")) for place in self._places()), default=0
        )

    def __bool__(self) -> bool:
        return any(self.content.get(part) for part in PARTS)

    @property
    def room(self) -> int:
        """Bytes that can be kept still."""
        return MAX_STEPS - self._size

    def entries(self, part: Part) -> JsonObject:
        """Return all that is stored of one kind, by key."""
        found: JsonObject = self.content.get(part) or {}
        return found

    def entry(self, part: Part, key: str) -> JsonObject:
        """Return what is stored in one place."""
        found: JsonObject = self.content[part][key]
        return found

    def add(self, part: Part, key: str, entry: JsonObject) -> None:
        """Store an entry in its place, or in the next one."""
        known = self.entries(part).get(key)
        self.put(part, key, {"n": self._last + 1 if known is None else known.get("n"), **entry})

    def put(self, part: Part, key: str, entry: JsonObject) -> None:
        """Store what this item's other half, in a process of its own, has stored."""
        self._size -= self._weight(part, key) if key in self.entries(part) else 0
        self.content.setdefault(part, {})[key] = entry
        self._size += self._weight(part, key)
        self._last = max(self._last, number(entry.get("n")))

    def result(self, name: str) -> KeptStep | None:
        """Return the stored result of a step, or None."""
        key = key_of(name)
        return self._step(key) if key in self.content[DONE] else None

    def keep(self, name: str, text: str, at: datetime) -> str:
        """Store the result of a step; return its key.

        Raises:
            StepError: all of it would be too large.
        """
        key = key_of(name)
        entry: JsonObject = {"n": self._last + 1, "json": text, "at": round(at.timestamp(), 3)}
        size = len(key) + len(text.encode()) + AROUND
        if self._size + size > MAX_STEPS:
            raise StepError(
                f"Step {name!r} returned {format_bytes(len(text.encode()))}; with it the steps of"
                f" item {self.content[OF]} would keep {format_bytes(self._size + size)}, allowed:"
                f" {format_bytes(MAX_STEPS)} in all. The step has run, but its result is not kept."
                " Store large results as a file or document, and return its name."
            )
        self.put(DONE, key, entry)
        return key

    def until(self, key: str) -> datetime | None:
        """Return until when a sleep goes; None for one that was not begun."""
        found = self.content[WAITS].get(key)
        return None if found is None else _moment(found["until"])

    def begin(self, key: str, until: datetime) -> None:
        """Store that a sleep is begun."""
        self.put(WAITS, key, {"n": self._last + 1, "until": round(until.timestamp(), 3)})

    def forget_from(self, name: str) -> None:
        """Forget a step, and all that was stored after it.

        Raises:
            StepError: there is no such step; the text names those that are there.
        """
        first = self.result(name)
        if first is None:
            known = ", ".join(one.name for one in self.steps()) or "none"
            raise StepError(f"Item {self.content[OF]} has no stored step {name!r}; stored: {known}")
        for part, key in list(self._places()):
            if number(self.entry(part, key).get("n")) >= first.number:
                self._size -= self._weight(part, key)
                del self.content[part][key]

    def steps(self) -> list[KeptStep]:
        """Return all results in the order in which they were stored."""
        return sorted((self._step(key) for key in self.content[DONE]), key=lambda one: one.number)

    def sleeps(self) -> list[KeptSleep]:
        """Return all sleeps in the order in which they were begun."""
        found = [
            KeptSleep(unquote(key), number(entry.get("n")), _moment(entry["until"]))
            for key, entry in self.content[WAITS].items()
        ]
        return sorted(found, key=lambda one: one.number)

    def _step(self, key: str) -> KeptStep:
        entry = self.entry(DONE, key)
        return KeptStep(unquote(key), number(entry.get("n")), entry["json"], _moment(entry["at"]))

    def _places(self) -> Iterator[tuple[Part, str]]:
        for part in PARTS:
            for key in self.entries(part):
                yield part, key

    def _weight(self, part: Part, key: str) -> int:
        return len(key) + len(str(self.entry(part, key).get("json", "")).encode()) + AROUND


def moved_apart(item_id: str) -> JsonObject:
    """Return what stays in the payload where an item's steps are moved into its document."""
    return {OF: item_id, APART: True}


def holds_any(item_id: str, found: JsonObject) -> bool:
    """Whether a payload has results, sleeps or signals of the item itself."""
    return found.get(OF) == item_id and any(found.get(part) for part in PARTS)


def is_apart(found: JsonObject) -> bool:
    """Whether some of an item's steps are in its document."""
    return found.get(APART) is True


def together(item_id: str, found: JsonObject, apart: object) -> JsonObject:
    """Return steps of the payload with those that were moved into the document; what was stored
    since, in the payload, counts."""
    steps, since = Steps(item_id, apart), Steps(item_id, found)
    for part in PARTS:
        for key, entry in since.entries(part).items():
            steps.put(part, key, entry)
    return steps.content


def key_of(name: str) -> str:
    """Return under which key a step or a sleep is stored: none that a database understands as
    something else.

    Raises:
        StepError: no name of a step.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or "\0" in name:
        shown = repr(name)
        raise StepError(
            f"{shown if len(shown) <= MAX_NAME else shown[:MAX_NAME] + '…'} is no name of a step;"
            f" allowed: text of 1 to {MAX_NAME} characters"
        )
    key = name.replace("%", "%25").replace(".", "%2E").replace("$", "%24")
    return "%5F" + key[1:] if key.startswith("_") else key


def step_key(item_id: str, name: str) -> str:
    """Return what tells another system that a call is the same one again: the same in each attempt
    at an item, for each name another one."""
    key_of(name)
    return str(uuid.uuid5(_KEYS, f"{item_id}/{name}"))


def text_of_result(name: str, form: TypeForm | None, value: object) -> str:
    """Return a step's result as it is stored.

    Args:
        form: of the type that it is given back as; None for plain JSON.

    Raises:
        StepError: it would not come back as it is.
    """
    try:
        found = json_form(value) if form is None else _typed(form, value)
    except NotJson as error:
        raise StepError(
            f"The result of step {name!r} cannot be kept: {error}. The step has run."
        ) from None
    return _inert(json_text(found))


def _typed(form: TypeForm, value: object) -> Any:
    """Return the JSON form of a value of a type, or of what the type makes of it: the step has run,
    and a dict may well be what a model is read from.

    Raises:
        NotJson: it is neither.
    """
    try:
        return typed_form(form, value)
    except NotJson as error:
        try:
            accepted = form.accept(value)
        except ValidationError:
            raise error from None
        return typed_form(form, accepted)


def next_wait(
    error: Exception, attempt: int, policy: RetryPolicy, chance: random.Random
) -> float | None:
    """Return after how many seconds a step is tried again; None where its error is let out.

    Args:
        attempt: 1 for the first.
    """
    decided = deciding(error, policy)
    if isinstance(decided, LET_OUT):
        return None
    rule = policy.named(decided) or policy.for_error(error)
    if not isinstance(rule, Backoff) or attempt >= (rule.attempts or ATTEMPTS):
        return None
    return rule.wait(attempt, chance)


def _inert(text: str) -> str:
    """Return JSON text of the same meaning in which OpenIAP sees no date and no expression."""
    return _DATE.sub(r"\1\\u0054", text).replace(_EXPRESSION, r"_\u005fREGEXP ")


def _fits(part: Part, entry: object) -> bool:
    """Whether an entry is one that was stored here: somebody may have put anything there."""
    found = object_of(entry)
    times = {DONE: ("at",), WAITS: ("until",), SIGNALS: ("since",)}[part]
    if not all(_is_time(found.get(name)) for name in times):
        return False
    if part == SIGNALS and not all(_is_time(found.get(n, 0)) for n in ("until", "at")):
        return False
    if part == WAITS or (part == SIGNALS and "json" not in found):
        return True
    text = found.get("json")
    if not isinstance(text, str):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_time(found: object) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    try:
        _moment(found)
    except (OverflowError, OSError, ValueError):
        return False
    return True


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
