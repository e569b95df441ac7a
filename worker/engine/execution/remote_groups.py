"""Groups over the pipe: asked for in the child, done by the worker's own connection."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from worker.engine.execution.pipe import Message
from worker.engine.execution.remote_pushes import push_from_message, push_to_message
from worker.item.group import known_progress
from worker.item.group_desk import GroupDesk, GroupMember, GroupPlan, GroupProgress
from worker.item.new_item import Push

ASKED: Final = "group_"
"""How what a child asks about groups begins."""


class PipeGroups:
    """In a child: lets the worker do it; see ``worker.item.group_desk.GroupDesk``."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask

    async def push(self, plan: GroupPlan[Push]) -> tuple[str, bool]:
        """Let the worker push all members."""
        id, existing = await self._ask("group_push", plan=plan_to_message(plan))
        return id, existing

    async def look(self, group: str) -> GroupProgress:
        """Let the worker look at a group."""
        return known_progress(await self._ask("group_look", group=group))

    async def page(self, group: str, after: int, most: int) -> list[GroupMember]:
        """Let the worker look at some members."""
        found = await self._ask("group_page", group=group, after=after, most=most)
        return [GroupMember(**one) for one in found]

    async def over(self, group: str, timeout: float | None) -> GroupProgress:
        """Let the worker wait for a group's end."""
        return known_progress(await self._ask("group_over", group=group, timeout=timeout))


async def answered(groups: GroupDesk, message: Message) -> Any:
    """In the worker: do what a child asks about groups."""
    what = message["what"]
    if what == "group_push":
        return list(await groups.push(plan_from_message(message["plan"])))
    if what == "group_look":
        return asdict(await groups.look(message["group"]))
    if what == "group_over":
        return asdict(await groups.over(message["group"], message["timeout"]))
    page = await groups.page(message["group"], message["after"], message["most"])
    return [asdict(member) for member in page]


def plan_to_message(plan: GroupPlan[Push]) -> Message:
    """Return a group to be as data for the other side."""
    return {
        "members": [push_to_message(push) for push in plan.members],
        "then": None if plan.then is None else push_to_message(plan.then),
        "on_failure": plan.on_failure,
        "digest": plan.digest,
        "key": plan.key,
        "parent": plan.parent,
    }


def plan_from_message(message: Mapping[str, Any]) -> GroupPlan[Push]:
    """Return the group to be of a message."""
    then = message["then"]
    return GroupPlan(
        [push_from_message(one) for one in message["members"]],
        None if then is None else push_from_message(then),
        message["on_failure"],
        message["digest"],
        message["key"],
        message["parent"],
    )
