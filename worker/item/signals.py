"""Signals: what somebody outside tells an item, and what the item keeps of it. Pure.

A signal is a document of its own in ``COLLECTION``, so who writes it never touches the item's:
``{"item": ID, "name": "approval", "value": {…}}``.

1. Workers and producers write the value as JSON text, under ``json``: it comes back to the letter.
2. Those of one name count in the order in which the server took them. The first wait of that name
   takes the first one that fits, the second wait the next one.
3. What an item has taken, passed over, or waited for in vain stands beside its steps
   (``steps.py``), so every later run goes the same way.
"""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from pydantic import ValidationError

from worker.errors import WorkerError
from worker.item.error_chain import ResultError, members
from worker.item.error_text import clip, problems_of
from worker.item.json_form import NotJson, json_form
from worker.item.masking import masked
from worker.item.steps import SIGNALS, StepError, Steps, key_of, text_of_result
from worker.item.type_form import TypeForm
from worker.openiap.fields import id_of, moment_of, number, text_of, texts_of
from worker.openiap.values import format_bytes, json_text
from worker.openiap.workitem import JsonObject

COLLECTION: Final = "openiap_worker_signals"
TYPE: Final = "signal"
FIELDS: Final[JsonObject] = {
    "item": 1,
    "name": 1,
    "wiq": 1,
    "json": 1,
    "value": 1,
    "_created": 1,
    "_createdby": 1,
}
"""What an item reads of a signal."""
REFUSED: Final = "refused"
"""Under which a signal shows why it was passed over."""
MOST_CAUSES: Final = 8
MAX_NAME: Final = 150
"""Characters of a signal's name."""
MAX_VALUE: Final = 512 * 1024
"""Bytes of a value: with the steps it has to fit into what an item keeps."""
MOST_PAST: Final = 50
"""Signals that a wait has passed over, and knows; most are marked, and need no place."""
MOST_WHY: Final = 500
LET_OUT: Final = "let_out"
"""Under which a wait in vain says that its item failed for that."""
_IDS: Final = uuid.UUID("0d8a3a39-8a3e-4d55-9f5c-9b3e0c1b7f52")


class SignalTimeout(ResultError):
    """No signal came in time. It is stored: every later run has it at the same place. A handler
    that lets it out has failed for good; an item that is retried by hand after that waits anew.

    Attributes:
        signal: the name that was waited for.
        wait: under which key the item keeps it.
    """

    signal: str = ""
    wait: str = ""


class SignalRefused(WorkerError):
    """A signal that nobody would hear, or that cannot be sent; the text says why."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One that was read.

    Attributes:
        text: the value as JSON text.
        by: who wrote it, as the server says.
    """

    id: str
    name: str
    text: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class KeptSignal:
    """What an item keeps of one wait.

    Attributes:
        number: its place among all steps, sleeps and waits of the item.
        since: when it began to wait; until: its timeout, None without one; at: when it was over.
        text: the value that came, as JSON text; None where none has.
        by: who wrote it.
        timed_out: it was waited for in vain.
        let_out: the item failed for that; whoever puts it back wants it to wait anew.
    """

    name: str
    number: int
    since: datetime
    until: datetime | None = None
    at: datetime | None = None
    text: str | None = None
    by: str = ""
    timed_out: bool = False
    let_out: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is waited for still."""
        return self.text is None and not self.timed_out

    @property
    def value(self) -> Any:
        """The value as JSON values; None where none has come."""
        return None if self.text is None else json.loads(self.text)

    @property
    def signal(self) -> str:
        """The name of the signal."""
        return self.name.rpartition(" #")[0]


@dataclass(frozen=True, slots=True)
class Awaited:
    """What an item waits for.

    Attributes:
        names: of signals; past: the ids of those that change nothing any more.
        since: since when; looked: when it was looked for them last; UTC.
    """

    names: tuple[str, ...]
    since: datetime
    looked: datetime
    past: tuple[str, ...] = ()

    def __str__(self) -> str:
        since = self.since.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
        return f"waits for {' and '.join(self.names)} since {since}"


def checked_name(name: object) -> str:
    """Return the name of a signal.

    Raises:
        SignalRefused: it is none.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or "\0" in name:
        raise SignalRefused(
            f"{clip(repr(name), MAX_NAME)} is no name of a signal; allowed: text of 1 to"
            f" {MAX_NAME} characters"
        )
    return name


def text_of_value(name: str, value: object) -> str:
    """Return a signal's value as it is sent.

    Args:
        value: what has a JSON form: a model, a dataclass, JSON values.

    Raises:
        SignalRefused: it would not come back as it is, or is too large.
    """
    try:
        text = text_of_result(name, None, json_form(value))
    except (NotJson, StepError) as error:
        raise SignalRefused(f"The value of signal {name!r} cannot be sent: {error}") from None
    if len(text.encode()) > MAX_VALUE:
        raise SignalRefused(
            f"The value of signal {name!r} has {format_bytes(len(text.encode()))}; allowed:"
            f" {format_bytes(MAX_VALUE)}; put it into a file or a document, and send its name"
        )
    return text


