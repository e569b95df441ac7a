"""The link: connects, signs in, restores what was registered, and does it again for ever.

1. The first ``connect`` raises when it fails; after a first success the link reconnects by itself.
2. A fresh connection is the client's only once it is signed in and everything is registered again;
   then ``SignedIn`` is told. Until then calls fail with ``NotConnected`` and nothing is sent.
3. When the connection drops, calls in flight fail at once.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ssl import SSLContext
from typing import Final

from worker.openiap.address import Address
from worker.openiap.backend import Signin
from worker.openiap.callbacks import ConnectionEvents
from worker.openiap.credentials import Credentials, no_guest
from worker.openiap.errors import (
    RATE_WINDOW,
    AccessDenied,
    Disconnected,
    NotConnected,
    OpenIAPError,
    RateLimited,
    RequestTimeout,
    ServerError,
)
from worker.openiap.native.endpoint import endpoint_of, tls_context
from worker.openiap.native.registrations import Registrations
from worker.openiap.native.scope import current_scope
from worker.openiap.native.session import Session
from worker.openiap.native.telemetry import Telemetry
from worker.openiap.native.transport import Times, Transport
from worker.openiap.native.websocket import open_websocket
from worker.openiap.server_info import ServerInfo, read_server_info, trusted
from worker.openiap.types import ConnectionOptions, User
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import JsonObject
from worker.standard_streams import mend_standard_streams

CALLBACK_GRACE: Final = 1.0
"""Seconds for callbacks that still run when the link is closed."""


def waits(
    times: Times, jitter: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Yield the growing, jittered seconds between attempts to connect, without end."""
    most = times.first_wait * 1.5
    while True:
        yield jitter(times.first_wait, min(most, times.longest_wait))
        most = min(most * 2, times.longest_wait)


