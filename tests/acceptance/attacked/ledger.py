"""The ledger: every state that an item was in, written by the server's own file; and its judgement.

1. Triggers in the server's SQLite file write it, in the transaction of the change itself: it is
   whole whatever dies, and no code under test has a hand in it.
2. Handlers note each run's begin and end (``deeds.py``), under a name that they return.
3. ``judged`` compares the two; pure.
"""

import json
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tests.acceptance.attacked.deeds import (
    AFTER,
    BAD,
    CHAINED,
    FIRST_TIME,
    FORKED,
    HUNG,
    PUSHED,
    THREADED,
)
from worker.localserver.storage.store import SCHEMA
from worker.openiap.values import iso

FINAL: Final = ("successful", "failed")
SAME: Final = 1001
"""Milliseconds: the official client reads whole seconds."""
SHOWN: Final = 5
PUT_BACK: Final = " put back by "
COSTS: Final = (FIRST_TIME, PUT_BACK)
"""What may cost an attempt: the handler's own error, or that its worker died or was cut off."""
CHILDREN: Final = (FORKED, THREADED)
FIELDS: Final = "item, wiq, state, retries, lastrun, owner, writer, error, payload"
KINDS: Final = slice(2, 5)
"""Of an entry's fields those that make it another, beside its payload."""
_NEW: Final = (
    "new.id, new.wiq, new.state, new.retries, new.lastrun, new.userid, new.modifiedbyid,"
    " new.errormessage, (SELECT payload FROM payloads WHERE seq = new.seq)"
)
_ROW: Final = f"INSERT INTO ledger ({FIELDS}) VALUES ({_NEW})"
_PAYLOAD: Final = "UPDATE ledger SET payload = new.payload WHERE n = (SELECT max(n) FROM ledger)"
# The server writes an item's row first, then its payload where that is another one.
LEDGER: Final = f"""
CREATE TABLE ledger (
    n INTEGER PRIMARY KEY, item TEXT, wiq TEXT, state TEXT, retries INTEGER, lastrun INTEGER,
    owner TEXT, writer TEXT, error TEXT, payload TEXT
);
CREATE TRIGGER ledger_insert AFTER INSERT ON workitems BEGIN {_ROW}; END;
CREATE TRIGGER ledger_update AFTER UPDATE ON workitems BEGIN {_ROW}; END;
CREATE TRIGGER ledger_payload AFTER INSERT ON payloads BEGIN {_PAYLOAD}; END;
CREATE TRIGGER ledger_other_payload AFTER UPDATE ON payloads BEGIN {_PAYLOAD}; END;
CREATE TRIGGER ledger_delete AFTER DELETE ON workitems BEGIN
    INSERT INTO ledger (item, wiq, state) VALUES (old.id, old.wiq, 'deleted');
END;
"""


def begin_ledger(data: Path) -> None:
    """Make a server's file that keeps a ledger, before the server first opens it."""
    os.close(os.open(data, os.O_CREAT | os.O_WRONLY, 0o600))
    with sqlite3.connect(data) as connection:
        connection.executescript(SCHEMA + LEDGER)
    connection.close()


