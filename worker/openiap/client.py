"""The door to OpenIAP: its documented API as one typed, asynchronous protocol.

Two implementations stand behind it: ``official.py`` over the package ``openiap`` and ``native.py``
over asyncio. Nothing above this room knows which one it talks to, except through ``Capabilities``.

Rules that hold for every asynchronous method:

1. It takes ``timeout`` in seconds (None: the client's ``default_timeout``) and never outlives it.
2. It raises ``worker.openiap.errors.OpenIAPError`` subclasses and nothing else of the link's.
3. JSON goes in and comes out as Python values (dict, list, str, int, float, bool, None).
4. Callbacks may be plain or async functions. They run on the loop that called ``connect``; what
   they raise is logged, never lost and never fatal.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from worker.openiap.types import (
    Capabilities,
    EventCallback,
    FileArgument,
    JsonText,
    Payload,
    QueueCallback,
    UpdateResult,
    User,
    WatchCallback,
)
from worker.openiap.workitem import JsonObject, Workitem, WorkItemQueue


class Client(Protocol):
    """The documented OpenIAP API; see the module's docstring for what holds for every method.

    Attributes:
        on_late_pop: told of an item whose pop nobody waits for any more (its deadline passed, or
            its caller was cancelled): the item is in ``processing`` and has to be handed back.
    """

    on_late_pop: Callable[[Workitem], None] | None

    @property
    def capabilities(self) -> Capabilities:
        """What this implementation can do."""

    @property
    def connected(self) -> bool:
        """Signed in, as far as this side knows."""

    @property
    def user(self) -> User | None:
        """Who is signed in, or None before the first sign-in."""

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last sign of life that this client can see."""

    # The link

    async def connect(self, url: str = "", *, timeout: float | None = None) -> None:
        """Connect and sign in with the options given at construction.

        Args:
            url: instead of the options' URL.

        Raises:
            NotConnected: nobody listens there, or the link broke before the sign-in.
            AccessDenied: wrong credentials, or none (a guest sign-in is refused).
            RequestTimeout: no sign-in within ``timeout`` seconds.
        """

    async def disconnect(self) -> None:
        """Close the link for good; idempotent. No task, thread or callback is left behind."""

    async def signin(
        self,
        username: str = "",
        password: str = "",
        jwt: str = "",
        *,
        agent: str = "",
        version: str = "",
        longtoken: bool = False,
        validateonly: bool = False,
        ping: bool = False,
        timeout: float | None = None,
    ) -> tuple[str, User | None]:
        """Sign in (again) and return the token and the user."""

    async def probe(self, *, timeout: float | None = None) -> None:
        """Send the cheapest request that is answered; raises when it is not."""

    def on_client_event(self, callback: EventCallback) -> str:
        """Call ``callback`` on every connection event; returns an id for ``off_client_event``.

        ``SignedIn`` is told exactly once per sign-in. One that happened before this call is not
        told again: look at ``connected``.
        """

    def off_client_event(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""

    # Documents

    async def list_collections(
        self, includehist: bool = False, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the collections as the server describes them."""

    async def create_collection(
        self,
        collectionname: str,
        *,
        collation: JsonObject | None = None,
        timeseries: JsonObject | None = None,
        expire_after_seconds: int = 0,
        change_stream_pre_and_post_images: bool = False,
        capped: bool = False,
        max: int = 0,
        size: int = 0,
        timeout: float | None = None,
    ) -> None:
        """Create a collection."""

    async def drop_collection(self, collectionname: str, *, timeout: float | None = None) -> None:
        """Delete a collection and what is in it."""

    async def get_indexes(
        self, collectionname: str, *, timeout: float | None = None
    ) -> list[JsonObject]:
        """Return the indexes of a collection."""

    async def create_index(
        self,
        collectionname: str,
        index: JsonText,
        options: JsonText | None = None,
        name: str = "",
        *,
        timeout: float | None = None,
    ) -> str:
        """Create an index, for example ``{"name": 1}``; returns what the server answers."""

    async def drop_index(
        self, collectionname: str, name: str, *, timeout: float | None = None
    ) -> None:
        """Delete an index by name."""

    async def query(
        self,
        collectionname: str,
        query: JsonText | None = None,
        projection: JsonText | None = None,
        orderby: JsonText | None = None,
        queryas: str = "",
        explain: bool = False,
        skip: int = 0,
        top: int = 100,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Return the documents that match.

        JSON strings that look like ISO dates are compared as dates (server.md, Documents).
        """

    async def aggregate(
        self,
        collectionname: str,
        aggregates: JsonText,
        queryas: str = "",
        hint: str = "",
        explain: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Run an aggregation pipeline."""

    async def count(
        self,
        collectionname: str,
        query: JsonText | None = None,
        queryas: str = "",
        explain: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Return how many documents match."""

    async def distinct(
        self,
        collectionname: str,
        field: str,
        query: JsonText | None = None,
        queryas: str = "",
        explain: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[str]:
        """Return the distinct values of a field, as the text that the protocol carries."""

    async def insert_one(
        self,
        collectionname: str,
        item: JsonText,
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Insert a document and return it as stored.

        Raises:
            DuplicateKey: a document with that ``_id`` (or unique value) exists.
        """

    async def insert_many(
        self,
        collectionname: str,
        items: Sequence[JsonObject] | str,
        w: int = 1,
        j: bool = False,
        skipresults: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Insert documents and return them as stored ([] with ``skipresults``)."""

    async def update_one(
        self,
        collectionname: str,
        item: JsonText,
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Replace the whole document with the same ``_id``."""

    async def update_document(
        self,
        collectionname: str,
        query: JsonText,
        document: JsonText,
        *,
        timeout: float | None = None,
    ) -> UpdateResult:
        """Apply ``{"$set": …}`` to what matches, in one atomic step (server.md, the one fence).

        Raises:
            Unsupported: the official library has no such call.
        """

    async def insert_or_update_one(
        self,
        collectionname: str,
        item: JsonText,
        uniqeness: str = "_id",
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> JsonObject:
        """Insert, or replace the document with the same values in the ``uniqeness`` fields."""

    async def insert_or_update_many(
        self,
        collectionname: str,
        items: Sequence[JsonObject] | str,
        uniqeness: str = "_id",
        skipresults: bool = False,
        w: int = 1,
        j: bool = False,
        *,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """Like ``insert_or_update_one`` for several documents."""

    async def delete_one(
        self,
        collectionname: str,
        id: str,
        recursive: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete a document by ``_id``; returns how many were deleted."""

    async def delete_many(
        self,
        collectionname: str,
        query: JsonText | None = None,
        ids: Sequence[str] = (),
        recursive: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Delete what matches, or what has one of the ids; returns how many were deleted."""

    # Files

    async def upload(
        self,
        filepath: str | Path,
        filename: str = "",
        mimetype: str = "",
        metadata: JsonText | None = None,
        collectionname: str = "fs.files",
        *,
        timeout: float | None = None,
    ) -> str:
        """Store a local file and return its id.

        Raises:
            FileTransferError: the local file is missing or unreadable; nothing was sent.
        """

    async def download(
        self,
        id: str,
        folder: str | Path,
        filename: str = "",
        collectionname: str = "fs.files",
        *,
        timeout: float | None = None,
    ) -> Path:
        """Fetch a stored file whole into ``folder`` and return its path.

        The length is compared with what is stored; the file appears under its name only when it is
        whole. ``filename`` replaces the stored name.

        Raises:
            FileTransferError: unknown file, unsafe name, or a length that is not the stored one.
        """

    # Work items

    async def push_workitem(
        self,
        wiq: str = "",
        payload: Payload = None,
        *,
        wiqid: str = "",
        name: str = "",
        nextrun: datetime | None = None,
        priority: int = 2,
        files: Sequence[FileArgument] = (),
        success_wiqid: str = "",
        failed_wiqid: str = "",
        success_wiq: str = "",
        failed_wiq: str = "",
        timeout: float | None = None,
    ) -> Workitem:
        """Add an item to a queue and return it as stored.

        Raises:
            QueueNotFound: no such queue, or no rights.
            FileTransferError: a file is missing; nothing was pushed.
        """

    async def push_workitems(
        self,
        wiq: str,
        items: Sequence[Workitem],
        *,
        wiqid: str = "",
        nextrun: datetime | None = None,
        priority: int = 2,
        timeout: float | None = None,
    ) -> list[Workitem]:
        """Add many items in one message.

        Raises:
            Unsupported: the official library has no such call.
        """

    async def pop_workitem(
        self,
        wiq: str = "",
        *,
        wiqid: str = "",
        downloadfolder: str | Path | None = None,
        timeout: float | None = None,
    ) -> Workitem | None:
        """Take the next due item, or None when there is none.

        Args:
            downloadfolder: where the item's files go, each whole and under a safe name; None
                leaves them on the server.
        """

    async def update_workitem(
        self,
        workitem: Workitem,
        files: Sequence[FileArgument] = (),
        ignoremaxretries: bool = False,
        *,
        timeout: float | None = None,
    ) -> Workitem:
        """Write an item back and return it as stored.

        ``files``: paths are uploaded first; ``WorkitemFile(filename, id)`` attaches a stored file,
        ``WorkitemFile(filename)`` removes that file from the item. A ``nextrun`` travels only where
        ``capabilities.nextrun_on_update`` says so; elsewhere it is left out.

        Raises:
            ItemNotFound: deleted, or no rights.
        """

    async def delete_workitem(self, id: str, *, timeout: float | None = None) -> None:
        """Delete an item and its files."""

    async def add_workitem_queue(
        self, queue: WorkItemQueue, *, skiprole: bool = True, timeout: float | None = None
    ) -> WorkItemQueue:
        """Create a queue.

        Raises:
            Unsupported: the official library has no such call.
        """

    async def update_workitem_queue(
        self,
        queue: WorkItemQueue,
        *,
        skiprole: bool = True,
        purge: bool = False,
        timeout: float | None = None,
    ) -> WorkItemQueue:
        """Change a queue; ``purge`` deletes its items."""

    async def delete_workitem_queue(
        self, wiq: str = "", *, wiqid: str = "", purge: bool = False, timeout: float | None = None
    ) -> None:
        """Delete a queue; ``purge`` deletes its items too."""

    # Message queues, exchanges, watches

    async def register_queue(
        self, queue_name: str, callback: QueueCallback, *, timeout: float | None = None
    ) -> str:
        """Receive what is sent to a message queue; returns its name ("" makes one up).

        A result of the callback other than None is sent back to the message's ``replyto``. Lost
        with the link: register again after every sign-in.
        """

    async def register_exchange(
        self,
        exchange_name: str,
        callback: QueueCallback | None = None,
        *,
        algorithm: Literal["direct", "fanout", "topic", "header"] = "fanout",
        routingkey: str = "",
        addqueue: bool = True,
        timeout: float | None = None,
    ) -> str:
        """Receive what is sent to an exchange; returns the name of the queue made for it."""

    async def unregister_queue(self, queue_name: str, *, timeout: float | None = None) -> None:
        """Stop receiving."""

    async def queue_message(
        self,
        data: Payload,
        queue_name: str = "",
        *,
        exchange_name: str = "",
        routingkey: str = "",
        replyto: str = "",
        correlation_id: str = "",
        striptoken: bool = False,
        expiration: int = 0,
        timeout: float | None = None,
    ) -> None:
        """Send a message to a queue or an exchange; ``expiration`` in milliseconds."""

    async def rpc(
        self,
        data: Payload,
        queue_name: str = "",
        *,
        exchange_name: str = "",
        routingkey: str = "",
        striptoken: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Send a message and wait for its answer."""

    async def watch(
        self,
        collectionname: str,
        paths: Sequence[str] = (),
        callback: WatchCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Be told of changes in a collection; returns the watch's id. Lost with the link."""

    async def unwatch(self, watchid: str, *, timeout: float | None = None) -> None:
        """End a watch."""

    async def custom_command(
        self,
        command: str,
        id: str = "",
        name: str = "",
        data: Payload = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Run a command of the server's by name."""

    # Small things of the documented API

    def uniqeid(self) -> str:
        """Return a fresh id."""

    def format_bytes(self, bytes: int, decimals: int = 2) -> str:
        """Return a size for people: ``format_bytes(1536)`` is "1.5 KB"."""

    def stringify(self, value: Any) -> str:
        """Return JSON text; dates as ISO, models as their JSON."""

    # Gauges and log

    def set_f64_observable_gauge(self, name: str, value: float, description: str) -> None:
        """Set a gauge; a name's type is fixed by its first setter."""

    def set_u64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge of non-negative integers."""

    def set_i64_observable_gauge(self, name: str, value: int, description: str) -> None:
        """Set a gauge of integers."""

    def disable_observable_gauge(self, name: str) -> None:
        """Stop reporting a gauge."""

    def enable_tracing(self, rust_log: str = "", tracing: str = "") -> None:
        """Let log lines through: a level ("info") or the Rust library's filter expression."""

    def disable_tracing(self) -> None:
        """Stop log lines."""

    def info(self, *args: object) -> None:
        """Log at level info."""

    def warn(self, *args: object) -> None:
        """Log at level warn."""

    def error(self, *args: object) -> None:
        """Log at level error."""

    def verbose(self, *args: object) -> None:
        """Log at level verbose (between info and debug where the client knows it)."""

    def debug(self, *args: object) -> None:
        """Log at level debug."""

    def trace(self, *args: object) -> None:
        """Log at level trace."""
