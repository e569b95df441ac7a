"""The link's side of the official client: connect, sign in, stay signed in, call, disconnect."""

import asyncio
import inspect
import time
from collections.abc import Callable
from ctypes import Structure
from ssl import SSLContext
from typing import Any, Final
from uuid import uuid4

from worker.openiap.address import Address, parse_address
from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    ItemNotFound,
    NotConnected,
    OpenIAPError,
    QueueNotFound,
    RequestTimeout,
    ServerError,
    error_from_text,
)
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.functions import NativeFunction
from worker.openiap.official.items import native_text
from worker.openiap.official.library import EventRoute, Library, load_library
from worker.openiap.official.link import Credentials, Expired, Link, Refused, Waiting
from worker.openiap.official.platform import metric_url_from_environment
from worker.openiap.official.telemetry import OfficialTelemetry
from worker.openiap.server_info import ServerInfo, reachable, read_server_info, trusted
from worker.openiap.threads import Lane
from worker.openiap.types import (
    Capabilities,
    ClientEvent,
    ConnectionOptions,
    EventCallback,
    EventName,
    User,
)
from worker.openiap.workitem import JsonObject

RETRY_MIN: Final = 0.5
RETRY_MAX: Final = 30.0
NO_CREDENTIALS: Final = (
    "no credentials: neither a username with a password nor a jwt is set, and OpenIAP would sign "
    "in as guest, who may not work on items"
)
GUEST: Final = "the server signed in as guest, who may not work on items: check the credentials"


