"""Typed errors of the client, made from the texts that OpenIAP's server and client give.

The server sends text only, no codes (server.md, Errors), so the texts are the interface. Reading
them happens here and nowhere else.
"""

import re
from typing import Any, ClassVar, Final

IN_A_CHILD: Final = (
    "a forked child has no part in the connection of its parent; it can open its own"
)


RATE_WINDOW: Final = 1.0
"""Seconds of the server's rate limit window (server.md, Errors)."""
_WORD_START: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class OpenIAPError(Exception):
    """A call to OpenIAP did not succeed.

    Attributes:
        operation: the documented name of the call, for example ``"pop_workitem"``.
        item_id: the work item it was about, or "".
        text: what the server or the library said.
        maybe_done: the server may have executed the call although no answer came.
        code: what happened, for programs: ``"QUEUE_NOT_FOUND"``; one for each class.
    """

    maybe_done: ClassVar[bool] = False
    code: ClassVar[str] = "OPENIAP_ERROR"

    def __init_subclass__(cls) -> None:
        cls.code = _WORD_START.sub("_", cls.__name__).upper()

    def __init__(self, text: str, *, operation: str = "", item_id: str = "") -> None:
        self.text = text
        self.operation = operation
        self.item_id = item_id
        where = f"{operation}({item_id})" if item_id else operation
        super().__init__(f"{where}: {text}" if where else text)

    @property
    def details(self) -> dict[str, Any]:
        """All that is known, by name, as JSON has it: for log lines and answers of one's own."""
        return {
            "code": self.code,
            "text": self.text,
            "operation": self.operation,
            "item_id": self.item_id,
            "maybe_done": self.maybe_done,
        }


class RateLimited(OpenIAPError):
    """Too many messages in the server's window; the call was not executed."""

    @property
    def points(self) -> int:
        """How many messages the server counted in its window, this one included; 0 if untold."""
        found = _POINTS.search(self.text)
        return int(found[1]) if found else 0

    @property
    def retry_after(self) -> float:
        """Seconds after which the server takes messages again: the length of its window."""
        return RATE_WINDOW

    @property
    def details(self) -> dict[str, Any]:
        """With ``points`` and ``retry_after``."""
        return super().details | {"points": self.points, "retry_after": self.retry_after}


class QueueNotFound(OpenIAPError):
    """The work item queue does not exist or this user has no rights on it."""


class ItemNotFound(OpenIAPError):
    """The work item does not exist (any more) or this user has no rights on it."""


class NotConnected(OpenIAPError):
    """There was no connection; nothing was sent."""


class NotSignedIn(NotConnected):
    """The server does not know (yet, or any more) who calls; the call was not executed."""


class Disconnected(OpenIAPError):
    """The link dropped while the call was in flight."""

    maybe_done = True


class RequestTimeout(OpenIAPError):
    """No answer in time; the server executes the call when it gets to it."""

    maybe_done = True


class AccessDenied(OpenIAPError):
    """The user may not do that, or the credentials are wrong."""


class RightsMissing(AccessDenied):
    """This user lacks a right on the object: popping and pushing take ``invoke`` on the queue."""


class DocumentNotFound(AccessDenied):
    """No document of that ``_id``, or none that this user may see; OpenIAP does not tell which."""


class DuplicateKey(OpenIAPError):
    """A document with that unique value exists already (MongoDB's E11000)."""


class ServerError(OpenIAPError):
    """Any other refusal by the server."""


class FileTransferError(OpenIAPError):
    """A file did not travel whole, is missing, or has a name that is not safe."""


class LocalFileError(FileTransferError):
    """This machine's disk does not take or give a file; the server and the item are well."""


class PayloadTooLarge(OpenIAPError):
    """The payload is larger than either transport carries; nothing was sent."""


class Unsupported(OpenIAPError):
    """This client cannot do that; the text says which one can."""


_POINTS: Final = re.compile(r"consumedPoints: (\d{1,9})")
_PATTERNS: Final[tuple[tuple[re.Pattern[str], type[OpenIAPError]], ...]] = (
    (re.compile(r"Rate limit exceeded", re.I), RateLimited),
    (re.compile(r"missing \w+ rights", re.I), RightsMissing),
    (re.compile(r"Unknown queue .* or access denied", re.I), AccessDenied),
    (re.compile(r"Work ?item queue not found|Workitemqueue .* not found", re.I), QueueNotFound),
    (re.compile(r"Work ?item\s+with _id .* not found", re.I), ItemNotFound),
    (re.compile(r"E11000"), DuplicateKey),
    (
        re.compile(r"^item .* not found in .* or Access Denied|ReplaceOne failed, matched 0", re.I),
        DocumentNotFound,
    ),
    (
        re.compile(r"failed logging in|access denied|permission denied|not authorized", re.I),
        AccessDenied,
    ),
    (re.compile(r"missing \w+ permission", re.I), AccessDenied),
    (re.compile(r"not signed in|User not authenticated", re.I), NotSignedIn),
    (
        re.compile(
            r"\bjwt (expired|malformed|not active)|expired jwt|invalid (token|signature)", re.I
        ),
        AccessDenied,
    ),
    (re.compile(r"Not connected", re.I), NotConnected),
    (re.compile(r"Request timed out|deadline", re.I), RequestTimeout),
    (re.compile(r"\bDisconnected\b|connection (was )?(closed|lost|reset)", re.I), Disconnected),
)

# What the official library puts around a text: `Pop workitem failed: ServerError("\"…\"")`, and
# inside, for its own errors, `Client Error …`, several times over.
_DEBUG: Final = re.compile(
    r"^(?:[\w ]+ failed: )?(?:Server|Client|Custom)Error\((\".*\")\)$", re.DOTALL
)
_PREFIX: Final = re.compile(
    r"^(?:(?:Server|Client|Custom) error:?|Error:|[\w ]+ failed:)\s+", re.IGNORECASE
)
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


def _unescaped(match: re.Match[str]) -> str:
    code, char = match.groups()
    if code is None:
        return _ESCAPED.get(char, char)
    number = int(code, 16)
    return chr(number) if number <= 0x10FFFF else "\ufffd"


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _ESCAPE.sub(_unescaped, text[1:-1])
    return text


def clean(text: str) -> str:
    """Strip what the client library wraps around an error text.

    ``Query failed: ServerError("\"E11000 …\"")`` becomes ``E11000 …``, and ``ClientError("Client
    Error Request timed out")`` becomes ``Request timed out``.
    """
    bare = text.strip()
    wrapped = _DEBUG.match(bare)
    if wrapped:
        bare = _unquoted(_unquoted(wrapped[1]))
    while True:
        shorter = _unquoted(_PREFIX.sub("", bare, count=1).strip())
        if shorter == bare or not shorter:
            return bare
        bare = shorter


def error_from_text(text: str, *, operation: str = "", item_id: str = "") -> OpenIAPError:
    """Return the typed error for what the server or the library said.

    Args:
        text: the error text as it came.
        operation: the documented name of the call that failed.
        item_id: the work item it was about, where there is one.
    """
    bare = clean(text)
    for pattern, kind in _PATTERNS:
        if pattern.search(bare):
            return kind(bare, operation=operation, item_id=item_id)
    return ServerError(bare, operation=operation, item_id=item_id)
