"""What happened to one item, for whoever has to find out: its states, its runs, its log lines."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.acceptance.attacked.ledger import Entry

ITEM: Final = re.compile(r"\b[0-9a-f]{24}\b")
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
MOST: Final = 3
WIDTH: Final = 300


def histories(
    faults: Iterable[str],
    ledger: Sequence[Entry],
    notes: Sequence[Mapping[str, Any]],
    folder: Path,
) -> list[str]:
    """Return the histories of the first items that faults name.

    Args:
        folder: with the logs of workers.
    """
    named = dict.fromkeys(id for fault in faults for id in ITEM.findall(fault))
    logs = [line for path in sorted(folder.glob("*.log")) for line in _lines(path)]
    return [
        "\n  ".join(
            [
                f"item {id}:",
                *(_state(entry) for entry in ledger if entry.item == id),
                *(_run(note) for note in notes if note["item"] == id),
                *(line[:WIDTH] for line in logs if id in line),
            ]
        )
        for id in list(named)[:MOST]
    ]


def _lines(path: Path) -> list[str]:
    text = COLOURS.sub("", path.read_text(errors="replace"))
    return [f"{path.stem}: {line}" for line in text.splitlines()]


def _state(entry: Entry) -> str:
    popped = f" popped {_clock(entry.lastrun)} by {entry.owner}" if entry.owner else ""
    said = f' "{entry.error}"' if entry.error else ""
    run = f" run {entry.run[:6]}" if entry.run else ""
    text = f"{entry.state}, attempt {entry.retries + 1}{popped}, written by {entry.writer}{run}"
    return f"{text}{said}"[:WIDTH]


def _run(note: Mapping[str, Any]) -> str:
    at = _clock(note["at"] * 1000)
    return f"{note['event']} of run {note['run'][:6]} in {note['pid']}, by its clock {at}"


def _clock(milliseconds: float) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%H:%M:%S.%f}"[:-3]
