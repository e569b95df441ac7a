"""The part of a producer that has to do with groups."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Unpack

from worker.item.group import is_id
from worker.item.group_desk import GroupError, OnFailure
from worker.item.group_handle import Group
from worker.item.group_plan import GroupArguments, Member, Then, plan_of
from worker.item.new_item import Push, Sender
from worker.openiap.large import apart


class GroupPushing(ABC):
    """What a producer can do with groups."""

    @property
    @abstractmethod
    def _carrier(self) -> Sender:
        """Who carries what is pushed."""

    @abstractmethod
    def _hold_to_contracts(self, pushes: Sequence[Push]) -> None:
        """Refuse what does not fit its queue's contract."""

    async def push_group(
        self,
        members: Iterable[Member],
        *,
        then: Then = None,
        on_failure: OnFailure = "wait",
        key: str = "",
        **options: Unpack[GroupArguments],
    ) -> Group:
        """Push items that end together; when all have ended, ``then`` gets one item with their
        results. See ``Item.push_group``.

        Args:
            key: the same key is the same group, until 30 days after its end: a call that is
                repeated after a death or a lost answer makes it whole, and no member twice. Without
                one each call makes a new group.

        Raises:
            ContractError: a payload does not fit its handler.
            GroupError: it is no group, or one of that key has other members and is not whole.
            QueueNotFound: no such queue; nothing was pushed.
            OpenIAPError: no answer for a minute; members may be there.
        """
        if not isinstance(key, str):
            raise TypeError(f"push_group: key = {key!r}; allowed: a text")
        named = f"key/{key}" if key else ""
        plan = await apart(True, plan_of, members, then, on_failure, options, named)
        self._hold_to_contracts(plan.members)
        id, existing = await self._carrier.groups.push(plan)
        return Group(id, self._carrier.groups, existing=existing)

    def group(self, id: str) -> Group:
        """Return a handle on a group that was pushed before, by its id; nothing is asked for.

        Raises:
            GroupError: no group has such an id.
        """
        if not is_id(id):
            raise GroupError(f"group({str(id)[:40]!r}); allowed: the id of a group, as it has it")
        return Group(id, self._carrier.groups)
