"""The user behind a command, and what documents say of who wrote them."""

from dataclasses import dataclass
from typing import Final

from worker.localserver.storage import json_text

ADMINS: Final = "5a1702fa245d9013697656fb"
"""The role whose members may do everything; its id is the same on every OpenIAP."""


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in user.

    Attributes:
        roles: the ids of the roles that they are a member of, directly or through another role.
    """

    id: str
    username: str
    roles: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        """Whether every right is theirs."""
        return ADMINS in self.roles


def administrator(name: str) -> User:
    """Return somebody who has all rights and is no user: the program that the server is part of."""
    return User("", name, frozenset({ADMINS}))


def created_by(user: User, now: int) -> dict[str, str]:
    """Return what a new document says of its making.

    Args:
        user: who makes it.
        now: the server's time in milliseconds since 1970.
    """
    return {
        "_created": json_text.write_date(now),
        "_createdby": user.username,
        "_createdbyid": user.id,
    }


def modified_by(user: User, now: int) -> dict[str, str]:
    """Return what a document says of its last change; see ``created_by``."""
    return {
        "_modified": json_text.write_date(now),
        "_modifiedby": user.username,
        "_modifiedbyid": user.id,
    }