class OfficialConnection(OfficialTelemetry):
    """What the rooms of the official client stand on; see ``worker.openiap.client.Client``."""

    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__()
        self._options = options
        self._link: Link | None = None
        self._lane = Lane()
        self._user: User | None = None
        self._jwt = ""
        self._credentials = Credentials()
        self._address = Address("", "")
        self._server = ServerInfo()
        self._last_heard = 0.0
        self._sign_in_problem = ""
        self._event_callbacks: dict[str, EventCallback] = {}
        self._waiting: set[Waiting] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def capabilities(self) -> Capabilities:
        """What this implementation can do: the common ground only."""
        return Capabilities(name="official")

    @property
    def connected(self) -> bool:
        """Signed in, as far as this side knows."""
        return self._link is not None and self._link.signed_in

    @property
    def user(self) -> User | None:
        """Who is signed in, or None before the first sign-in."""
        return self._user

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""
        return self._server.config

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last answer or event; the server's pings are not seen."""
        return self._link.last_heard if self._link is not None else self._last_heard

    async def connect(self, url: str = "", *, timeout: float | None = None) -> None:
        """Connect and sign in with the options given at construction.

        Args:
            url: instead of the options' URL.

        Raises:
            NotConnected: nobody listens there, or the link broke before the sign-in.
            AccessDenied: wrong credentials, or none (a guest sign-in is refused).
            RequestTimeout: no sign-in within ``timeout`` seconds.
            Unsupported: there is no library for this platform.
        """
        seconds = self._seconds(timeout)
        address = parse_address(url or self._options.url)
        credentials = self._given(address)
        if not credentials:
            raise AccessDenied(NO_CREDENTIALS, operation="connect")
        if self._link is not None:
            await self.disconnect()
        self._lane = Lane()
        try:
            async with asyncio.timeout(seconds):
                await self._connect(address, credentials, seconds)
        except BaseException as error:
            await self._abandon()
            if isinstance(error, TimeoutError):
                raise RequestTimeout(
                    f"not signed in within {seconds:g} s", operation="connect"
                ) from None
            if isinstance(error, ServerError):
                raise NotConnected(error.text, operation="connect") from None
            raise
        self._tell("SignedIn")

    async def _connect(self, address: Address, credentials: Credentials, seconds: float) -> None:
        self._address = address
        self._tell("Connecting")
        # A native client costs threads that are never given back: none for a server that is away.
        await reachable(address)
        self._server = await read_server_info(self._web(), self._verify())
        if self._server.silent and address.link.startswith("ws"):
            # The library would wait for its handshake on the same port for ever.
            raise NotConnected(f"{address.link} does not answer", operation="connect")
        self._metrics = self._server.metrics(
            self._options.metric_url or metric_url_from_environment()
        )
        library = await self._lane.run(self._load)
        link = self._link = Link(
            library, address.link, self._options.agent, self._options.version, self._on_link_event
        )
        try:
            await self._lane.run(lambda: link.open(seconds))
        except NotConnected as error:
            raise NotConnected(_plain(error.text), operation="connect") from None
        self._tell("Connected")
        await self._sign_in(link, credentials, seconds)

    async def disconnect(self) -> None:
        """Close the link for good; idempotent.

        Callbacks and tasks end here. The library's own threads idle on, as it has no way to end
        them; a later connection to the same address uses them again.
        """
        link, self._link = self._link, None
        if link is None:
            return
        was_signed_in = link.signed_in
        self._last_heard = link.last_heard
        link.up = link.signed_in = False
        for waiting in tuple(self._waiting):
            waiting.fail(Disconnected("closed by this side"))
        self._forget_subscriptions()
        # Not on the lane: its threads may all wait for what only the closing ends.
        closer = Lane("openiap-close")
        await closer.run(link.close)
        closer.close()
        self._lane.close()
        if was_signed_in:
            self._tell("Disconnected", "closed by this side")
        # Callbacks that are told of the end may take one turn of the loop.
        await asyncio.sleep(0)
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        await self._close_web()

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
        """Sign in (again) and return the token and the user.

        Without arguments the present credentials are used. With ``validateonly`` nothing changes
        and the user is None, as the library does not tell it.

        Raises:
            AccessDenied: wrong credentials.
        """
        link = self._open_link("signin")
        given = Credentials(username, password, jwt)
        credentials = given or self._credentials
        token = await self._ask_signin(
            link, credentials, timeout, agent, version, longtoken, validateonly, ping
        )
        if validateonly:
            return token, None
        self._jwt, self._credentials = token, credentials
        self._user = link.user()
        return token, self._user

    async def probe(self, *, timeout: float | None = None) -> None:
        """Send the cheapest request that is answered; raises when it is not.

        A refusal is an answer.
        """
        request = abi.CountRequest(collectionname=b"users", query=b'{"_id":"-"}')
        try:
            await self._call(functions.COUNT, request, operation="probe", timeout=timeout)
        except (NotConnected, Disconnected, RequestTimeout):
            raise
        except OpenIAPError:
            return

    def on_client_event(self, callback: EventCallback) -> str:
        """Call ``callback`` on every connection event; returns an id for ``off_client_event``."""
        eventid = uuid4().hex
        self._event_callbacks[eventid] = callback
        return eventid

    def off_client_event(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        self._event_callbacks.pop(eventid, None)

    # What the other rooms use

    async def _call(
        self,
        function: NativeFunction,
        *arguments: Any,
        operation: str,
        timeout: float | None,
        item_id: str = "",
        late: Callable[[Any], None] | None = None,
        tail: tuple[Any, ...] = (),
        events: EventRoute | None = None,
    ) -> Any:
        """Start a native call and wait for its answer until the deadline.

        Args:
            late: told of a value that comes when nobody waits for it any more.
            events: told of the events that the call asks for, on the library's threads.
        """
        link = self._signed_in_link(operation, item_id)
        waiting = Waiting(link, late)
        link.library.start(function, waiting, *arguments, tail=tail, events=events)
        return await self._answer(link, waiting, operation, timeout, item_id)

    async def _answer(
        self, link: Link, waiting: Waiting, operation: str, timeout: float | None, item_id: str
    ) -> Any:
        seconds = self._seconds(timeout)
        self._waiting.add(waiting)
        deadline = waiting.expire_after(seconds)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            waiting.salvage()
            raise
        except Expired:
            raise RequestTimeout(
                f"no answer within {seconds:g} s", operation=operation, item_id=item_id
            ) from None
        except Refused as refused:
            raise self._typed(link, waiting, refused.text, operation, item_id) from None
        except Disconnected as error:
            raise Disconnected(error.text, operation=operation, item_id=item_id) from None
        finally:
            deadline.cancel()
            self._waiting.discard(waiting)

    def _typed(
        self, link: Link, waiting: Waiting, text: str, operation: str, item_id: str
    ) -> OpenIAPError:
        error = error_from_text(text, operation=operation, item_id=item_id)
        if isinstance(error, NotConnected | Disconnected | RequestTimeout):
            return error
        if isinstance(error, AccessDenied | QueueNotFound | ItemNotFound) and (
            waiting.epoch != link.epoch
        ):
            # Asked across a reconnect: the library was a guest again, who is told no such thing
            # exists. The call was refused, so it was not executed.
            return NotConnected(
                f"asked while signing in again: {error.text}", operation=operation, item_id=item_id
            )
        link.last_heard = time.monotonic()
        return error

    async def _blocking(
        self, call: Callable[[Link], Any], *, operation: str, timeout: float | None
    ) -> Any:
        """Run a function that blocks its thread, and wait for it until the deadline.

        Args:
            call: makes the native call; the ``Refused`` that it raises becomes a typed error.
        """
        link = self._signed_in_link(operation)
        seconds = self._seconds(timeout)
        epoch = link.epoch
        try:
            async with asyncio.timeout(seconds):
                return await self._lane.run(lambda: call(link))
        except TimeoutError:
            raise RequestTimeout(f"no answer within {seconds:g} s", operation=operation) from None
        except Refused as refused:
            waiting = Waiting(link)
            waiting.epoch = epoch
            waiting.future.cancel()
            raise self._typed(link, waiting, refused.text, operation, "") from None

    def _open_link(self, operation: str) -> Link:
        link = self._link
        if link is None or not link.up:
            raise NotConnected("not connected", operation=operation)
        return link

    def _signed_in_link(self, operation: str, item_id: str = "") -> Link:
        link = self._link
        if link is None or not link.signed_in:
            why = f" ({self._sign_in_problem})" if link and self._sign_in_problem else ""
            raise NotConnected(f"not signed in{why}", operation=operation, item_id=item_id)
        return link

    def _seconds(self, timeout: float | None) -> float:
        return self._options.default_timeout if timeout is None else timeout

    def _run(self, work: Any, what: str) -> None:
        """Let a callback's coroutine run on the loop; what it raises is logged."""
        if not inspect.isawaitable(work):
            return
        task = asyncio.ensure_future(self._guarded(work, what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Any, what: str) -> None:
        try:
            await work
        except Exception as error:
            self.error(f"{what} raised {error!r}")

    def _tell(self, event: EventName, reason: str = "") -> None:
        told = ClientEvent(event, reason)
        for callback in tuple(self._event_callbacks.values()):
            try:
                self._run(callback(told), f"the callback for the event {event}")
            except Exception as error:
                self.error(f"the callback for the event {event} raised {error!r}")

    def _web(self) -> str:
        """Return where ``/config`` and ``/download`` are."""
        return self._options.http_url.rstrip("/") or self._address.web

    def _verify(self) -> SSLContext | bool:
        return trusted(self._options.ca_file)

    # Signing in

    def _given(self, address: Address) -> Credentials:
        options = self._options
        given = Credentials(options.username, options.password, options.jwt)
        return given or Credentials(address.username, address.password)

    async def _sign_in(self, link: Link, credentials: Credentials, timeout: float | None) -> None:
        """Sign in on the present connection of ``link`` and note it."""
        connected_as = link.epoch
        token = await self._ask_signin(link, credentials, timeout)
        user = link.user()
        if user is None or user.username.lower() == "guest":
            raise AccessDenied(GUEST, operation="signin")
        if not link.up or link.epoch != connected_as:
            raise Disconnected("the link dropped during the sign-in", operation="signin")
        self._jwt, self._credentials, self._user = token, credentials, user
        self._sign_in_problem = ""
        link.mark_signed_in()

    async def _ask_signin(
        self,
        link: Link,
        credentials: Credentials,
        timeout: float | None,
        agent: str = "",
        version: str = "",
        longtoken: bool = False,
        validateonly: bool = False,
        ping: bool = False,
    ) -> str:
        request = abi.SigninRequest(
            username=native_text("" if credentials.jwt else credentials.username),
            password=native_text("" if credentials.jwt else credentials.password),
            jwt=native_text(credentials.jwt),
            agent=native_text(agent or self._options.agent),
            version=native_text(version or self._options.version),
            longtoken=longtoken,
            validateonly=validateonly,
            ping=ping,
        )
        waiting = Waiting(link)
        # This one function sleeps 2 s on the thread that calls it; the answer does not wait.
        self._lane.submit(_starter(link.library, waiting, request), _ignore)
        token: str = await self._answer(link, waiting, "signin", timeout, "")
        return token

    def _on_link_event(self, link: Link, event: str, reason: str) -> None:
        if link is not self._link:
            return
        if event == "Disconnected":
            link.be_patient(self._options.default_timeout)
            self._forget_subscriptions()
            self._tell("Disconnected", reason)
        elif event == "Connecting":
            self._tell("Connecting")
        elif event == "Connected":
            self._tell("Connected")
            self._run(self._sign_in_again(link), "signing in again")

    async def _sign_in_again(self, link: Link) -> None:
        wait = RETRY_MIN
        connected_as = link.epoch
        while link is self._link and link.up and not link.signed_in:
            try:
                await self._sign_in(link, self._credentials, None)
            except OpenIAPError as error:
                self._sign_in_problem = error.text
                if link.epoch != connected_as or not link.up:
                    return
                self.error(f"signing in again failed: {error}")
                await asyncio.sleep(wait)
                wait = min(RETRY_MAX, wait * 2)
            else:
                self._tell("SignedIn")

    async def _abandon(self) -> None:
        """Drop a connection that did not come about, without waiting for it."""
        link, self._link = self._link, None
        if link is not None:
            self._last_heard = link.last_heard
            self._lane.submit(link.close, _ignore)
        self._lane.close()
        await self._close_web()

    def _load(self) -> Library:
        return load_library(
            vendor_telemetry=self._options.vendor_telemetry, metric_url=self._options.metric_url
        )

    # Filled in by the other rooms

    def _forget_subscriptions(self) -> None:
        """Drop what is lost with the link: queues, exchanges, watches."""

    async def _close_web(self) -> None:
        """Close what was opened for files over HTTP."""


def _starter(library: Library, waiting: Waiting, request: Structure) -> Callable[[], int]:
    return lambda: library.start(functions.SIGNIN, waiting, request)


def _ignore(value: Any, error: BaseException | None) -> None:
    return


def _plain(text: str) -> str:
    return error_from_text(text).text
