"""The user behind a command, and what documents say of who wrote them."""

from dataclasses import dataclass

from worker.localserver.storage import json_text


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in user."""

    id: str
    username: str


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
