"""What a command is: a request's type, and the function that answers it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from worker.localserver.operations.services import Services
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.files import Upload
from worker.localserver.storage.json_text import parse
from worker.localserver.storage.user import User


class Client(Protocol):
    """The connection that a command came over."""

    user: User | None
    pinged: bool
    address: str

    def signing_in(self) -> AbstractContextManager[None]:
        """Take one sign-in by password at a time; one too many that is refused ends the connection.

        Raises:
            RefusedError: another one of this connection waits for its answer.
        """

    def send(self, command: str, message: Message | None, rid: str = "") -> None:
        """Send a message behind the next commit."""

    def expect_upload(self, request_id: str, upload: Upload) -> None:
        """Take the stream that follows an upload's request."""

    async def can_send(self) -> None:
        """Wait until the client has taken most of what was sent to it."""


@dataclass(slots=True)  # not frozen: one per command, and freezing makes it three times as dear
class Call:
    """One command as it came: from whom, acting as whom, under which id."""

    services: Services
    client: Client
    user: User
    id: str
    command: str


Answer = Message | None
Run = Callable[[Call, Any], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Command:
    """How one command is answered.

    Attributes:
        request: the message that it comes with.
        run: answers it; what it raises becomes an error. None means that the answer is sent
            later.
        writes: its writes are undone if it raises.
        guests: also for those who are not signed in.
    """

    request: type[Message]
    run: Run
    writes: bool = False
    guests: bool = False


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return JSON text as an object; no text is an empty one.

    Raises:
        RefusedError: it is not JSON, or no object.
    """
    value = parse(text) if text.strip() else None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError(f"{what} must be a JSON object")
    return value


def json_list(text: str, what: str) -> list[dict[str, Any]]:
    """Return JSON text as a list of objects; no text is an empty one.

    Raises:
        RefusedError: it is not JSON, or no list of objects.
    """
    value = parse(text) if text.strip() else []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise RefusedError(f"{what} must be a JSON array of objects")
    return value
