"""What an implementation of the client provides, subject by subject.

The client (``client.py``, ``api/``) has the documented signatures, defaults and conversions; what
arrives here is converted already: JSON is text, a deadline is seconds, a local file was found
readable. Every asynchronous method ends by its deadline and raises ``OpenIAPError`` only.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from worker.openiap.address import Address
from worker.openiap.callbacks import ConnectionEvents
from worker.openiap.credentials import Credentials
from worker.openiap.replies import Replies
from worker.openiap.types import (
    Capabilities,
    ConnectionOptions,
    ToldChange,
    ToldMessage,
    User,
)
from worker.openiap.workitem import JsonObject, Workitem

LogLevel = Literal["error", "warn", "info", "verbose", "debug", "trace"]
LineListener = Callable[[LogLevel, str], None]
"""Takes the level and the text of a line; called on any thread."""
GaugeKind = Literal["f64", "u64", "i64"]


@dataclass(frozen=True, slots=True)
class Signin:
    """What a sign-in asks for.

    Attributes:
        agent, version: what the server is told about this program.
        validateonly: nothing changes by it.
    """

    credentials: Credentials
    agent: str
    version: str
    longtoken: bool = False
    validateonly: bool = False
    ping: bool = False


class LinkBackend(Protocol):
    """The connection: made, signed in, kept, closed."""

    @property
    def connected(self) -> bool:
        """Signed in, as far as this side knows."""

    @property
    def sign_ins(self) -> int:
        """How many links have been signed in so far; what was registered on another is gone."""

    @property
    def user(self) -> User | None:
        """Who is signed in, or None before the first sign-in."""

    @property
    def credentials(self) -> Credentials:
        """What the present sign-in was made with."""

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last sign of life."""

    async def connect(self, address: Address, credentials: Credentials, seconds: float) -> None:
        """Connect and sign in, from nothing."""

    async def disconnect(self) -> None:
        """Close for good; idempotent."""

    async def signin(self, wanted: Signin, seconds: float) -> tuple[str, User | None]:
        """Sign in (again) and return the token and the user."""

    async def probe(self, seconds: float) -> None:
        """Send the cheapest request that is answered."""


class OperationBackend(Protocol):
    """Requests that have one reply."""

    def call(
        self, operation: str, seconds: float, item_id: str, fields: Mapping[str, Any]
    ) -> Awaitable[Any]:
        """Send a request and return what its reply carries.

        Args:
            operation: the documented name, ``"query"`` for example.
            item_id: the work item or document it is about, for errors.
            fields: the request's fields under the protocol's names; JSON as text.

        Raises:
            Unsupported: this implementation has no such operation.
        """

    def pop_workitem(
        self, wiq: str, wiqid: str, seconds: float, late: Callable[[Workitem], None]
    ) -> Awaitable[Workitem | None]:
        """Take the next due item, or None when there is none.

        Args:
            late: told of an item that comes when nobody waits for it any more.
        """


class FileBackend(Protocol):
    """Stored files."""

    async def upload(
        self,
        path: Path,
        filename: str,
        mimetype: str,
        metadata: str,
        collectionname: str,
        seconds: float,
    ) -> str:
        """Store a local file and return its id."""

    async def fetch(
        self, id: str, part: Path, length: int, collectionname: str, seconds: float
    ) -> None:
        """Write a stored file of ``length`` bytes to ``part``, by whatever way brings it whole."""

    def removal_problem(self, filename: str) -> str:
        """Return why an item's file of this name cannot be removed, or ""."""

    async def close(self) -> None:
        """Let go of what downloads keep open."""


class MessageBackend(Protocol):
    """Message queues, exchanges and watches, with the callbacks that they feed."""

    async def register_queue(self, queue_name: str, callback: ToldMessage, seconds: float) -> str:
        """Receive what is sent to a message queue; returns its name."""

    async def register_exchange(
        self,
        exchange_name: str,
        callback: ToldMessage | None,
        algorithm: str,
        routingkey: str,
        addqueue: bool,
        seconds: float,
    ) -> str:
        """Receive what is sent to an exchange; returns the name of its queue."""

    async def unregister_queue(self, queue_name: str, seconds: float) -> None:
        """Stop receiving."""

    async def register_replies(self, seconds: float) -> str:
        """Register the queue whose messages ``Backend.replies`` takes; returns its name."""

    async def watch(
        self,
        collectionname: str,
        paths: list[str],
        callback: ToldChange | None,
        seconds: float,
    ) -> str:
        """Be told of changes in a collection; returns the watch's id."""

    async def unwatch(self, watchid: str, seconds: float) -> None:
        """End a watch."""


class TelemetryBackend(Protocol):
    """Log lines and gauges."""

    def log(self, level: LogLevel, args: tuple[object, ...]) -> None:
        """Write a log line of the arguments' texts."""

    def export(self, level: LogLevel, line: str) -> None:
        """Pass a line on to the collectors alone."""

    def divert(self, listener: LineListener) -> None:
        """Have a listener take the lines instead of a terminal."""

    def enable_tracing(self, rust_log: str, tracing: str) -> None:
        """Let log lines through."""

    def disable_tracing(self) -> None:
        """Stop log lines."""

    def set_gauge(self, kind: GaugeKind, name: str, value: float, description: str) -> None:
        """Set a gauge."""

    def disable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An implementation: one object per subject, and what they share with the client."""

    capabilities: Capabilities
    options: ConnectionOptions
    link: LinkBackend
    operations: OperationBackend
    files: FileBackend
    messages: MessageBackend
    telemetry: TelemetryBackend
    events: ConnectionEvents
    replies: Replies
