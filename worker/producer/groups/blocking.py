"""Groups for blocking code: each call waited for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, TypeVar, Unpack, overload

from worker.durations import Duration
from worker.item.group_desk import GroupMember, GroupProgress, OnFailure
from worker.item.group_handle import Group, GroupResults
from worker.item.group_plan import GroupArguments, Member, Then
from worker.producer.groups.pushing import GroupPushing

T = TypeVar("T")


class BlockingGroups(ABC):
    """What the blocking client can do with groups."""

    @abstractmethod
    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the connection's own loop and wait for it."""

    @abstractmethod
    def _present(self) -> GroupPushing:
        """Return the producer that is connected."""

    def push_group(
        self,
        members: Iterable[Member],
        *,
        then: Then = None,
        on_failure: OnFailure = "wait",
        key: str = "",
        **options: Unpack[GroupArguments],
    ) -> "BlockingGroup":
        """Push items that end together; see ``Producer.push_group``."""
        work = self._present().push_group(
            members, then=then, on_failure=on_failure, key=key, **options
        )
        return BlockingGroup(self.wait(work), self.wait)

    def group(self, id: str) -> "BlockingGroup":
        """Return a handle on a group that was pushed before, by its id.

        Raises:
            GroupError: no group has such an id.
        """
        return BlockingGroup(self._present().group(id), self.wait)


class BlockingGroup:
    """A handle on a group; each call waits.

    Attributes:
        id, existing: as for ``worker.Group``.
    """

    def __init__(self, group: Group, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.id: Final = group.id
        self.existing: Final = group.existing
        self._group = group
        self._wait = wait

    def __repr__(self) -> str:
        return repr(self._group)

    def progress(self) -> GroupProgress:
        """Return how many members have succeeded, have failed, and how many there are."""
        found: GroupProgress = self._wait(self._group.progress())
        return found

    @overload
    def results(self, timeout: Duration | None = None) -> GroupResults: ...

    @overload
    def results(self, timeout: Duration | None = None, *, type: type[T]) -> T: ...

    def results(self, timeout: Duration | None = None, *, type: Any = None) -> Any:
        """Wait until all members have ended and return what came of them; see ``worker.Group``."""
        if type is None:
            return self._wait(self._group.results(timeout))
        return self._wait(self._group.results(timeout, type=type))

    def members(self) -> Iterator[GroupMember]:
        """Give all members as they stand, in order."""
        members = self._group.members()
        while (member := self._wait(_next(members))) is not None:
            yield member


async def _next(members: Any) -> GroupMember | None:
    found: GroupMember | None = await anext(members, None)
    return found
