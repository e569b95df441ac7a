"""Who may do what with a document, pure: OpenIAP's lists of rights.

A document's ``_acl`` names users and roles, each with rights as a sum of bits. A user has what is
granted to them or to a role of theirs; ``deny`` is stored and, as on OpenIAP, not looked at. Admins
have every right: OpenIAP adds them to each document.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from worker.localserver.storage.user import ADMINS, User

CREATE: Final = 1
READ: Final = 2
UPDATE: Final = 4
DELETE: Final = 8
INVOKE: Final = 16
FULL: Final = 65535

Ace = dict[str, Any]
FOR_ADMINS: Final[Mapping[str, Any]] = {"_id": ADMINS, "name": "admins", "rights": FULL}
ONLY_ADMINS: Final = "[" + '{"_id":"' + ADMINS + '","name":"admins","rights":65535}' + "]"
"""The list of a document that nobody else may see, as JSON text."""


def may(user: User, acl: object, right: int) -> bool:
    """Say whether a user has a right on a document with this list."""
    return user.is_admin or granted(user, acl, right)


def granted(user: User, acl: object, right: int) -> bool:
    """Say whether a list itself grants a right to a user, admin or not."""
    if not isinstance(acl, list):
        return False
    for ace in acl:
        if isinstance(ace, Mapping) and _names(ace, user) and _bits(ace) & right == right:
            return True
    return False


def new_acl(acl: object, user: User, name_of: Callable[[str], str | None]) -> list[Ace]:
    """Return what is stored for a new document: its maker has every right on it.

    Args:
        acl: as the client sent it.
        user: who makes the document.
        name_of: a user's or a role's name; None for an id that is neither, which is dropped.
    """
    found = _cleaned(acl, name_of)
    return found if granted(user, found, FULL) else _with(found, user)


def changed_acl(acl: object, user: User, name_of: Callable[[str], str | None]) -> list[Ace]:
    """Return what is stored for a changed document: who changed it may go on to; see above."""
    found = _cleaned(acl, name_of)
    return found if granted(user, found, READ | UPDATE) else _with(found, user)


def merged(first: Sequence[Ace], second: Sequence[Ace]) -> list[Ace]:
    """Return what either list grants, each user and role once."""
    together: dict[str, Ace] = {}
    for ace in (*first, *second):
        known = together.setdefault(str(ace.get("_id")), {**ace, "rights": 0})
        known["rights"] |= _bits(ace)
    return list(together.values())


def acl_of(collection: str, document: Mapping[str, Any]) -> object:
    """Return a document's list; that of a stored file is in its metadata."""
    if collection == "fs.files":
        metadata = document.get("metadata")
        return metadata.get("_acl") if isinstance(metadata, Mapping) else None
    return document.get("_acl")


def _cleaned(acl: object, name_of: Callable[[str], str | None]) -> list[Ace]:
    sent = [ace for ace in acl if isinstance(ace, dict)] if isinstance(acl, list) else []
    known: list[Ace] = []
    for ace in merged(sent, ()):
        name = name_of(str(ace.get("_id")))
        if name is None or not ace["rights"]:
            continue
        kept = {"_id": str(ace["_id"]), "name": name, "rights": ace["rights"]}
        known.append({**kept, "deny": True} if ace.get("deny") else kept)
    if not any(ace["_id"] == ADMINS for ace in known):
        known.append(dict(FOR_ADMINS))
    return known


def _with(acl: list[Ace], user: User) -> list[Ace]:
    """Return the list with every right for a user; nobody in particular gets none."""
    if not user.id:
        return acl
    return merged(acl, [{"_id": user.id, "name": user.username, "rights": FULL}])


def _names(ace: Mapping[str, Any], user: User) -> bool:
    return ace.get("_id") == user.id or ace.get("_id") in user.roles


def _bits(ace: Mapping[str, Any]) -> int:
    rights = ace.get("rights")
    if isinstance(rights, bool) or not isinstance(rights, (int, float)):
        return FULL if isinstance(rights, str) and rights.startswith("/") else 0
    return int(rights) & FULL
