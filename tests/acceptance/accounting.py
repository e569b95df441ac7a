"""The books: what handlers noted down, against what the server has at the end."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FINAL = ("successful", "failed")


class Journal:
    """A file that every handler of every process appends one line to; it survives their deaths."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, event: str, **fields: Any) -> None:
        """Append a line; one write, so lines of several processes never mix."""
        line = json.dumps({"event": event, "pid": os.getpid(), "at": time.time(), **fields})
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)

    def notes(self, *events: str) -> list[dict[str, Any]]:
        """Return the lines of some events, in order."""
        if not self.path.exists():
            return []
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [note for note in found if not events or note["event"] in events]

    def runs(self) -> Counter[str]:
        """Return how often a handler began each item."""
        return Counter(note["item"] for note in self.notes("start"))


@dataclass(frozen=True)
class Account:
    """What became of the items that were pushed.

    Attributes:
        lost: the server does not know them any more, or they still wait although nothing comes.
        stuck: in ``processing``.
        runs: how often handlers began, by item, in the order of the push.
        repeats: begins beyond the first, over all items.
    """

    pushed: int
    successful: int
    failed: int
    lost: int
    stuck: int
    runs: tuple[int, ...]

    @property
    def outcomes(self) -> int:
        """Items with an outcome."""
        return self.successful + self.failed

    @property
    def repeats(self) -> int:
        """Handler runs beyond the first of each item."""
        return sum(max(0, count - 1) for count in self.runs)

    @property
    def settled(self) -> bool:
        """Whether every item has its outcome."""
        return self.outcomes == self.pushed


def account(
    pushed: Sequence[str], documents: Iterable[dict[str, Any]], journal: Journal
) -> Account:
    """Compare the books."""
    states = {str(document["_id"]): str(document["state"]) for document in documents}
    found = Counter(states.get(one, "gone") for one in pushed)
    runs = journal.runs()
    return Account(
        pushed=len(pushed),
        successful=found["successful"],
        failed=found["failed"],
        lost=found["gone"] + found["new"],
        stuck=found["processing"],
        runs=tuple(runs[one] for one in pushed),
    )
