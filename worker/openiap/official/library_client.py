"""One client of the official library: opening, its events, closing.

1. Opens as guest, whatever credentials lie in the environment.
2. Follows the library's events; those of the first connection, which it loses at random, are not
   needed and not told again when they come late.
3. Closes so that no callback can come any more.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from ctypes import c_char_p, cast
from typing import Any, Final, Protocol

from worker.openiap.errors import NotConnected, OpenIAPError
from worker.openiap.official import abi as abi
from worker.openiap.official.items import native_text
from worker.openiap.official.library import Library
from worker.openiap.official.platform import hide_credentials
from worker.openiap.types import User

LONGEST_CALL: Final = 3600
"""Seconds. While a call is in flight the library must not give up before this side does: a popped
item whose reply comes late is still told, and can be handed back."""


class InFlight(Protocol):
    """A call that waits for its answer."""

    def fail(self, error: Exception) -> None:
        """End the wait with an error, on the loop."""


class LibraryClient:
    """A client of the library, from its opening to its end.

    Attributes:
        handle: what the library knows it by; an address in memory.
        up: the library says that it is connected.
        signed_in: this side has signed in on the present connection.
        epoch: goes up whenever the connection drops and whenever it is signed in.
        last_heard: ``time.monotonic()`` of the last answer or event.
        in_flight: the calls that wait for their answer.
    """

    def __init__(
        self,
        library: Library,
        address: str,
        agent: str,
        version: str,
        on_event: Callable[["LibraryClient", str, str], None],
    ) -> None:
        self.library: Final = library
        self.address: Final = address
        self.handle: Final = library.borrow(address)
        self.up = False
        self.signed_in = False
        self.epoch = 0
        self.last_heard = time.monotonic()
        self.in_flight: Final[set[InFlight]] = set()
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
        self.library.opened(self.handle, self.close)
        try:
            self._open(timeout)
        finally:
            with self._lock:
                self._opening = False
                abandoned = self._closed
            if abandoned:
                self._release()

    def _open(self, timeout: float) -> None:
        library, handle = self.library, self.handle
        hide_credentials()
        library.plain("client_set_agent_name", handle, native_text(self._agent))
        library.plain("client_set_agent_version", handle, native_text(self._version))
        self.set_timeout(timeout)
        answer = library.plain("client_connect", handle, native_text(self.address))
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
        answer = self.library.plain("on_client_event_async", self.handle, self._callback)
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
                # Left over from an earlier connection of this client.
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

    def set_timeout(self, seconds: float = LONGEST_CALL) -> None:
        """Set how long the library waits for answers, in seconds."""
        self.library.plain("client_set_default_timeout", self.handle, max(1, math.ceil(seconds)))

    def state(self) -> str:
        """Return the library's own view: Disconnected, Connecting, Connected or Signedin.

        Each call costs some bytes that are never freed: not for a hot path.
        """
        return (self.library.plain("client_get_state", self.handle) or b"").decode("ascii")

    def mark_signed_in(self) -> None:
        """Note that the present connection is signed in."""
        self.epoch += 1
        self.signed_in = True
        self.set_timeout()

    def user(self) -> User | None:
        """Return who is signed in."""
        found = self.library.plain("client_user", self.handle)
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

    def release(self, answer: Any, free: str) -> None:
        """Release the answer of a call that blocked, with the function ``free``.

        Raises:
            Refused: what the answer refused.
        """
        success = answer[0].success
        text = (answer[0].error or b"").decode("utf-8", "replace")
        self.library.plain(free, answer)
        if not success:
            raise Refused(text)
        self.last_heard = time.monotonic()

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
        self.library.release(self.handle, again)


class Refused(OpenIAPError):
    """What the library said, before it is made a typed error."""
