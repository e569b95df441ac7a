"""The link's side of the official client: connect, sign in, stay signed in, disconnect.

After each reconnect that the library makes by itself it is a guest, so it is signed in again.
"""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Final, TypeVar

from worker.openiap.address import Address
from worker.openiap.backend import Signin
from worker.openiap.callbacks import ConnectionEvents
from worker.openiap.credentials import Credentials, no_guest
from worker.openiap.errors import (
    Disconnected,
    NotConnected,
    OpenIAPError,
    RequestTimeout,
    ServerError,
    error_from_text,
)
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.items import native_text
from worker.openiap.official.library_client import LibraryClient, Refused
from worker.openiap.official.pending_call import PendingCall, typed_error
from worker.openiap.official.platform import metric_url_from_environment
from worker.openiap.official.subscriptions import Subscriptions
from worker.openiap.official.telemetry import Telemetry
from worker.openiap.server_info import ServerInfo, reachable, read_server_info, trusted
from worker.openiap.threads import DaemonThreads
from worker.openiap.types import ConnectionOptions, User
from worker.openiap.workitem import JsonObject
from worker.standard_streams import mend_standard_streams

RETRY_MIN: Final = 0.5
RETRY_MAX: Final = 30.0
"""Seconds between attempts to sign in again."""

T = TypeVar("T")


