"""The part of an item that has to do with groups: those it pushes, and the one that it is of."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import Unpack

from worker.errors import WorkerError
from worker.item.group import group_in
from worker.item.group_desk import GroupDesk, OnFailure
from worker.item.group_handle import Group
from worker.item.group_plan import GroupArguments, Member, Then, plan_of
from worker.item.long_work import current_step
from worker.item.metadata import Metadata
from worker.item.new_item import Sender
from worker.item.steps import StepError
from worker.openiap.large import apart


class Grouping(ABC):
    """What an item can do with groups."""

    id: str
    _metadata: Metadata | None
    _groups: int = 0

    @property
    @abstractmethod
    def sender(self) -> Sender | None:
        """Who carries pushes that do not wait for this item's end."""

    async def push_group(
        self,
        members: Iterable[Member],
        *,
        then: Then = None,
        on_failure: OnFailure = "wait",
        key: str = "",
        **options: Unpack[GroupArguments],
    ) -> Group:
        """Push items that end together, at once: unlike ``push``, it does not wait for this item's
        end. When all have ended, ``then`` gets one item with their results::

            group = await item.push_group(
                [(resize, Page(n=1)), (resize, Page(n=2))], then=summarize
            )

        Called again by a later attempt, it makes the same group whole, and no member twice.

        Args:
            members: a handler or a queue's name, and a payload; and, where it has some, options of
                its own: ``{"priority": 1, "delay": "5m", "name": …}``.
            then: a handler or a queue's name, also with a payload as a member has it; ``results``
                and ``errors`` are laid over that.
            on_failure: ``stop`` cancels the members that wait once one has failed for good.
            key: which of this item's groups it is; by default the how many-th.
            options: for all its items: ``priority``, ``delay``, ``namespace``, ``headers``,
                ``expires``.

        Raises:
            ContractError: a payload does not fit its handler.
            GroupError: it is no group, or one of that key has other members and is not whole.
            QueueNotFound: no such queue; nothing was pushed.
            StepError: inside of a step, without a ``key``.
        """
        if not key:
            if step := current_step.get():
                raise StepError(f'item.push_group inside of step {step!r} needs key="…"')
            self._groups += 1
            key = f"#{self._groups}"
        desk, own = self._group_desk(), f"{self.id}/{key}"
        plan = await apart(True, plan_of, members, then, on_failure, options, own)
        id, existing = await desk.push(replace(plan, key=f"item/{own}", parent=self.id))
        return Group(id, desk, existing=existing)

    @property
    def group(self) -> Group | None:
        """The group that this item is a member of, or comes after; None for none."""
        id = "" if self._metadata is None else group_in(self._metadata.group)
        return Group(id, self._group_desk()) if id else None

    def _group_desk(self) -> GroupDesk:
        sender = self.sender
        if sender is None:
            raise WorkerError("this item has no worker around it: there are no groups")
        return sender.groups
