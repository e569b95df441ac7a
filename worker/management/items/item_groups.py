"""The group that an item is a member of, or comes after, and how far that is."""

from pydantic import BaseModel

from worker.item.group import group_in
from worker.item.group_desk import GroupNotFound
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import object_of, whole
from worker.producer.sender import ClientSender


class ItemGroup(BaseModel):
    """A group, as an item tells of it.

    Attributes:
        n: which member it is, from 0; None for the item that comes after them.
        of, done, failed, over: how far the group is, where this user may see that.
    """

    id: str
    n: int | None = None
    of: int | None = None
    done: int | None = None
    failed: int | None = None
    over: bool | None = None


def group_of_item(mark: object) -> ItemGroup | None:
    """Return the group that an item's mark names."""
    id = group_in(mark)
    return ItemGroup(id=id, n=whole(object_of(mark).get("n"))) if id else None


async def how_far(client: Client, namespace: str, group: ItemGroup | None) -> ItemGroup | None:
    """Return a group with how far it is."""
    if group is None:
        return None
    try:
        found = await ClientSender(client, namespace).groups.look(group.id)
    except (GroupNotFound, OpenIAPError):  # what is known of the item is shown all the same
        return group
    known = {"of": found.of, "done": found.done, "failed": found.failed, "over": found.over}
    return group.model_copy(update=known)