def signal_id(item_id: str, name: str, key: str = "") -> str:
    """Return the id of a signal's document: with a key always the same one, so that the same signal
    sent twice is one."""
    if key:
        return f"signal-{uuid.uuid5(_IDS, json_text([item_id, name, key]))}"
    return f"signal-{uuid.uuid4()}"


def document_of(
    id: str, item_id: str, name: str, text: str, *, queue: str, acl: object
) -> JsonObject:
    """Return a signal's document.

    Args:
        text: the value as JSON text.
        queue: the item's; acl: the item's list of rights, which are those of the signal as well.
    """
    rights = {"_acl": acl} if isinstance(acl, list) and acl else {}
    found: JsonObject = {"_id": id, "_type": TYPE, "item": item_id, "name": name, "wiq": queue}
    return {**found, "json": text, **rights}


def read_signal(document: Mapping[str, Any], form: TypeForm | None, *, room: int) -> Signal | str:
    """Return a signal that fits, or what is wrong with it, as one sentence.

    Args:
        form: of the type that is waited for; None for plain JSON.
        room: bytes that the item can keep still.
    """
    name, id = text_of(document.get("name")), id_of(document)
    if not name:  # what is too large to be read comes as its id alone
        return f"Signal {id} is passed over: it is larger than {format_bytes(MAX_VALUE)}"
    by = text_of(document.get("_createdby"))
    who = f"Signal {name} ({id}{f', by {by}' if by else ''})"
    try:
        found = json.loads(document["json"]) if "json" in document else document.get("value")
        text = text_of_result(name, None, found)
    except (TypeError, ValueError, RecursionError, StepError):
        return f"{who} is passed over: its json is no JSON text"
    size = len(text.encode())
    if size > min(room, MAX_VALUE):
        return (
            f"{who} is passed over: it has {format_bytes(size)}; allowed:"
            f" {format_bytes(max(0, min(room, MAX_VALUE)))}"
        )
    if form is not None:
        try:
            form.read(json.loads(text))
        except ValidationError as error:
            return clip(masked(f"{who} is passed over: {problems_of(error, 'value')}"), MOST_WHY)
    return Signal(id, name, text, by)


def kept_signal(steps: Steps, key: str) -> KeptSignal | None:
    """Return what an item keeps of one wait, or None."""
    entry = steps.entries(SIGNALS).get(key)
    if entry is None:
        return None
    until, text = entry.get("until"), entry.get("json")
    return KeptSignal(
        unquote(key),
        number(entry.get("n")),
        _moment(entry["since"]),
        None if until is None else _moment(until),
        moment_in(entry.get("at")),
        text if isinstance(text, str) else None,
        text_of(entry.get("by")),
        entry.get("over") is True,
        entry.get(LET_OUT) is True,
    )


def kept_signals(steps: Steps) -> list[KeptSignal]:
    """Return what an item keeps of all its waits, in order."""
    found = (kept_signal(steps, key) for key in steps.entries(SIGNALS))
    return sorted((one for one in found if one is not None), key=lambda one: one.number)


def wait_key(name: str, nth: int) -> str:
    """Return under which key the how many-th wait for a name is kept."""
    return key_of(f"{name} #{nth}")


def timeouts_behind(error: BaseException) -> list[str]:
    """Return the keys of the waits in vain that an item fails for: those that were let out, alone
    or in a group, or that another error names as its cause (``raise … from timeout``)."""
    found: list[str] = []
    for one in members(error):
        cause: BaseException | None = one
        for _ in range(MOST_CAUSES):
            if isinstance(cause, SignalTimeout) and cause.wait:
                found.append(cause.wait)
            cause = None if cause is None else cause.__cause__
    return found


def past_signals(steps: Steps) -> list[str]:
    """Return the ids of the signals that an item has taken, or passed over."""
    found: list[str] = []
    for entry in steps.entries(SIGNALS).values():
        found += texts_of(entry.get("past"))
        found += [doc] if (doc := text_of(entry.get("doc"))) else []
    return found


def awaited_by(steps: Steps, keys: Iterable[str], looked: datetime) -> Awaited | None:
    """Return what an item waits for; None for nothing.

    Args:
        keys: of the waits that this run came to.
        looked: when it was looked for signals last, UTC.
    """
    kept = (kept_signal(steps, key) for key in keys)
    waits = [one for one in kept if one is not None and one.waits]
    if not waits:
        return None
    names = tuple(dict.fromkeys(one.signal for one in waits))
    return Awaited(names, min(one.since for one in waits), looked, tuple(past_signals(steps)))


def moment_in(found: object) -> datetime | None:
    """Read a moment that was stored as a number."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return _moment(found)


def sent_at(document: Mapping[str, Any]) -> datetime | None:
    """Return when the server took a signal."""
    return moment_of(document.get("_created"))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
