"""What is looked at, and what keys do to it. Pure: whatever has to be done comes back as an action.

What cannot be undone is asked first: one item takes a ``y``, many take their number typed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from worker.cli.top.board import COLUMNS, TABS, Row
from worker.management.items.types import ItemFilter
from worker.management.queues.types import MOST_REASON

Kind = Literal[
    "quit", "open", "pause", "resume", "retry", "preview", "batch", "quiet", "work", "items"
]
MOST_TYPED: Final = 100
MOVES: Final = {"up": -1, "k": -1, "down": 1, "j": 1}
FIRST: Final = {
    "queues": (0, False),
    "workers": (0, False),
    "errors": (0, True),
    "running": (4, True),
    "items": (4, True),
}
"""How each tab is sorted at first: by which column, and whether the greatest comes first."""
HELP: Final = (
    "1-5 or Tab   queues, workers, errors, running items, items",
    "up down j k  select a line; PgUp PgDn Home End go further",
    "Enter        open: a queue's or a group's items, what a worker runs, an item's timeline",
    "Esc          back; takes a filter away",
    "s, S         sort by the next column; the other way round",
    "/            filter: lines that have a text in them",
    "p            pause or resume a queue; make a worker quiet or let it work again",
    "r            retry a failed item; on queues and errors all failed items of the line",
    "q, Ctrl-C    end",
    "",
    "At most one question a second is asked of OpenIAP, with the rights of your user.",
)


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done; ``target`` is an id or a name."""

    kind: Kind
    target: str = ""
    text: str = ""
    filter: ItemFilter = field(default_factory=ItemFilter)
    before: datetime | None = None


@dataclass(slots=True)
class Prompt:
    """What is asked in the last line.

    Attributes:
        wanted: what has to be typed for yes; None: any text, which becomes the action's.
        action: None for the filter.
        one_key: a ``y`` is enough.
    """

    question: str
    action: Action | None = None
    wanted: str | None = None
    one_key: bool = False
    typed: str = ""
    most: int = MOST_TYPED


@dataclass(slots=True)
class Page:
    """Text that is read instead of a table; ``id``: of the item that it is about."""

    title: str
    lines: Sequence[str]
    id: str = ""
    first: int = 0


