"""Rights as OpenIAP's access control lists write them. Pure."""

from collections.abc import Mapping
from typing import Final

from worker.openiap.types import User
from worker.openiap.workitem import JsonObject

RIGHTS: Final = ("create", "read", "update", "delete", "invoke")
"""The bits of an access control entry's ``rights``, from the lowest."""
NEEDED: Final[Mapping[str, str]] = {
    "read": "to see the queue and its items",
    "update": "to hand items back without an attempt, and to fence late outcomes",
    "invoke": "to pop, to push and to write outcomes back",
}
"""What a worker needs on its queue, and what for."""
WORKS: Final = sum(1 << RIGHTS.index(right) for right in NEEDED)


def rights_of(document: JsonObject, user: User | None) -> set[str] | None:
    """Return what a user may do with a document, by its access control list.

    None where that cannot be told: no list, a form of rights that is not known, or entries that
    name only roles which the sign-in did not tell.
    """
    entries = document.get("_acl")
    if user is None or not isinstance(entries, list) or not entries:
        return None
    mine = {user.id, user.name, user.username, *user.roles}
    granted: set[str] = set()
    matched = False
    for entry in entries:
        if not isinstance(entry, dict) or not {entry.get("_id"), entry.get("name")} & mine:
            continue
        bits = entry.get("rights")
        if isinstance(bits, bool) or not isinstance(bits, int):
            return None
        matched = True
        named = {right for index, right in enumerate(RIGHTS) if bits >> index & 1}
        granted = granted - named if entry.get("deny") else granted | named
    return granted if matched else None
