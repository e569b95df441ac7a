"""What a taken item can do beside its handler's item: groups, and a word on what it cannot.

1. Groups are pushed and looked at where the item is worked, on a loop of another thread.
2. Steps, sleeps and waits for signals put an item back and call its handler again from the first
   line. A block is not called, so these are refused with what to do instead.
"""

from pathlib import Path
from typing import Any, NoReturn

from worker.errors import WorkerError
from worker.item.block import Block, over
from worker.item.group_desk import GroupDesk, GroupMember, GroupPlan, GroupProgress
from worker.item.item import Item
from worker.openiap.workitem import WorkitemFile


class OnlyHandlers:
    """A name that only the items of handlers have: whoever asks is told what to do instead."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, item: Any, owner: type) -> NoReturn:
        if self._name == "wait":
            raise AttributeError(
                "item.wait is for def handlers; the calls of a taken item wait by themselves"
            )
        queue = "" if item is None else item.queue
        raise AttributeError(
            f"item.{self._name} is for handlers: they are called again from their first line, and a"
            f" block is not. Write a handler, @handler({queue!r}), for work with steps and waits; a"
            " block that waits holds its item, and item.checkpoint keeps how far it is"
        )


class GroupsOverThere:
    """A ``GroupDesk`` that is used from another loop than the item's."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._desk = groups_of(block.item)

    async def push(self, plan: GroupPlan[Any]) -> tuple[str, bool]:
        """Push all members, once."""
        return await over(self._block, self._desk.push(plan))

    async def look(self, group: str) -> GroupProgress:
        """Return how far it is."""
        return await over(self._block, self._desk.look(group))

    async def page(self, group: str, after: int, most: int) -> list[GroupMember]:
        """Return so many members from place ``after`` on."""
        return await over(self._block, self._desk.page(group, after, most))

    async def over(self, group: str, timeout: float | None) -> GroupProgress:
        """Return once it is over."""
        return await over(self._block, self._desk.over(group, timeout))


def groups_of(item: Item) -> GroupDesk:
    """Return who pushes groups for a taken item, on the loop where it is worked.

    Raises:
        WorkerError: nobody does.
    """
    if item.sender is None:
        raise WorkerError(f"item {item.id} has no worker behind it: there are no groups")
    return item.sender.groups


class FilesOverThere:
    """The item's files, fetched where it is worked."""

    def __init__(self, block: Block) -> None:
        self._block = block

    async def fetch(self, file: WorkitemFile) -> Path:
        """Download a file; return where it is."""
        return await over(self._block, self._block.item.files[file.filename].path())

    async def size(self, file: WorkitemFile) -> int:
        """Return the stored length in bytes."""
        return await over(self._block, self._block.item.files[file.filename].size())