@dataclass(slots=True)
class View:
    """What is looked at."""

    tab: str = TABS[0]
    sort: dict[str, int] = field(default_factory=lambda: {t: FIRST[t][0] for t in TABS})
    down: dict[str, bool] = field(default_factory=lambda: {t: FIRST[t][1] for t in TABS})
    text: dict[str, str] = field(default_factory=dict)
    selected: dict[str, str] = field(default_factory=dict)
    page: Page | None = None
    prompt: Prompt | None = None
    message: str = ""
    filter: ItemFilter = field(default_factory=lambda: ItemFilter(states=["failed"]))
    """Which items are in the tab of items."""
    scope: str = "failed items"

    def line(self, rows: Sequence[Row]) -> int:
        """Return which line is selected; the first one where that one went."""
        wanted = self.selected.get(self.tab)
        return next((place for place, row in enumerate(rows) if row.id == wanted), 0)

    def press(self, key: str, rows: Sequence[Row], height: int) -> Action | None:
        """Take a key.

        Args:
            rows: the lines of the tab, as they are shown.
            height: how many of them there is room for.
        """
        if key == "quit":
            return Action("quit")
        if self.prompt is not None:
            return self._answer(self.prompt, key)
        self.message = ""
        if self.page is not None:
            return self._read(self.page, key, height)
        if key == "q":
            return Action("quit")
        if key in ("?", "h"):
            self.page = Page("help", HELP)
        elif key == "/":
            self.prompt = Prompt("Filter: ", typed=self.text.get(self.tab, ""))
        elif key == "escape":
            self.text.pop(self.tab, None)
        elif key in ("s", "S"):
            self._order(key)
        elif key in ("tab", "back-tab", "left", "right") or (key.isdecimal() and len(key) == 1):
            self._turn(key)
        elif rows:
            return self._on_line(key, rows, height)
        return None

    def _order(self, key: str) -> None:
        if key == "S":
            self.down[self.tab] = not self.down[self.tab]
        else:
            self.sort[self.tab] = (self.sort[self.tab] + 1) % len(COLUMNS[self.tab])

    def _turn(self, key: str) -> None:
        place = TABS.index(self.tab)
        if key.isdecimal():
            place = int(key) - 1 if key in "12345" else place
        else:
            place += 1 if key in ("tab", "right") else -1
        self.tab = TABS[place % len(TABS)]

    def _on_line(self, key: str, rows: Sequence[Row], height: int) -> Action | None:
        at = self.line(rows)
        steps = {**MOVES, "page-up": -height, "page-down": height}
        steps |= {"home": -len(rows), "end": len(rows)}
        if key in steps:
            self.selected[self.tab] = rows[min(len(rows) - 1, max(0, at + steps[key]))].id
            return None
        self.selected[self.tab] = rows[at].id
        if key == "enter":
            return self._open(rows[at])
        if key == "p":
            self._pause(rows[at].about)
        elif key == "r":
            return self._retry(rows[at])
        return None

    def _open(self, row: Row) -> Action | None:
        if self.tab == "queues":
            return self._items(ItemFilter(queue=row.id), f"queue {row.id}")
        if self.tab == "errors":
            if row.id == "other":
                self.message = "These have nothing in common; filter items by their text instead."
                return None
            return self._items(ItemFilter(group=row.id, states=["failed"]), f"group {row.id}")
        if self.tab == "workers":
            self.tab, self.text["running"] = "running", row.id
            return None
        return Action("open", row.id)

    def _items(self, filter: ItemFilter, scope: str) -> Action:
        self.tab, self.filter, self.scope = "items", filter, scope
        self.text.pop("items", None)
        return Action("items")

    def _pause(self, about: Any) -> None:
        if self.tab == "queues":
            name = about.name
            if about.paused is not None:
                self.prompt = _yes(f"Let queue {name} be popped again?", Action("resume", name))
            else:
                self.prompt = Prompt(
                    f"Pause queue {name}. Why? (Enter pauses) ",
                    Action("pause", name),
                    most=MOST_REASON,
                )
        elif self.tab == "workers":
            if about.state == "quiet":
                self.prompt = _yes(f"Let worker {about.id} take items?", Action("work", about.id))
            elif about.state == "working":
                asked = f"Have worker {about.id} take no more items?"
                self.prompt = _yes(asked, Action("quiet", about.id))
            else:
                self.message = f"Worker {about.id} is {about.state}."
        else:
            self.message = "p is for queues (1) and workers (2)."

    def _retry(self, row: Row) -> Action | None:
        if self.tab in ("queues", "errors") and row.id != "other":
            filter = ItemFilter(states=["failed"])
            part = "queue" if self.tab == "queues" else "group"
            return Action("preview", row.id, filter=filter.model_copy(update={part: row.id}))
        if self.tab in ("items", "running"):
            self.prompt = _yes(f"Retry item {row.id}?", Action("retry", row.id))
        else:
            self.message = "r is for queues, errors and items."
        return None

    def _read(self, page: Page, key: str, height: int) -> Action | None:
        last = max(0, len(page.lines) - height)
        steps = {**MOVES, "page-up": -height, "page-down": height, " ": height}
        steps |= {"home": -len(page.lines), "end": len(page.lines)}
        if key in steps:
            page.first = min(last, max(0, page.first + steps[key]))
        elif key in ("q", "escape", "enter", "?", "backspace"):
            self.page = None
        elif key == "r" and page.id:
            self.prompt = _yes(f"Retry item {page.id}?", Action("retry", page.id))
        return None

    def _answer(self, prompt: Prompt, key: str) -> Action | None:
        if prompt.one_key:
            self.prompt = None
            if key in ("y", "Y"):
                return prompt.action
            self.message = "Nothing was done."
        elif key == "escape":
            self.prompt = None
            self.message = "Nothing was done." if prompt.action else ""
        elif key == "enter":
            self.prompt = None
            return self._typed(prompt)
        elif key == "backspace":
            prompt.typed = prompt.typed[:-1]
        elif key == "clear":
            prompt.typed = ""
        elif len(key) == 1 and len(prompt.typed) < prompt.most:
            prompt.typed += key
        if prompt.action is None:
            self.text[self.tab] = prompt.typed  # a filter is seen while it is typed
        return None

    def _typed(self, prompt: Prompt) -> Action | None:
        action = prompt.action
        if action is None:
            return None
        if prompt.wanted is None:
            return Action(action.kind, action.target, prompt.typed)
        if prompt.typed.strip() == prompt.wanted:
            return action
        self.message = "Nothing was done."
        return None


def _yes(question: str, action: Action) -> Prompt:
    return Prompt(f"{question} (y/n) ", action, one_key=True)
