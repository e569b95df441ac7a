"""Groups in a dry run: noted, and in ``worker_test`` run here, as ``inline`` does it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.app.inline_pushes import InlineSender
from worker.item.group import new_id
from worker.item.group_desk import GroupMember, GroupPlan, GroupProgress
from worker.item.group_handle import Group, results_of
from worker.item.metadata import taken_out
from worker.item.new_item import Push
from worker.openiap.client import Client
from worker.openiap.errors import Unsupported
from worker.openiap.workitem import JsonObject
from worker.producer.producer import Producer, current_producer


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A group that the handler pushed.

    Attributes:
        members: queue and payload of each.
        then: the queue of the item that comes after them, or "".
        results, errors: what came of the members, where all their handlers were given and they were
            run; else empty.
        result: the payload that the item after them ended with; None where it was not run.
    """

    members: tuple[tuple[str, JsonObject], ...]
    then: str = ""
    results: tuple[Any, ...] = ()
    errors: tuple[JsonObject, ...] = ()
    result: JsonObject | None = None


class RecordingGroups:
    """Notes groups; see ``worker.item.group_desk.GroupDesk``.

    Args:
        note: notes pushes.
        run: whether members are run here.
        client, resources: for their handlers.
    """

    def __init__(
        self,
        note: Callable[[Sequence[Push]], None],
        *,
        run: bool = False,
        client: Client | None = None,
        resources: Mapping[Any, Any] | None = None,
    ) -> None:
        self.seen: list[GroupSeen] = []
        self._note = note
        self._run = run
        self._client = client
        self._inline = InlineSender((), client, resources)

    async def push(self, plan: GroupPlan[Push]) -> tuple[str, bool]:
        """Note the members, and run them where their handlers were given."""
        members = tuple((push.queue, taken_out(push.payload)[0]) for push in plan.members)
        then = "" if plan.then is None else plan.then.queue
        queues = {queue for queue, _ in members} | ({then} if then else set())
        if not self._run or not queues <= plan.targets.keys():
            self._note(plan.members)
            self.seen.append(GroupSeen(members, then))
            return new_id(datetime.now(UTC)), False
        token = current_producer.set(Producer(self._inline, client=self._client))
        try:
            id, existing = await self._inline.groups.push(plan)
        finally:
            current_producer.reset(token)
        if not existing:
            self._note(plan.members)
            found = await results_of(Group(id, self._inline.groups), len(members))
            after = (await self._inline.groups.look(id)).then
            ended = (await self._inline.look(after))["payload"] if after else None
            result = None if ended is None else taken_out(ended)[0]
            self.seen.append(
                GroupSeen(members, then, tuple(found.results), tuple(found.errors), result)
            )
        return id, existing

    async def look(self, group: str) -> GroupProgress:
        """Return how it ended, where it was run."""
        self._refuse_unless_run()
        return await self._inline.groups.look(group)

    async def page(self, group: str, after: int, most: int) -> list[GroupMember]:
        """Return some members, where it was run."""
        self._refuse_unless_run()
        return await self._inline.groups.page(group, after, most)

    async def over(self, group: str, timeout: float | None) -> GroupProgress:
        """Return how it ended, where it was run."""
        return await self.look(group)

    def _refuse_unless_run(self) -> None:
        if not self._run:
            raise Unsupported("the group was not sent, so nothing came of it", operation="group")
