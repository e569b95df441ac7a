"""The door over asyncio: websockets or gRPC and protobuf, without the official library.

Its rooms, each adding a part of the API to the one before: ``caller`` (one way to send a request),
``collections``, ``documents``, ``files`` with ``streams``, ``workitems``, ``messages``; beside them
``telemetry`` with ``journal``, ``gauges`` and ``otlp``. Below: ``link`` (the connection across
reconnects, with ``registrations`` and ``callbacks``), ``session`` (one connection), ``websocket``
and ``grpc``.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO
from uuid import uuid4

from worker.openiap.address import parse_address
from worker.openiap.errors import OpenIAPError
from worker.openiap.native.callbacks import Callbacks
from worker.openiap.native.link import Credentials, Link, signin_request, user_of
from worker.openiap.native.messages import Answers, MessageCalls
from worker.openiap.native.registrations import Registrations
from worker.openiap.native.scope import entered
from worker.openiap.native.telemetry import Telemetry
from worker.openiap.native.transport import Times
from worker.openiap.types import Capabilities, ClientEvent, ConnectionOptions, EventCallback, User
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import JsonObject

CAPABILITIES: Final = Capabilities(
    name="native",
    conditional_updates=True,
    nextrun_on_update=True,
    bulk_push=True,
    queue_administration=True,
    lazy_files=True,
)
_CALLBACK_GRACE: Final = 1.0
"""Seconds for callbacks that still run when the client is closed."""


class NativeClient(MessageCalls, Telemetry):
    """A connection to OpenIAP; see ``worker.openiap.client.Client``.

    It reconnects by itself once ``connect`` has succeeded, and registers queues, exchanges and
    watches again before ``SignedIn`` is told.

    Args:
        options: where to and as whom.
        times: the seconds that rule the link.
        output: where log lines go; None for stderr.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        times: Times = Times(),  # noqa: B008 (frozen)
        output: TextIO | None = None,
    ) -> None:
        Telemetry.__init__(self, options, output)
        self._options = options
        self._event_callbacks: dict[str, EventCallback] = {}
        self._callbacks = Callbacks(self.error)
        self._answers = Answers()
        registrations = Registrations(
            self._callbacks, self.error, self._answers.take, self._send_result
        )
        MessageCalls.__init__(
            self,
            Link(options, times, registrations, self._tell, self.warn, self._answers.lost),
            options.default_timeout,
            self.error,
        )
        self._opening = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """What this implementation can do."""
        return CAPABILITIES

    @property
    def connected(self) -> bool:
        """Signed in, as far as this side knows."""
        return self._link.connected

    @property
    def user(self) -> User | None:
        """Who is signed in, or None before the first sign-in."""
        return self._link.user

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""
        return self._link.server.config

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last bytes that came, the server's pings among them."""
        return self._link.last_heard

    async def connect(self, url: str = "", *, timeout: float | None = None) -> None:
        """Connect and sign in with the options given at construction.

        Args:
            url: instead of the options' URL.

        Raises:
            NotConnected: nobody listens there, or the link broke before the sign-in.
            AccessDenied: wrong credentials, or none (a guest sign-in is refused).
            RequestTimeout: no sign-in within ``timeout`` seconds.
        """
        address = parse_address(url or self._options.url)
        options = self._options
        credentials = Credentials(options.username, options.password, options.jwt) or Credentials(
            address.username, address.password
        )
        await self.disconnect()
        async with self._opening:
            await self._link.open(address, credentials, self._seconds(timeout))
        self._start_export(self._link.server.config)

    async def disconnect(self) -> None:
        """Close the link for good; idempotent. No task is left behind."""
        await self._link.close()
        await self._callbacks.stop(_CALLBACK_GRACE)
        await self._stop_export()

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

        Without arguments the present credentials are used. With ``validateonly`` nothing changes.

        Raises:
            AccessDenied: wrong credentials.
        """
        credentials = Credentials(username, password, jwt) or self._link.credentials
        reply = await self._call(
            "signin",
            "signin",
            signin_request(
                self._options,
                credentials,
                agent=agent,
                version=version,
                longtoken=longtoken,
                validateonly=validateonly,
                ping=ping,
            ),
            pb.SigninResponse,
            timeout,
        )
        user = user_of(reply)
        if not validateonly:
            self._link.use(credentials, reply.jwt, user)
        return reply.jwt, user

    async def probe(self, *, timeout: float | None = None) -> None:
        """Send the cheapest request that is answered; raises when it is not."""
        await self._call(
            "probe", "getelement", pb.GetElementRequest(), pb.GetElementResponse, timeout
        )

    def scope(
        self, *, jwt: str = "", traceid: str = "", spanid: str = ""
    ) -> AbstractContextManager[None]:
        """Let every call inside carry these; for the caller's task and those it starts.

        Args:
            jwt: act as another user.
            traceid, spanid: the trace that the calls belong to.
        """
        return entered(self, jwt, traceid, spanid)

    def on_client_event(self, callback: EventCallback) -> str:
        """Call ``callback`` on every connection event; returns an id for ``off_client_event``."""
        eventid = uuid4().hex
        self._event_callbacks[eventid] = callback
        return eventid

    def off_client_event(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        self._event_callbacks.pop(eventid, None)

    def _tell(self, event: ClientEvent) -> None:
        for callback in tuple(self._event_callbacks.values()):
            self._callbacks.run(f"the event {event.event}", callback, event)

    async def _send_result(self, event: pb.QueueEvent, result: Any) -> None:
        """Send what a queue's callback returned to whoever waits for it."""
        try:
            await self.queue_message(
                result, event.replyto, correlation_id=event.correlationId, striptoken=True
            )
        except OpenIAPError as error:
            self.error(f"the answer to a message on {event.queuename} was not sent: {error.text}")
