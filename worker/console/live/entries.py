"""What a reader keeps of what is looked at: who looks, how it looks, and whether it is to be asked.

1. What a watch told is shown as it is, a few times a second at most. An answer that was on its way
   meanwhile may be older, and counts for nothing.
2. What is made of several topics asks nothing itself: it looks at them while somebody looks at it.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, TypeVar

from worker.console.live.allowance import Rank
from worker.console.live.topics import Joined, Seen, Topic, joined
from worker.openiap.types import WatchEvent

SHOWN_EVERY: Final = 0.25
"""Seconds between two times that what a watch told is shown."""
APART: Final = 0.04
"""Seconds between two pages that show the same and are told: many browsers that draw anew at one
moment would hold up whatever else runs on their machine."""
INSIDE: Final = "Something went wrong inside; the log says what."
T = TypeVar("T")
Told = Callable[[Seen[T]], None]
Leave = Callable[[], None]


class Kept:
    """Something that is looked at, and who looks."""

    def __init__(self) -> None:
        self.seen: Seen[Any] = Seen()
        self.answered = asyncio.Event()
        self._told: dict[object, tuple[Told[Any], object]] = {}
        self._due: dict[object, None] = {}
        """What has not been told yet how it looks now, in turn."""
        self._next: asyncio.TimerHandle | None = None

    @property
    def is_looked_at(self) -> bool:
        """Whether anybody does."""
        return bool(self._told)

    @property
    def is_known(self) -> bool:
        """Whether there is anything to tell."""
        return self.seen.at is not None or bool(self.seen.trouble)

    def add(self, told: Told[Any], page: object = None) -> object:
        """Have somebody look; returns a mark for ``remove``.

        Args:
            page: where it is shown; all that a page shows of it changes at once. None for who is
                told at once, each time.
        """
        mark = object()
        self._told[mark] = told, page
        return mark

    def remove(self, mark: object) -> bool:
        """Have somebody look no more; returns whether that was the last one."""
        self._due.pop(mark, None)
        return self._told.pop(mark, None) is not None and not self._told

    def clear(self) -> None:
        """Have nobody look any more."""
        self._told.clear()
        self._due.clear()

    def tell(self, seen: Seen[Any]) -> None:
        """Tell all who look: one page at once, and then one after the other."""
        self.seen = seen
        self.answered.set()
        for mark, (told, page) in tuple(self._told.items()):
            if page is None:
                told(seen)
            else:
                self._due[mark] = None
        if self._next is None:
            self._tell_next()

    def _tell_next(self) -> None:
        self._next = None
        if not self._due:
            return
        pages = {page for _, page in self._told.values()}
        page = self._told[next(iter(self._due))][1]
        if len(pages - {None}) > 1:
            self._next = asyncio.get_running_loop().call_later(APART, self._tell_next)
        for mark in tuple(self._due):
            if mark in self._due and self._told[mark][1] is page:
                del self._due[mark]
                self._told[mark][0](self.seen)


class Entry(Kept):
    """One topic that is kept."""

    def __init__(self, topic: Topic[Any]) -> None:
        super().__init__()
        self.topic = topic
        self.changed = asyncio.Event()
        self.awaited = asyncio.Event()
        self.looked_at = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.left: asyncio.TimerHandle | None = None
        self.heard = 0
        self._shown_at = 0.0
        self._showing: asyncio.TimerHandle | None = None
        self._pending: Seen[Any] | None = None

    @property
    def rank(self) -> Rank:
        """Whose turn it has to be asked."""
        if self.awaited.is_set() or not self.answered.is_set():
            return Rank.NOW
        if self.changed.is_set() and not self.topic.can_wait:
            return Rank.SOON
        return Rank.LATER if self.topic.about else Rank.DUE

    def hear(self, event: WatchEvent) -> None:
        """Take note of a change that concerns it."""
        take = self.topic.take
        value = None if take is None or not self.is_looked_at else take(event)
        if value is None:
            self.changed.set()
            return
        self.heard += 1
        self._pending = Seen(value, datetime.now(UTC))
        if self._showing is None:
            wait = max(0.0, self._shown_at + SHOWN_EVERY - monotonic())
            self._showing = asyncio.get_running_loop().call_later(wait, self._show)

    def answer(self, seen: Seen[Any]) -> None:
        """Tell what was answered to a question after which nothing was heard."""
        self.drop()
        self.tell(seen)

    def drop(self) -> None:
        """Show nothing that was heard before."""
        self._pending = None
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None

    def _show(self) -> None:
        self._showing = None
        self._shown_at = monotonic()
        if self._pending is not None:
            seen, self._pending = self._pending, None
            self.tell(seen)


class Join(Kept):
    """Something made of several topics that is looked at.

    Args:
        topic: what it is.
        failed: takes note of an error of this program's own.
    """

    def __init__(self, topic: Joined[Any], failed: Callable[[Exception], None]) -> None:
        super().__init__()
        self._topic = topic
        self._failed = failed
        self._parts: list[Seen[Any]] = [Seen()] * len(topic.parts)
        self._leaves: list[Leave] = []
        self._made_at = 0.0

    def begin(self, look: Callable[[Topic[Any], Told[Any]], Leave]) -> None:
        """Look at its parts.

        Args:
            look: looks at one.
        """
        for number, part in enumerate(self._topic.parts):
            self._leaves.append(look(part, self._hearer(number)))

    def end(self) -> None:
        """Look at its parts no more."""
        self.clear()
        for leave in self._leaves:
            leave()
        self._leaves.clear()

    def _hearer(self, number: int) -> Told[Any]:
        def told(seen: Seen[Any]) -> None:
            self._parts[number] = seen
            rests = monotonic() - self._made_at < self._topic.pace
            if not (rests and self.seen.at is not None and not seen.trouble):
                self._make()

        return told

    def _make(self) -> None:
        try:
            made = joined(self._topic, self._parts)
        except Exception as error:  # whatever it is, other parts are shown
            self._failed(error)
            made = Seen(self.seen.value, self.seen.at, "inside", INSIDE)
        if made.at is not None or made.trouble:
            self._made_at = monotonic()
            self.tell(made)