@dataclass(frozen=True, slots=True)
class Entry:
    """An item after one change.

    Attributes:
        owner, writer: the users that popped it, and that made this change; each worker has its own.
    """

    item: str
    queue: str
    state: str
    retries: int = 0
    lastrun: int = 0
    owner: str = ""
    writer: str = ""
    error: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The run whose result it has, or ""."""
        return str(self.payload.get("run", ""))


def read_ledger(data: Path) -> list[Entry]:
    """Return what is in a server's file, in order, once the server has ended: of changes of
    something else than state, attempt, run and payload, none."""
    connection = sqlite3.connect(data)
    try:
        rows = connection.execute(f"SELECT {FIELDS} FROM ledger ORDER BY n").fetchall()
    finally:
        connection.close()
    last: dict[str, tuple[object, ...]] = {}
    found = []
    for row in rows:
        item, kind = row[0], (*row[KINDS], row[8])
        if last.get(item) != kind:
            last[item] = kind
            numbers = (value or 0 for value in row[3:5])
            found.append(Entry(*row[:3], *numbers, *row[5:8], _object(row[8])))
    return found


def _object(text: str | None) -> dict[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


@dataclass
class Books:
    """What came of all items; each list names the items and what is wrong."""

    items: int = 0
    successful: int = 0
    failed: int = 0
    runs: int = 0
    repeats: int = 0
    followed: int = 0
    hung: int = 0
    """Attempts that ended at their ``hard_timeout``, as a child of theirs hung."""
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    failed_wrongly: list[str] = field(default_factory=list)
    charged: list[str] = field(default_factory=list)
    """Attempts that were spent on a fault of the worker's own."""
    wrong: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what does not hold."""
        return [
            f"{len(those)} {what.replace('_', ' ')}: {'; '.join(those[:SHOWN])}"
            for what in ("lost", "stuck", "overwritten", "failed_wrongly", "charged", "wrong")
            if (those := getattr(self, what))
        ]


def judged(
    ledger: Iterable[Entry], notes: Sequence[Mapping[str, Any]], pushed: Iterable[int]
) -> Books:
    """Compare the ledger with what handlers noted.

    Args:
        notes: of all handlers, in order.
        pushed: the numbers of the items that were pushed.
    """
    books = Books()
    items: dict[str, list[Entry]] = defaultdict(list)
    for entry in ledger:
        items[entry.item].append(entry)
    begins = {note["run"]: note for note in notes if note["event"] == "start"}
    ends = {note["run"] for note in notes if note["event"] == "end"}
    books.runs = len(begins)
    books.repeats = len(begins) - len({note["item"] for note in begins.values()})
    ours = {id: those for id, those in items.items() if _is_ours(those[0])}
    for id, entries in ours.items():
        _judge_item(books, id, entries, begins, ends)
    numbers = {those[0].payload["n"] for those in ours.values() if those[0].queue != AFTER}
    books.lost += [f"item {n} never came" for n in pushed if n not in numbers]
    _judge_successors(books, ours)
    return books


def _is_ours(first: Entry) -> bool:
    """Whether the test pushed it, or what it pushed brought it; others push items, too."""
    return first.queue in (*PUSHED, AFTER) and type(first.payload.get("n")) is int


def _judge_item(
    books: Books,
    id: str,
    entries: Sequence[Entry],
    begins: Mapping[str, Mapping[str, Any]],
    ends: Iterable[str],
) -> None:
    first, last = entries[0], entries[-1]
    books.items += 1
    name = f"{id} ({first.queue} {first.payload.get('how', '')})"
    if last.state in ("new", "deleted"):
        books.lost.append(f"{name} is {last.state}, attempt {last.retries + 1}")
    elif last.state not in FINAL:
        books.stuck.append(f"{name} is {last.state}, attempt {last.retries + 1}")
    closed: Entry | None = None
    popped: Entry | None = None
    for before, entry in pairwise(entries):
        if closed is not None and (entry.state, entry.run) != (closed.state, closed.run):
            books.overwritten.append(f"{name} was {closed.state}, then {entry.state}")
            break
        if entry.retries < before.retries:
            books.overwritten.append(f"{name} went back to attempt {entry.retries + 1}")
        if entry.state == "processing" and before.state == "new":
            popped = entry
        if entry.retries > before.retries and HUNG in entry.error and first.queue in CHILDREN:
            books.hung += 1
        elif entry.retries > before.retries and not any(why in entry.error for why in COSTS):
            books.charged.append(f"{name}: {entry.error[:300]}")
        if _taken_away(before, entry):
            books.overwritten.append(f"{name} was handed back by somebody who did not have it")
        if entry.state in FINAL and closed is None:
            closed = entry
            if entry.state == "successful":
                books.overwritten += _late(name, before, entry, popped, begins)
    if closed is None:
        return
    if closed.state == "failed":
        books.failed += 1
        if first.payload.get("how") != "bad" or BAD not in closed.error:
            books.failed_wrongly.append(f"{name}: {closed.error[:300]}")
        return
    books.successful += 1
    if first.payload.get("how") == "bad":
        books.wrong.append(f"{name} should have failed")
    elif closed.run not in ends:
        books.wrong.append(f"{name} has the result of {closed.run or 'no run'}, which never ended")
    elif first.queue in CHILDREN and closed.payload.get("code") != first.payload["code"]:
        books.wrong.append(f"{name} saw {closed.payload.get('code')} of its child")


def _taken_away(before: Entry, after: Entry) -> bool:
    """Whether a run was ended at no cost by somebody who neither had it nor took it over; a
    take-over names the run that it ends."""
    back = before.state == "processing" and after.state == "new"
    if not back or after.retries != before.retries or after.writer == before.owner:
        return False
    since = f"since {iso(datetime.fromtimestamp(before.lastrun / 1000, UTC))}"
    return PUT_BACK not in after.error or since not in after.error


def _late(
    name: str,
    before: Entry,
    entry: Entry,
    popped: Entry | None,
    begins: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Return what says that an outcome is of another run than the one that had the item.

    Whoever finds an item on which its owner has written the outcome may send what is left, the
    state, and nothing else.
    """
    completed = before.writer == before.owner and before.payload == entry.payload
    if popped is not None and entry.writer != popped.owner and not completed:
        return [f"{name} was closed by somebody who did not have it"]
    begin = begins.get(entry.run)
    if begin is None or popped is None:
        return []
    if begin["attempt"] != popped.retries + 1:
        return [f"{name}: attempt {begin['attempt']} closed attempt {popped.retries + 1}"]
    at = begin["popped"] and datetime.fromisoformat(begin["popped"]).timestamp() * 1000
    if at and abs(at - popped.lastrun) > SAME:
        return [f"{name}: a run that was popped {(at - popped.lastrun) / 1000:+.1f} s from this"]
    return []


def _judge_successors(books: Books, ours: Mapping[str, Sequence[Entry]]) -> None:
    """Each success of a chain, and of an item with a follow-up, brings one item."""
    by = Counter(
        str(those[0].payload.get("from") or those[0].run)
        for those in ours.values()
        if those[0].queue == AFTER
    )
    for id, those in ours.items():
        closed = next((one for one in those if one.state == "successful"), None)
        if closed is None or closed.queue == AFTER:
            continue
        how = closed.payload.get("how")
        due = {id: how == "follow", closed.run: closed.queue == CHAINED}
        for key, wanted in due.items():
            if wanted and by[key] == 0:
                books.lost.append(f"what follows {id} ({closed.queue} {how})")
            elif wanted and by[key] > 1:
                books.wrong.append(f"{by[key]} items follow {id} ({closed.queue} {how})")
            books.followed += by[key] if wanted else 0
