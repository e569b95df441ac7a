"""Groups as whoever pushes them and looks at them sees them; ``group.py`` has their rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from worker.errors import WorkerError
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject

P = TypeVar("P")

OnFailure = Literal["wait", "stop"]

ON_FAILURE: Final[tuple[OnFailure, ...]] = ("wait", "stop")


class GroupError(WorkerError, ValueError):
    """A group that cannot be: the text says what of it, and what is allowed."""


class GroupNotFound(WorkerError, LookupError):
    """There is no such group (any more), or this user may not see it."""


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """How far a group is.

    Attributes:
        id: the group's.
        of: how many members it has.
        done: how many have succeeded; ``failed``: have failed for good.
        over: all have ended, and what comes after them is pushed.
        stopped: one has failed, and those that waited were cancelled (``on_failure="stop"``).
        whole: all members are pushed.
        then: the id of the item that came after them; "" where there is none (yet).
    """

    id: str
    of: int
    done: int = 0
    failed: int = 0
    over: bool = False
    stopped: bool = False
    whole: bool = True
    then: str = ""

    @property
    def share(self) -> float:
        """The part of the members that has ended, 0 to 1."""
        return min(1.0, (self.done + self.failed) / self.of) if self.of else 1.0


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member as it stands.

    Attributes:
        n: its place, from 0.
        state: the item's.
        result: what its handler returned, as JSON; None where there is none.
        error: of one that has failed: ``n``, ``item``, ``queue``, ``type``, ``code``, ``message``.
    """

    n: int
    item: str
    queue: str
    state: str
    result: Any = None
    error: JsonObject | None = None

    @property
    def ended(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in (SUCCESSFUL, FAILED)


@dataclass(frozen=True, slots=True)
class GroupPlan(Generic[P]):
    """A group to be.

    Attributes:
        members: in order.
        then: the item that comes after them; its payload gets ``results`` and ``errors``.
        key: the same key is the same group; "" for none.
        digest: tells the members of two groups apart.
        parent: the id of the item that pushes it, or "".
        targets: by queue, the handlers that were given; for tests that run them here.
    """

    members: Sequence[P]
    then: P | None
    on_failure: OnFailure
    digest: str
    key: str = ""
    parent: str = ""
    targets: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


class GroupDesk(Protocol):
    """Who pushes groups and looks at them: a client, or the pipe to the worker."""

    async def push(self, plan: GroupPlan[Any]) -> tuple[str, bool]:
        """Push all members, once; safe to repeat with a key.

        Returns:
            The group's id, and whether it was there already.

        Raises:
            GroupError: there is another group of this key, whose members are not all pushed.
            QueueNotFound: one of its queues is not there, or no rights; nothing was pushed.
        """

    async def look(self, group: str) -> GroupProgress:
        """Return how far it is.

        Raises:
            GroupNotFound: there is none.
        """

    async def page(self, group: str, after: int, most: int) -> list[GroupMember]:
        """Return so many members from place ``after`` on, in order; those that are there.

        Raises:
            GroupNotFound: there is none.
        """

    async def over(self, group: str, timeout: float | None) -> GroupProgress:
        """Return once it is over.

        Raises:
            GroupNotFound: there is none.
            ResultTimeout: not within ``timeout`` seconds.
        """
