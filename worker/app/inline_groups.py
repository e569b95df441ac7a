"""Groups that run here and now: the members one after another, then what comes after them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.item.group import mark_of_member, mark_of_then, marked, member_of, new_id
from worker.item.group_desk import GroupMember, GroupNotFound, GroupPlan, GroupProgress
from worker.item.new_item import Push, Sent
from worker.openiap.workitem import SUCCESSFUL, JsonObject
from worker.producer.groups.collected import collected

Run = Callable[[Push], Awaitable[Sent]]
Look = Callable[[str], Awaitable[JsonObject]]
Know = Callable[[Any], None]


class InlineGroups:
    """In the place of a client's; see ``worker.item.group_desk.GroupDesk``.

    Args:
        run: runs what is pushed.
        look: returns what became of it.
        know: learns of a handler that is pushed to.
    """

    def __init__(self, run: Run, look: Look, know: Know) -> None:
        self._run = run
        self._look = look
        self._know = know
        self._members: dict[str, list[GroupMember]] = {}
        self._then: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    async def push(self, plan: GroupPlan[Push]) -> tuple[str, bool]:
        """Run all members, then what comes after them."""
        known = self._keys.get(plan.key)
        if known is not None:
            return known, True
        for target in plan.targets.values():
            self._know(target)
        id = new_id(datetime.now(UTC))
        members = self._members[id] = []
        failed = False
        for n, push in enumerate(plan.members):
            if failed and plan.on_failure == "stop":
                members.append(_stopped(id, n, push.queue))
                continue
            payload = marked(push.payload, mark_of_member(id, n))
            sent = await self._run(Push(**_fields(push, payload)))
            found = await self._look(sent.id)
            member = _read(id, n, found)
            members.append(member)
            failed = failed or member.state != SUCCESSFUL
        if plan.then is not None:
            after = await collected(id, len(members), self._pages(id), gone=False)
            payload = marked({**plan.then.payload, **(after or {})}, mark_of_then(id))
            self._then[id] = (await self._run(Push(**_fields(plan.then, payload)))).id
        if plan.key:
            self._keys[plan.key] = id
        return id, False

    async def look(self, group: str) -> GroupProgress:
        """Return how it ended.

        Raises:
            GroupNotFound: it was pushed elsewhere.
        """
        members = self._of(group)
        done = sum(member.state == SUCCESSFUL for member in members)
        failed = len(members) - done
        return GroupProgress(
            group, len(members), done, failed, over=True, then=self._then.get(group, "")
        )

    async def page(self, group: str, after: int, most: int) -> list[GroupMember]:
        """Return so many members from a place on."""
        return self._of(group)[after : after + most]

    async def over(self, group: str, timeout: float | None) -> GroupProgress:
        """Return at once."""
        return await self.look(group)

    def _pages(self, group: str) -> Callable[[int, int], Awaitable[list[GroupMember]]]:
        async def page(after: int, most: int) -> list[GroupMember]:
            return await self.page(group, after, most)

        return page

    def _of(self, group: str) -> list[GroupMember]:
        if group not in self._members:
            raise GroupNotFound(f"inline: group {group} was not pushed in this block")
        return self._members[group]


def _fields(push: Push, payload: JsonObject) -> Mapping[str, Any]:
    return {
        "queue": push.queue,
        "payload": payload,
        "name": push.name,
        "priority": push.priority,
        "nextrun": push.nextrun,
    }


def _read(group: str, n: int, document: JsonObject) -> GroupMember:
    payload = marked(document["payload"], {**mark_of_member(group, n), "got": document["got"]})
    found = member_of(group, {**document, "payload": payload})
    assert found is not None
    return found


def _stopped(group: str, n: int, queue: str) -> GroupMember:
    error: JsonObject = {
        "n": n,
        "item": "",
        "queue": queue,
        "type": "business",
        "code": "CANCELLED",
        "message": "another member of its group has failed",
    }
    return GroupMember(n, "", queue, "failed", None, error)


def names_of(got: Sequence[str] | str) -> list[str] | str:
    """Return where in a payload a result is, as JSON."""
    return got if isinstance(got, str) else list(got)
