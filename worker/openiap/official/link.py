"""One native connection of the official library: opening, signing in, its events, closing.

1. Opens as guest, whatever credentials lie in the environment, then signs in by a call.
2. Follows the library's events; those of the first connection, which it loses at random, are not
   needed and not told again when they come late.
3. Signs in again after each reconnect that the library makes by itself, as it would stay a guest.
4. Closes so that no callback can come any more.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from ctypes import c_char_p, cast
from dataclasses import dataclass
from typing import Any, Final

from worker.openiap.errors import NotConnected, OpenIAPError
from worker.openiap.official import abi as abi
from worker.openiap.official.items import native_text
from worker.openiap.official.library import Library
from worker.openiap.official.platform import hide_credentials
from worker.openiap.types import User

# While a call is in flight the library must not give up before this side does: a popped item whose
# reply comes late is still told, and can be handed back.
PATIENCE: Final = 3600


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whom to sign in; either the pair or the token."""

    username: str = ""
    password: str = ""
    jwt: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r})"

    def __bool__(self) -> bool:
        return bool(self.jwt or (self.username and self.password))


class Link:
    """A native client from its opening to its end.

    Attributes:
        client: the native client; an address.
        up: the library says that it is connected.
        signed_in: this side has signed in on the present connection.
        epoch: goes up whenever the connection drops and whenever it is signed in.
        last_heard: ``time.monotonic()`` of the last answer or event.
    """

    def __init__(
        self,
        library: Library,
        address: str,
        agent: str,
        version: str,
        on_event: Callable[["Link", str, str], None],
    ) -> None:
        self.library: Final = library
        self.address: Final = address
        self.client: Final = library.borrow(address)
        self.up = False
        self.signed_in = False
        self.epoch = 0
        self.last_heard = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._agent = agent
        self._version = version
        self._on_event = on_event
        self._lock = threading.Lock()
        self._opening = False
        self._connected_once = False
        self._closed = False
        self._eventid = b""
        self._callback: Any = None

    @property
    def closed(self) -> bool:
        """Closed for good."""
        return self._closed

    def open(self, timeout: float) -> None:
        """Connect as guest and listen to events; blocks, so not on the loop's thread.

        Args:
            timeout: seconds that the library waits for the first answer.

        Raises:
            NotConnected: it did not work; the text is the library's.
        """
        with self._lock:
            if self._closed:
                raise NotConnected("closed", operation="connect")
            self._opening = True
        self.library.opened(self.client, self.close)
        try:
            self._open(timeout)
        finally:
            with self._lock:
                self._opening = False
                abandoned = self._closed
            if abandoned:
                self._release()

    def _open(self, timeout: float) -> None:
        library, client = self.library, self.client
        hide_credentials()
        library.plain("client_set_agent_name", client, native_text(self._agent))
        library.plain("client_set_agent_version", client, native_text(self._version))
        self.be_patient(timeout)
        answer = library.plain("client_connect", client, native_text(self.address))
        success = answer[0].success
        text = (answer[0].error or b"").decode("utf-8", "replace")
        library.plain("free_connect_response", answer)
        # Later than this the library keeps to the address, whether or not it got any further.
        self._connected_once = success or "Failed to connect" not in text
        if not success:
            raise NotConnected(text, operation="connect")
        self.up = True
        self.last_heard = time.monotonic()
        self._listen()
        if self.state() == "Disconnected":
            raise NotConnected("the link broke at once", operation="connect")

    def _listen(self) -> None:
        self._callback = abi.CLIENT_EVENT_CALLBACK(self.library.within(self._event_came))
        answer = self.library.plain("on_client_event_async", self.client, self._callback)
        self._eventid = answer[0].eventid or b""
        self.library.plain("free_event_response", answer)

    def _event_came(self, pointer: Any) -> None:
        # On the library's thread. What a call must know at once is set here, the rest on the loop.
        event = (pointer[0].event or b"").decode("utf-8", "replace")
        reason = (pointer[0].reason or b"").decode("utf-8", "replace")
        self.library.plain("free_client_event", pointer)
        self.last_heard = time.monotonic()
        if event == "Disconnected":
            if self.state() == ("Signedin" if self.signed_in else "Connected"):
                # Left over from an earlier connection of this native client.
                return
            self.up = False
            if self.signed_in:
                self.signed_in = False
                self.epoch += 1
        self._loop_soon(self._tell, event, reason)

    def _tell(self, event: str, reason: str) -> None:
        if self._closed:
            return
        if event == "Disconnected":
            self._on_event(self, event, reason)
        elif event in ("Connecting", "Connected") and not self.up:
            self.up = event == "Connected"
            self._on_event(self, event, reason)

    def _loop_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: nobody is left to tell.
            return

    def be_patient(self, seconds: float = PATIENCE) -> None:
        """Set how long the library waits for answers, in seconds."""
        self.library.plain("client_set_default_timeout", self.client, max(1, math.ceil(seconds)))

    def state(self) -> str:
        """Return the library's own view: Disconnected, Connecting, Connected or Signedin.

        Each call costs some bytes that are never freed: not for a hot path.
        """
        return (self.library.plain("client_get_state", self.client) or b"").decode("ascii")

    def mark_signed_in(self) -> None:
        """Note that the present connection is signed in."""
        self.epoch += 1
        self.signed_in = True
        self.be_patient()

    def user(self) -> User | None:
        """Return who is signed in."""
        found = self.library.plain("client_user", self.client)
        if not found:
            return None
        native = found[0]

        def text(value: bytes | None) -> str:
            return (value or b"").decode("utf-8", "replace")

        return User(
            id=text(native.id),
            name=text(native.name),
            username=text(native.username),
            email=text(native.email),
            roles=tuple(
                text(cast(native.roles, abi.TEXTS)[index]) for index in range(native.roles_len)
            ),
        )

    def close(self) -> None:
        """End it; idempotent. Blocks until the calls in flight are back, 2 s at most."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.up = self.signed_in = False
            if self._opening:
                # The thread that is opening it releases it when the library lets go of it.
                return
        self._release()

    def _release(self) -> None:
        if self._eventid:
            # The library holds a lock while it tells an event: after this none can come.
            answer = self.library.plain("off_client_event", c_char_p(self._eventid))
            self.library.plain("free_off_event_response", answer)
        again: str | None = ""
        if self._connected_once:
            again = self.address if self.address.startswith("ws") else None
        self.library.release(self.client, again)


class Waiting:
    """A call in flight: hands the answer to the loop, or to ``late`` when nobody waits any more."""

    __slots__ = ("_late", "_link", "_loop", "client", "epoch", "future")

    def __init__(self, link: Link, late: Callable[[Any], None] | None = None) -> None:
        self.client = link.client
        self.epoch = link.epoch
        self._link = link
        self._late = late
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def answered(self, value: Any) -> None:
        """Take the answer, on the library's thread."""
        self._link.last_heard = time.monotonic()
        self._soon(self._settle, value)

    def refused(self, text: str) -> None:
        """Take the refusal, on the library's thread."""
        self._soon(self.fail, Refused(text))

    def expire_after(self, seconds: float) -> asyncio.TimerHandle:
        """End the wait with ``Expired`` after so long; cheaper than a timeout of the task."""
        return self._loop.call_later(seconds, self.fail, Expired(""))

    def fail(self, error: Exception) -> None:
        """End the wait with an error, on the loop."""
        if not self.future.done():
            self.future.set_exception(error)

    def salvage(self) -> None:
        """Tell ``late`` of a value that came just as the caller was cancelled."""
        future = self.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._settle(future.result())

    def _settle(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)
        elif self._late is not None:
            self._late(value)

    def _soon(self, function: Callable[[Any], None], value: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, value)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return


class Expired(Exception):
    """The deadline has passed, and nothing came."""


class Refused(OpenIAPError):
    """What the library said, before it is made a typed error."""
