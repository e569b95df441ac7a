"""The client of OpenIAP: its documented API, typed and asynchronous, written once.

The signatures, defaults and conversions are here and, by subject, in ``api/``. Below them stands an
implementation (``backend.py``): ``official/`` over the package ``openiap-edge``, ``native/`` over
asyncio. Nothing above knows which one it talks to, except through ``Capabilities``.

Rules that hold for every asynchronous method:

1. It takes ``timeout`` in seconds (None: the client's ``default_timeout``) and never outlives it.
2. It raises ``worker.openiap.errors.OpenIAPError`` subclasses and nothing else of the link's.
3. JSON goes in and comes out as Python values (dict, list, str, int, float, bool, None).
4. Callbacks may be plain or async functions. They run on the loop that called ``connect``; what
   they raise is logged, never lost and never fatal.
"""

from worker.openiap.address import parse_address
from worker.openiap.api.documents import DocumentCalls
from worker.openiap.api.files import FileCalls
from worker.openiap.api.messages import MessageCalls
from worker.openiap.api.telemetry import TelemetryCalls
from worker.openiap.api.workitems import WorkitemCalls
from worker.openiap.backend import Signin
from worker.openiap.counted import counted
from worker.openiap.credentials import Credentials, credentials_for
from worker.openiap.types import Capabilities, EventCallback, User
from worker.openiap.workitem import JsonObject


class Client(DocumentCalls, FileCalls, WorkitemCalls, MessageCalls, TelemetryCalls):
    """The documented OpenIAP API; see the module's docstring for what holds for every method.

    Args:
        backend: the implementation; ``NativeClient`` and ``OfficialClient`` bring theirs.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this implementation can do."""
        return self._backend.capabilities

    @property
    def connected(self) -> bool:
        """Signed in, as far as this side knows."""
        return self._backend.link.connected

    @property
    def sign_ins(self) -> int:
        """How many links this client has signed in so far: one, and one for each reconnect."""
        return self._backend.link.sign_ins

    @property
    def user(self) -> User | None:
        """Who is signed in, or None before the first sign-in."""
        return self._backend.link.user

    @property
    def server_config(self) -> JsonObject:
        """What ``GET /config`` of the server answered, or ``{}``."""
        return self._backend.link.server_config

    @property
    def last_heard(self) -> float:
        """``time.monotonic()`` of the last sign of life that this client can see.

        That is any byte with the native client; an answer or an
        event with the official one.
        """
        return self._backend.link.last_heard

    async def connect(self, url: str = "", *, timeout: float | None = None) -> None:
        """Connect and sign in with the options given at construction.

        Args:
            url: instead of the options' URL.

        Raises:
            NotConnected: nobody listens there, or the link broke before the sign-in.
            AccessDenied: wrong credentials, or none (a guest sign-in is refused).
            RequestTimeout: no sign-in within ``timeout`` seconds.
            Unsupported: there is no official library for this platform.
        """
        options = self._backend.options
        address = parse_address(url or options.url)
        credentials = credentials_for(options, address)
        await self.disconnect()
        await self._backend.link.connect(address, credentials, self._seconds(timeout))

    async def disconnect(self) -> None:
        """Close the link for good; idempotent. No task and no callback is left behind.

        The official library's own threads idle on, as it has no way to end them; a later connection
        to the same address uses them again.
        """
        await self._backend.link.disconnect()
        await self._backend.files.close()

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

        Without arguments the present credentials are used. With ``validateonly`` nothing changes,
        and the official client, which is not told it, returns None as the user.

        Raises:
            AccessDenied: wrong credentials.
        """
        options, link = self._backend.options, self._backend.link
        wanted = Signin(
            Credentials(username, password, jwt) or link.credentials,
            agent or options.agent,
            version or options.version,
            longtoken=longtoken,
            validateonly=validateonly,
            ping=ping,
        )
        return await link.signin(wanted, self._seconds(timeout))

    async def probe(self, *, timeout: float | None = None) -> None:
        """Send the cheapest request that is answered; raises when it is not."""
        await self._backend.link.probe(self._seconds(timeout))

    def on_client_event(self, callback: EventCallback) -> str:
        """Call ``callback`` on every connection event; returns an id for ``off_client_event``.

        ``SignedIn`` is told exactly once per sign-in; ``Connected`` and ``SignedIn`` of the present
        link, where they came before this call, are told to this callback in the loop's next turn.
        """
        return self._backend.events.add(counted(callback))

    def off_client_event(self, eventid: str) -> None:
        """Forget a callback; an unknown id is no error."""
        self._backend.events.remove(eventid)
