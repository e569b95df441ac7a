"""A handle on a group: how far it is, its results, its members.

A handler that waits for results holds no slot: its item sleeps, and looks again after times that
grow with the wait.
"""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, overload

from pydantic import ValidationError

from worker.durations import Duration, seconds
from worker.item.context import current_item
from worker.item.error_text import problems_of
from worker.item.group import deleted
from worker.item.group_desk import GroupDesk, GroupError, GroupMember, GroupProgress
from worker.item.long_work import LongWork, current_step
from worker.item.push import ContractError
from worker.item.type_form import form_of
from worker.openiap.values import format_bytes, json_text
from worker.openiap.workitem import JsonObject

T = TypeVar("T")

FIRST_PAGE: Final = 20
PAGE: Final = 500
PAGE_BYTES: Final = 512 * 1024
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of all results together, in memory."""
FIRST_NAP: Final = 2.0
GROWTH: Final = 1.25
LONGEST_NAP: Final = 900.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class GroupResults:
    """What came of a group's members.

    Attributes:
        results: in order, as JSON; None where there is none.
        errors: of those that have failed: ``n``, ``item``, ``queue``, ``type``, ``code`` and
            ``message``.
    """

    results: list[Any] = field(default_factory=list)
    errors: list[JsonObject] = field(default_factory=list)


class Group:
    """A handle on a group.

    Attributes:
        id: for ``producer.group(id)``.
        existing: it was there already, under the key of this push.
    """

    __slots__ = ("_desk", "existing", "id")

    def __init__(self, id: str, desk: GroupDesk, *, existing: bool = False) -> None:
        self.id: Final = id
        self.existing: Final = existing
        self._desk = desk

    def __repr__(self) -> str:
        return f"Group({self.id!r})"

    async def progress(self) -> GroupProgress:
        """Return how many members have succeeded (``done``), have failed (``failed``), and how many
        there are (``of``).

        Raises:
            GroupNotFound: there is none (any more), or this user may not see it.
        """
        return await self._desk.look(self.id)

    @overload
    async def results(self, timeout: Duration | None = None) -> GroupResults: ...

    @overload
    async def results(self, timeout: Duration | None = None, *, type: type[T]) -> T: ...

    async def results(self, timeout: Duration | None = None, *, type: Any = None) -> Any:
        """Wait until all members have ended and return what came of them.

        In a handler the item sleeps meanwhile, and the handler is called again from its first
        line (``item.sleep``); with a ``timeout`` the slot is held instead.

        Args:
            timeout: seconds or text like ``"5m"``.
            type: a model with the fields ``results`` and ``errors``, to be read instead.

        Raises:
            ContractError: they do not fit ``type``.
            GroupError: all results together are larger than 64 MB; ``members`` gives one by one.
            GroupNotFound: there is none (any more).
            ResultTimeout: some have not ended in time.
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        item = current_item.get()
        if limit is None and isinstance(item, LongWork) and not current_step.get():
            await self._slept(item)
        whole = await self._desk.over(self.id, limit)
        found = await results_of(self, whole.of)
        if type is None:
            return found
        try:
            return form_of(type).read({"results": found.results, "errors": found.errors})
        except ValidationError as error:
            raise ContractError(
                f"The results of group {self.id} do not fit {type.__name__}: {problems_of(error)}"
            ) from None

    async def members(self) -> AsyncIterator[GroupMember]:
        """Give all members as they stand, in order, a page at a time; deleted ones are left out.

        Raises:
            GroupNotFound: there is none (any more).
        """
        after, most = 0, FIRST_PAGE
        while page := await self._desk.page(self.id, after, most):
            for member in page:
                yield member
            after = page[-1].n + 1
            size = sum(size_of(member.result) for member in page)
            most = max(1, most // 4) if size > PAGE_BYTES else min(PAGE, 2 * most)

    async def _slept(self, item: LongWork) -> None:
        """Let the item sleep until the group is over."""
        if (await self._desk.look(self.id)).over or (await item.clock()).awake:
            return
        for nap in itertools.count():
            wait = min(LONGEST_NAP, FIRST_NAP * GROWTH**nap)
            await item.sleep(wait, name=f"group {self.id} {nap}")


async def results_of(group: Group, of: int) -> GroupResults:
    """Return what came of all members of a group that is over.

    Raises:
        GroupError: they are too large together.
    """
    found, size = GroupResults([None] * of), 0
    there = bytearray(of)
    async for member in group.members():
        if member.n >= of:
            continue
        there[member.n] = 1
        found.results[member.n] = member.result
        if member.error is not None:
            found.errors.append(member.error)
        size += size_of(member.result)
        if size > MOST_BYTES:
            raise GroupError(
                f"the results of group {group.id} have more than {format_bytes(MOST_BYTES)};"
                " take them one by one: async for member in group.members()"
            )
    gone = [n for n in range(of) if not there[n]]
    found.errors.extend(errors_of_deleted(group.id, gone))
    found.errors.sort(key=lambda error: error["n"])
    return found


def errors_of_deleted(group: str, places: list[int]) -> list[JsonObject]:
    """Return the errors of members that are not there any more."""
    return [error for n in places if (error := deleted(group, n).error) is not None]


def size_of(result: object) -> int:
    """Return how many bytes a result has as JSON."""
    return 0 if result is None else len(json_text(result).encode("utf-8", "surrogatepass"))
