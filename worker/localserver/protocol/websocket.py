"""The websocket transport: a protocol under uvicorn, from the network's callback to the session.

The package ``websockets`` does the handshake and all frames but the common one: whole binary
messages go past it, in and out, and no task, queue or framework stands between them and a session.
What is sent in one turn of the loop goes out as one websocket message.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Final, cast

import uvicorn
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from worker.http_connection import address_of
from worker.localserver.protocol.session import (
    GUEST_MESSAGE,
    MAX_MESSAGE,
    MOST_UNREAD,
    SEND_BUFFER,
    Session,
)
from worker.localserver.protocol.sessions import Sessions
from worker.openiap.wire.envelope import WireError
from worker.openiap.wire.framing import LENGTH, MAX_FRAME, FrameReader, frame
from worker.openiap.wire.wsframes import FrameSplitter, unmasked_frame

PATHS: Final = ("/ws/v2", "/ws/v2/")
FORBIDDEN: Final = 403
BUSY: Final = 503
LAST_WORDS: Final = 5.0
"""Seconds that a connection which is ended has for what was sent last."""
JOINED: Final = 64 * 1024


class WebsocketProtocol(asyncio.Protocol):
    """One websocket under a session; uvicorn makes it, and ends it by ``shutdown``."""

    def __init__(self, sessions: Sessions, connections: set[Any]) -> None:
        self.numbered = True
        self.address = ""
        self.transport: asyncio.Transport
        self._sessions = sessions
        self._connections = connections
        # A guest's messages are small, so that those who do not sign in cost little memory.
        self._library = ServerProtocol(max_size=GUEST_MESSAGE)
        self._splitter = FrameSplitter(GUEST_MESSAGE, masked=True)
        self._reader = FrameReader(GUEST_MESSAGE)
        self._fragments: list[bytes] = []
        self._opened = ExitStack()
        self._session: Session | None = None
        self._waiting: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._split: bool | None = None
        """Whether length and body leave as two websocket messages, once it is known.

        Clients of the 0.0.37 generation send them so, and the Python one takes nothing else;
        a client that sends whole frames takes them as well, several in one message too.
        """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection that a request for a websocket came over."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=SEND_BUFFER)
        self.address = address_of(transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget everything that belongs to the connection."""
        self._connections.discard(self)
        self._session = None
        self._writable.set()
        self._opened.close()

    def pause_writing(self) -> None:
        """The client takes less than it is sent: until it does, it is not listened to either."""
        self._writable.clear()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has taken most of it."""
        self._writable.set()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take what came: the handshake first, then frames."""
        if self._session is None:
            self._through_library(data)
            return
        for whole, part in self._splitter.feed(data):
            if self.transport.is_closing():
                return
            if whole:
                self._message(part)
            else:
                self._through_library(part)

    def shutdown(self) -> None:
        """Say goodbye: the server stops."""
        with suppress(InvalidState):  # not open yet, or not any more
            self._library.send_close(CloseCode.SERVICE_RESTART)
        self._flush_library()
        self.transport.close()

    # What a session asks for

    def send(self, body: bytes) -> None:
        """Send one encoded envelope with the next ``push``."""
        self._waiting.append(body)

    def push(self) -> None:
        """Hand what was sent to the network, without waiting."""
        bodies, self._waiting = self._waiting, []
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self._sessions.log("connection closed: the client does not read what it is sent")
            self.transport.abort()
            return
        if self._split is not False:
            for body in bodies:
                framed = frame(body)
                self.transport.write(unmasked_frame(framed[: LENGTH.size]))
                self.transport.write(unmasked_frame(framed[LENGTH.size :]))
        else:
            for together in _joined(bodies):
                self.transport.write(unmasked_frame(together))

    def close(self) -> None:
        """End the connection at once, without the closing handshake."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(LAST_WORDS, self.transport.abort)

    def trust(self) -> None:
        """Take large messages from now on: the client has signed in."""
        self._library.max_message_size = MAX_MESSAGE
        self._splitter.max_size = MAX_MESSAGE
        self._reader.max_frame = MAX_FRAME

    async def can_send(self) -> None:
        """Wait until most of what was sent has left."""
        self.push()
        await self._writable.wait()

    # Inside

    def _message(self, data: bytes) -> None:
        session = self._session
        if session is None:
            return
        if self._split is None:
            self._split = len(data) <= LENGTH.size
        try:
            for body in self._reader.feed(data):
                session.receive(body)
        except WireError:
            self.close()

    def _through_library(self, data: bytes) -> None:
        self._library.receive_data(data)
        for event in self._library.events_received():
            if isinstance(event, Request):
                self._accept(event)
            elif isinstance(event, Frame):
                self._fragment(event)
        self._flush_library()
        if self._library.close_expected():
            self.transport.close()

    def _accept(self, request: Request) -> None:
        if request.path.partition("?")[0] not in PATHS:
            self._library.send_response(self._library.reject(FORBIDDEN, "Not an OpenIAP path\n"))
            self._flush_library()
            self.transport.close()
            return
        if not self._sessions.has_room(self.address):
            self._library.send_response(self._library.reject(BUSY, "Too many connections\n"))
            self._flush_library()
            self.transport.close()
            return
        self._library.send_response(self._library.accept(request))
        self._flush_library()
        if self._library.close_expected():  # it is no handshake
            self.transport.close()
            return
        self._session = self._opened.enter_context(self._sessions.opened(self))

    def _fragment(self, frame: Frame) -> None:
        """Take a part of a fragmented message; text is none of this protocol's."""
        if frame.opcode is Opcode.TEXT:
            self.close()
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                whole, self._fragments = b"".join(self._fragments), []
                self._message(whole)

    def _flush_library(self) -> None:
        for data in self._library.data_to_send():
            if data:
                self.transport.write(data)


def websocket_protocol(sessions: Sessions) -> Callable[..., WebsocketProtocol]:
    """Return what uvicorn makes its websockets with."""

    def make(
        config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> WebsocketProtocol:
        return WebsocketProtocol(sessions, server_state.connections)

    return make


def _joined(bodies: list[bytes]) -> Iterator[bytes]:
    """Yield frames, small ones together."""
    parts: list[bytes] = []
    size = 0
    for body in bodies:
        parts += (LENGTH.pack(len(body)), body)
        size += len(body)
        if size >= JOINED:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)