class Link:
    """One client's connection; a ``LinkBackend``.

    Args:
        options: where to and as whom.
        subscriptions: what is lost with the connection.
        events: who is told what happens to it.
        telemetry: has the library, and is told whether gauges go anywhere.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        subscriptions: Subscriptions,
        events: ConnectionEvents,
        telemetry: Telemetry,
    ) -> None:
        self.options: Final = options
        self._subscriptions = subscriptions
        self._events = events
        self._telemetry = telemetry
        self._client: LibraryClient | None = None
        self._threads = DaemonThreads()
        self._address = Address("", "")
        self._server = ServerInfo()
        self._last_heard = 0.0
        self._sign_in_problem = ""
        self.sign_ins = 0
        self.user: User | None = None
        self.credentials = Credentials()
        self.token = ""

    @property
    def connected(self) -> bool:
        """Signed in, as far as this side knows."""
        return self._client is not None and self._client.signed_in

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""
        return self._server.config

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last answer or event; the server's pings are not seen."""
        return self._client.last_heard if self._client is not None else self._last_heard

    @property
    def web(self) -> str:
        """Where ``/config`` and ``/download`` are."""
        return self.options.http_url.rstrip("/") or self._address.web

    @property
    def verify(self) -> SSLContext | bool:
        """Whom HTTP trusts: the given CA bundle, or True for the system's roots."""
        return trusted(self.options.ca_file)

    def signed_in(self, operation: str, item_id: str = "") -> LibraryClient:
        """Return the library's client.

        Raises:
            NotConnected: there is none, or it is not signed in.
        """
        client = self._client
        if client is None or not client.signed_in:
            why = f" ({self._sign_in_problem})" if client and self._sign_in_problem else ""
            raise NotConnected(f"not signed in{why}", operation=operation, item_id=item_id)
        return client

    async def blocking(
        self, call: Callable[[LibraryClient], T], operation: str, seconds: float
    ) -> T:
        """Run a function that blocks its thread, and wait for it until the deadline.

        Args:
            call: makes the native call; the ``Refused`` that it raises becomes a typed error.
        """
        client = self.signed_in(operation)
        epoch = client.epoch
        try:
            async with asyncio.timeout(seconds):
                return await self._threads.run(lambda: call(client))
        except TimeoutError:
            raise RequestTimeout(f"no answer within {seconds:g} s", operation=operation) from None
        except Refused as refused:
            raise typed_error(client, epoch, refused, operation) from None

    # Opening and closing

    async def connect(self, address: Address, credentials: Credentials, seconds: float) -> None:
        """Connect and sign in.

        Raises:
            NotConnected, AccessDenied, RequestTimeout, Unsupported: as ``Client.connect`` says.
        """
        mend_standard_streams()
        self._threads = DaemonThreads()
        try:
            async with asyncio.timeout(seconds):
                await self._connect(address, credentials, seconds)
        except BaseException as error:
            self._abandon()
            if isinstance(error, TimeoutError):
                raise RequestTimeout(
                    f"not signed in within {seconds:g} s", operation="connect"
                ) from None
            if isinstance(error, ServerError):
                raise NotConnected(error.text, operation="connect") from None
            raise
        self._events.tell("SignedIn")

    async def _connect(self, address: Address, credentials: Credentials, seconds: float) -> None:
        self._address = address
        self._events.tell("Connecting")
        # A native client costs threads that are never given back: none for a server that is away.
        await reachable(address)
        self._server = await read_server_info(self.web, self.verify)
        if self._server.silent and address.link.startswith("ws"):
            # The library would wait for its handshake on the same port for ever.
            raise NotConnected(f"{address.link} does not answer", operation="connect")
        self._telemetry.exporting = self._server.metrics(
            self.options.metric_url or metric_url_from_environment()
        )
        library = await self._threads.run(self._telemetry.library)
        client = self._client = LibraryClient(
            library, address.link, self.options.agent, self.options.version, self._on_event
        )
        try:
            await self._threads.run(lambda: client.open(seconds))
        except NotConnected as error:
            plain = error_from_text(error.text).text
            raise NotConnected(plain, operation="connect") from None
        self._events.tell("Connected")
        await self._sign_in(client, credentials, seconds)

    def _abandon(self) -> None:
        """Drop a connection that did not come about, without waiting for it."""
        client, self._client = self._client, None
        if client is not None:
            self._last_heard = client.last_heard
            self._threads.submit(client.close, _ignore)
        self._threads.close()

    async def disconnect(self) -> None:
        """Close for good; idempotent."""
        client, self._client = self._client, None
        if client is None:
            return
        was_signed_in = client.signed_in
        self._last_heard = client.last_heard
        client.up = client.signed_in = False
        for call in tuple(client.in_flight):
            call.fail(Disconnected("closed by this side"))
        self._subscriptions.forget()
        # Not on the link's threads: they may all wait for what only the closing ends.
        closer = DaemonThreads("openiap-close")
        await closer.run(client.close)
        closer.close()
        self._threads.close()
        if was_signed_in:
            self._events.tell("Disconnected", "closed by this side")
        # What it told may take a turn of the loop; callbacks that want more are cancelled.
        await self._events.callbacks.stop(0)

    # Signing in

    async def signin(self, wanted: Signin, seconds: float) -> tuple[str, User | None]:
        """Sign in as asked; the library does not tell who was only validated."""
        client = self._client
        if client is None or not client.up:
            raise NotConnected("not connected", operation="signin")
        token = await self._ask(client, wanted, seconds)
        if wanted.validateonly:
            return token, None
        self.token, self.credentials = token, wanted.credentials
        self.user = client.user()
        return token, self.user

    async def fresh_token(self, seconds: float) -> str:
        """Sign in again as the same user and return the new token."""
        wanted = Signin(self.credentials, self.options.agent, self.options.version)
        await self.signin(wanted, seconds)
        return self.token

    async def probe(self, seconds: float) -> None:
        """Send the cheapest request that is answered; a refusal is an answer."""
        call = PendingCall(self.signed_in("probe"))
        call.start(functions.COUNT, abi.CountRequest(collectionname=b"users", query=b'{"_id":"-"}'))
        try:
            await call.answer("probe", seconds)
        except (NotConnected, Disconnected, RequestTimeout):
            raise
        except OpenIAPError:
            return

    async def _sign_in(
        self, client: LibraryClient, credentials: Credentials, seconds: float
    ) -> None:
        """Sign in on the present connection of ``client`` and note it."""
        connected_as = client.epoch
        wanted = Signin(credentials, self.options.agent, self.options.version)
        token = await self._ask(client, wanted, seconds)
        user = no_guest(client.user())
        if not client.up or client.epoch != connected_as:
            raise Disconnected("the link dropped during the sign-in", operation="signin")
        self.token, self.credentials, self.user = token, credentials, user
        self._sign_in_problem = ""
        self.sign_ins += 1
        client.mark_signed_in()

    async def _ask(self, client: LibraryClient, wanted: Signin, seconds: float) -> str:
        credentials = wanted.credentials
        request = abi.SigninRequest(
            username=native_text("" if credentials.jwt else credentials.username),
            password=native_text("" if credentials.jwt else credentials.password),
            jwt=native_text(credentials.jwt),
            agent=native_text(wanted.agent),
            version=native_text(wanted.version),
            longtoken=wanted.longtoken,
            validateonly=wanted.validateonly,
            ping=wanted.ping,
        )
        call = PendingCall(client)
        # This one function sleeps 2 s on the thread that calls it; the answer does not wait.
        self._threads.submit(lambda: call.start(functions.SIGNIN, request), _ignore)
        token: str = await call.answer("signin", seconds)
        return token

    def _on_event(self, client: LibraryClient, event: str, reason: str) -> None:
        if client is not self._client:
            return
        if event == "Disconnected":
            client.set_timeout(self.options.default_timeout)
            self._subscriptions.forget()
            self._events.tell("Disconnected", reason)
        elif event == "Connecting":
            self._events.tell("Connecting")
        elif event == "Connected":
            self._events.tell("Connected")
            self._events.callbacks.run("signing in again", self._sign_in_again, client)

    async def _sign_in_again(self, client: LibraryClient) -> None:
        wait = RETRY_MIN
        connected_as = client.epoch
        while client is self._client and client.up and not client.signed_in:
            try:
                await self._sign_in(client, self.credentials, self.options.default_timeout)
            except OpenIAPError as error:
                self._sign_in_problem = error.text
                if client.epoch != connected_as or not client.up:
                    return
                self._telemetry.report(f"signing in again failed: {error}")
                await asyncio.sleep(wait)
                wait = min(RETRY_MAX, wait * 2)
            else:
                self._events.tell("SignedIn")


def _ignore(value: Any, error: BaseException | None) -> None:
    """Nobody waits for that."""