class Link:
    """One client's connection, across reconnects; also the ``SessionEvents`` of its sessions.

    Args:
        options: where to and as whom.
        times: the seconds that rule it.
        registrations: what is registered again on every connection.
        events: who is told what happens to the connection.
        telemetry: takes the link's log lines, and exports to where the server says.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        times: Times,
        registrations: Registrations,
        events: ConnectionEvents,
        telemetry: Telemetry,
    ) -> None:
        self._options = options
        self._times = times
        self.registrations: Final = registrations
        self._events = events
        self._telemetry = telemetry
        self._address = Address("", "")
        self._refreshed = ""
        self._session: Session | None = None
        self._opening: Session | None = None
        self._dropped: Session | None = None
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._last_heard = time.monotonic()
        self._server = ServerInfo()
        self.sign_ins = 0
        self.user: User | None = None
        self.credentials = Credentials()
        self.token = ""

    # What the calls use

    @property
    def connected(self) -> bool:
        """Signed in and everything registered."""
        return self._session is not None

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last bytes from the server."""
        session = self._session or self._opening
        return session.last_heard if session is not None else self._last_heard

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""
        return self._server.config

    @property
    def web(self) -> str:
        """Where ``/config`` and ``/download`` are."""
        return self._options.http_url.rstrip("/") or self._address.web

    @property
    def verify(self) -> SSLContext | bool:
        """Whom HTTP trusts: the given CA bundle, or True for the system's roots."""
        return trusted(self._options.ca_file)

    def session_for(self, operation: str, item_id: str = "") -> Session:
        """Return the present session.

        Raises:
            NotConnected: there is none, or it is not signed in yet.
        """
        if self._session is None:
            state = "Connecting" if self._opening is not None else "Disconnected"
            raise NotConnected(f"Not connected ( {state} )", operation=operation, item_id=item_id)
        return self._session

    # Opening and closing

    async def connect(self, address: Address, credentials: Credentials, seconds: float) -> None:
        """Connect for the first time and stay connected from then on.

        Raises:
            NotConnected, AccessDenied, RequestTimeout: as ``Client.connect`` says.
        """
        async with self._connecting:
            self._address = address
            self.credentials = credentials
            self._refreshed = ""
            # Beside the connection: a server that answers no HTTP must not keep the sign-in
            # waiting.
            info = asyncio.create_task(self._read_info(), name="openiap config")
            try:
                await self._attempt(seconds)
                self._server = await info
            except ServerError as error:
                raise NotConnected(error.text, operation="connect") from error
            finally:
                info.cancel()
                await asyncio.gather(info, return_exceptions=True)
            self._keeper = asyncio.create_task(self._keep(), name="openiap link")
        self._telemetry.start_export(self._server.config)

    async def disconnect(self) -> None:
        """Close for good; idempotent. No task is left behind."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            if keeper is not asyncio.current_task():
                await asyncio.gather(keeper, return_exceptions=True)
        for session in (self._session, self._opening, self._dropped):
            if session is not None:
                await session.close(self._times.close)
        self._dropped = None
        await self._events.callbacks.stop(CALLBACK_GRACE)
        await self._telemetry.stop_export()

    async def _keep(self) -> None:
        """Wait for the connection to drop and bring it back, for ever."""
        while True:
            await self._down.wait()
            if self._dropped is not None:
                # Its tasks and its channel end before the next one's begin.
                dropped, self._dropped = self._dropped, None
                with suppress(Exception):  # it is gone either way
                    await dropped.close(self._times.close)
            for pause in waits(self._times):
                await asyncio.sleep(pause)
                try:
                    await self._attempt(self._times.attempt)
                except Exception as error:  # whatever it is, who calls is not left without a link
                    said = error.text if isinstance(error, OpenIAPError) else repr(error)
                    self._telemetry.log("warn", (f"OpenIAP cannot be reached: {said}",))
                    continue
                break

    async def _attempt(self, timeout: float) -> None:
        """Make one connection and see it through to the sign-in and what follows it."""
        session = Session(self, silence=self._times.silence)
        self._opening = session
        self._events.tell("Connecting")
        try:
            try:
                async with asyncio.timeout(timeout):
                    session.start(await self._transport(session))
                    self._events.tell("Connected")
                    await self._sign_in(session, timeout)
                    await self._restore(session, timeout)
            except TimeoutError:
                raise RequestTimeout(
                    f"not signed in within {timeout:g} s", operation="connect"
                ) from None
            except Disconnected as error:
                raise NotConnected(error.text, operation="connect") from error
            if session.ended:
                raise NotConnected(session.ended, operation="connect")
        except BaseException as error:
            self._opening = None
            self._last_heard = session.last_heard
            await session.close(self._times.close)
            reason = error.text if isinstance(error, OpenIAPError) else "closed by this side"
            self._events.tell("Disconnected", reason)
            raise
        self._opening = None
        self._session = session
        self.sign_ins += 1
        self._down.clear()
        self._events.tell("SignedIn")

    async def _transport(self, session: Session) -> Transport:
        mend_standard_streams()
        endpoint = endpoint_of(self._address)
        context = tls_context(self._options.ca_file) if endpoint.tls else None
        if endpoint.transport == "grpc":
            # Here and not above: its library is large, and over websockets nobody needs it.
            from worker.openiap.native.grpc import open_grpc

            return await open_grpc(endpoint, session, context)
        return await open_websocket(endpoint, session, context)

    async def _read_info(self) -> ServerInfo:
        try:
            async with asyncio.timeout(self._times.config):
                return await read_server_info(self.web, self.verify)
        except TimeoutError:
            return ServerInfo(silent=True)

    # Signing in

    async def _sign_in(self, session: Session, timeout: float) -> None:
        if self._refreshed and self.credentials.jwt != self._refreshed:
            try:
                await self._signed_in(session, Credentials(jwt=self._refreshed), timeout)
                return
            except (AccessDenied, ServerError):
                # Grown too old while the link was down: back to what was given.
                self._refreshed = ""
        await self._signed_in(session, self.credentials, timeout)

    async def _signed_in(self, session: Session, credentials: Credentials, timeout: float) -> None:
        wanted = Signin(credentials, self._options.agent, self._options.version)
        while True:
            try:
                reply = await session.request(
                    "signin", "signin", _signin_request(wanted), pb.SigninResponse, timeout
                )
                break
            except RateLimited:
                await asyncio.sleep(RATE_WINDOW)
        self.user = no_guest(_user_of(reply))
        self.token = reply.jwt or credentials.jwt

    async def signin(self, wanted: Signin, seconds: float) -> tuple[str, User | None]:
        """Sign in as asked; the next reconnect does the same, unless it was only to validate."""
        reply = await self.session_for("signin").request(
            "signin",
            "signin",
            _signin_request(wanted),
            pb.SigninResponse,
            seconds,
            scope=current_scope(self),
        )
        user = _user_of(reply)
        if not wanted.validateonly:
            self.credentials, self._refreshed = wanted.credentials, ""
            self.token, self.user = reply.jwt, user
        return reply.jwt, user

    async def probe(self, seconds: float) -> None:
        """Send the cheapest request that is answered; raises when it is not."""
        await self.session_for("probe").request(
            "probe",
            "getelement",
            pb.GetElementRequest(),
            pb.GetElementResponse,
            seconds,
            scope=current_scope(self),
        )

    async def fresh_token(self, timeout: float) -> str:
        """Sign in again as the same user and return the new token."""
        await self._signed_in(self.session_for("signin"), self.credentials, timeout)
        return self.token

    async def _restore(self, session: Session, timeout: float) -> None:
        self.registrations.forget_connection()
        while True:
            try:
                await self.registrations.restore(session, timeout)
                return
            except RateLimited:
                await asyncio.sleep(RATE_WINDOW)

    # What a session tells

    def queue_event(self, event: pb.QueueEvent) -> None:
        """Hand a message to its callback."""
        self.registrations.queue_event(event)

    def watch_event(self, event: pb.WatchEvent) -> None:
        """Hand a change to its callback."""
        self.registrations.watch_event(event)

    def token_refreshed(self, jwt: str) -> None:
        """Take the token for the next sign-in."""
        if jwt:
            self._refreshed = self.token = jwt

    def lost(self, session: Session, reason: str) -> None:
        """Reconnect; ``reason`` is told to everyone who waits."""
        if session is not self._session:
            return
        self._session = None
        self._dropped = session
        self._last_heard = session.last_heard
        self.registrations.forget_connection()
        self.registrations.replies.lost(reason)
        self._events.tell("Disconnected", reason)
        self._down.set()


def _signin_request(wanted: Signin) -> pb.SigninRequest:
    """Return the request that signs in with one kind of credentials."""
    credentials = wanted.credentials
    return pb.SigninRequest(
        username="" if credentials.jwt else credentials.username,
        password="" if credentials.jwt else credentials.password,
        jwt=credentials.jwt,
        agent=wanted.agent,
        version=wanted.version,
        longtoken=wanted.longtoken,
        validateonly=wanted.validateonly,
        ping=wanted.ping,
    )


def _user_of(reply: pb.SigninResponse) -> User | None:
    """Return who was signed in, or None when the server does not tell."""
    if not reply.HasField("user"):
        return None
    user = reply.user
    return User(
        user._id, user.name, user.username, user.email, tuple(role.name for role in user.roles)
    )
