"""What can be looked at, and how it looks now."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, Literal, TypeVar

from worker.console.live.services import Services
from worker.openiap.types import WatchEvent

T = TypeVar("T")

ITEMS: Final = "workitems"
QUEUES: Final = "mq"
WATCHED: Final = {ITEMS: "$.*.wiq", QUEUES: "$.*.name"}
"""Collections that are watched, each by a path that all its documents fulfil: a field that they
have. Comparisons cost the server a hundred times as much."""
EVERY: Final = 5.0


def any_change(event: WatchEvent) -> bool:
    """Every change there concerns a topic."""
    return True


@dataclass(frozen=True)
class Topic(Generic[T]):
    """Something to look at; those with the same key are one.

    Attributes:
        key: a name, and what it is about: ``("item", id)``.
        ask: asks for it.
        about: collections whose changes concern it; others are looked at in time.
        concerns: whether a change there does.
        every: seconds after which it is asked again, whatever is told.
    """

    key: tuple[Hashable, ...]
    ask: Callable[[Services], Awaitable[T]] = field(compare=False)
    about: frozenset[str] = field(default=frozenset(), compare=False)
    concerns: Callable[[WatchEvent], bool] = field(default=any_change, compare=False)
    every: float = field(default=EVERY, compare=False)


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
