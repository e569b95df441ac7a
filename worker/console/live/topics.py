"""What can be looked at, and how it looks now."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from worker.console.live.services import Services
from worker.openiap.types import WatchEvent

T = TypeVar("T")

ITEMS: Final = "workitems"
QUEUES: Final = "mq"
WATCHED: Final = {ITEMS: "$.*.wiq", QUEUES: "$.*.name"}
"""Collections that are watched, each by a path that all its documents fulfil: a field that they
have. Comparisons cost the server a hundred times as much."""
EVERY: Final = 3.0
"""Seconds after which a topic is asked for again. What no watch tells of is to be seen within 5,
the turns of a user's other topics included."""
SPACING: Final = 0.9
"""Seconds between two questions for the same since it changed, however often it does. With the wait
for a turn (``allowance.EVERY``), also behind another topic's, it stays below the 2 in which a
change that OpenIAP tells of is to be seen."""


def any_change(event: WatchEvent) -> bool:
    """Every change there concerns a topic."""
    return True


@dataclass(frozen=True)
class Topic(Generic[T]):
    """Something to look at that is one question; those with the same key are one.

    Attributes:
        key: a name, and what it is about: ``("counts",)``.
        ask: asks for it: one message, wherever that can be.
        about: collections whose changes concern it; others are looked at in time.
        concerns: whether a change there does.
        take: makes its value of a change there, so that nothing is asked for it; None where the
            change does not tell enough.
        every: seconds after which it is asked again, whatever is told.
        can_wait: whether it goes behind others, although it has changed.
    """

    key: tuple[Hashable, ...]
    ask: Callable[[Services], Awaitable[T]] = field(compare=False)
    about: frozenset[str] = field(default=frozenset(), compare=False)
    concerns: Callable[[WatchEvent], bool] = field(default=any_change, compare=False)
    take: Callable[[WatchEvent], T | None] | None = field(default=None, compare=False)
    every: float = field(default=EVERY, compare=False)
    can_wait: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Joined(Generic[T]):
    """Something to look at that is made of several topics, which others may share; those with the
    same key are one.

    Attributes:
        key: as a topic's.
        parts: the topics.
        join: makes its value of theirs, in their order.
        needed: so many of them, the first, must be known; of the others it is given None until
            they are.
        pace: seconds between two times that it is made; for what is dear to make.
    """

    key: tuple[Hashable, ...]
    parts: tuple[Topic[Any], ...] = field(compare=False)
    join: Callable[[Sequence[Any]], T] = field(compare=False)
    needed: int = field(default=1, compare=False)
    pace: float = field(default=0.0, compare=False)


Trouble = Literal["", "away", "refused", "inside"]


@dataclass(frozen=True)
class Seen(Generic[T]):
    """How a topic looks.

    Attributes:
        value: as it was told last; None before that.
        at: when that was, by this machine's clock.
        trouble: why it is not newer: OpenIAP is away, it refuses, something here is wrong.
        text: the same as one sentence.
    """

    value: T | None = None
    at: datetime | None = None
    trouble: Trouble = ""
    text: str = ""


def joined(topic: Joined[T], parts: Sequence[Seen[Any]]) -> Seen[T]:
    """Return how something looks by how its parts do. What is not needed is no trouble."""
    needed = parts[: topic.needed]
    troubled = next((one for one in needed if one.trouble), None)
    trouble: Trouble = "" if troubled is None else troubled.trouble
    text = "" if troubled is None else troubled.text
    moments = [one.at for one in needed if one.at is not None]
    if len(moments) < len(needed):
        return Seen(None, None, trouble, text)
    value = topic.join([None if one.at is None else one.value for one in parts])
    return Seen(value, min(moments), trouble, text)
