"""Envelopes over a websocket.

The package ``websockets`` does the handshake, TLS, proxies and all frames but the common one: whole
binary messages go past it, in and out, and from the loop's callback straight to the session. The
first that is sent in a turn of the loop goes out at once, so that the server works on it meanwhile;
what else is sent in that turn goes out as one websocket message behind it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from worker.forks import blind, in_children
from worker.openiap.errors import NotConnected
from worker.openiap.native.endpoint import Endpoint
from worker.openiap.native.transport import HIGH_WATER, Receiver
from worker.openiap.server_info import is_loopback
from worker.openiap.wire.envelope import WireError
from worker.openiap.wire.framing import LENGTH, MAX_FRAME, FrameReader
from worker.openiap.wire.wsframes import FrameMaker, FrameSplitter

MAX_BATCH = 256 * 1024
"""Bytes of small frames that are joined into one websocket message."""
MAX_MESSAGE = 2 * MAX_FRAME
"""Bytes of one received websocket message, which may hold several frames."""


class _Connection(ClientConnection):
    """A websocket that hands its frames on at once instead of queueing them."""

    receiver: Receiver
    reader: FrameReader
    ended: bool = False
    _splitter: FrameSplitter | None = None
    _head: bytes = b""

    def process_event(self, event: Event) -> None:
        """Take a message that the library put together."""
        if not isinstance(event, Frame):
            super().process_event(event)
            return
        if event.opcode not in (Opcode.BINARY, Opcode.CONT, Opcode.TEXT) or self.ended:
            return
        self._message(bytes(event.data))

    def _message(self, data: bytes) -> None:
        try:
            for body in self.reader.feed(data):
                self.receiver.received(body)
                if self.ended:
                    return
        except WireError as error:
            self.end(f"the server sent what is not the OpenIAP protocol: {error}")

    def data_received(self, data: bytes) -> None:
        """Take bytes; whole frames of messages do not go through the library."""
        self.receiver.heard()
        if self._splitter is None:
            data = self._handshake(data)
            if self._splitter is None:
                return
        for whole, part in self._splitter.feed(data):
            if self.ended:
                return
            if whole:
                self._message(part)
            else:
                self._by_the_library(part)

    def _handshake(self, data: bytes) -> bytes:
        """Let the library have the answer to the handshake, and return what came behind it."""
        together = self._head + data
        end = together.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end + 4 - len(self._head)
        self._head = together[-3:]
        self._by_the_library(data[:size])
        if self.protocol.state is State.OPEN:
            self._splitter = FrameSplitter(MAX_MESSAGE)
        elif data[size:]:
            self._by_the_library(data[size:])
        return data[size:]

    def _by_the_library(self, data: bytes) -> None:
        super().data_received(data)
        if self.response is not None and self.protocol.state is not State.OPEN:
            # The server said goodbye: nothing more will be answered, so tell it at once.
            self.end(_reason(self))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver."""
        super().connection_lost(exc)
        self.end(str(exc) if exc else _reason(self))

    def end(self, reason: str) -> None:
        """Drop the connection and tell the receiver why; once."""
        if self.ended:
            return
        self.ended = True
        self.transport.abort()
        self.receiver.closed(reason)


def _reason(connection: _Connection) -> str:
    code = connection.protocol.close_code
    text = connection.protocol.close_reason
    if code in (None, 1006):
        return "the connection was closed"
    return f"the connection was closed ({code}{': ' + text if text else ''})"


class WebsocketTransport:
    """A ``Transport`` over one websocket."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._gathering = False
        self._maker = FrameMaker()

    def send(self, body: bytes) -> None:
        """Queue one envelope."""
        waiting = self._waiting
        waiting.append(LENGTH.pack(len(body)))
        waiting.append(body)
        if not self._gathering:
            # The first of a turn goes at once: the server works on it while this side goes on.
            self._gathering = True
            self._loop.call_soon(self._flush)
            self._write()

    def _flush(self) -> None:
        self._gathering = False
        self._write()

    def _write(self) -> None:
        waiting = self._waiting
        if not waiting:
            return
        self._waiting = []
        connection = self._connection
        if connection.ended or connection.protocol.state is not State.OPEN:
            return
        try:
            for message in _messages(waiting):
                connection.transport.write(self._maker.frame(message))
        except (OSError, RuntimeError, WebSocketException) as error:
            connection.end(f"sending failed: {error}")

    async def drain(self) -> None:
        """Wait until little waits to be sent, or the connection is closed."""
        self._write()
        if self._connection.ended:
            return
        # The connection drops while this waits: the session has been told by then.
        with contextlib.suppress(OSError, WebSocketException):
            await self._connection.drain()

    def pause_reading(self) -> None:
        """Take no more bytes."""
        if not self._connection.ended:
            self._connection.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        if not self._connection.ended:
            self._connection.transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._connection.end("the connection was dropped")

    async def close(self, timeout: float) -> None:
        """Send what is queued, and close within ``timeout`` seconds."""
        self._write()
        connection = self._connection
        try:
            async with asyncio.timeout(timeout):
                await connection.close()
                await connection.wait_closed()
        except (TimeoutError, OSError, WebSocketException):
            pass
        finally:
            connection.end("the connection was closed by this side")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await connection.wait_closed()


def _messages(parts: list[bytes]) -> list[bytes]:
    """Join frames into messages of ``MAX_BATCH`` bytes at most; a larger frame goes alone."""
    if len(parts) == 2:
        return [b"".join(parts)]
    messages: list[bytes] = []
    first = size = 0
    for index in range(0, len(parts), 2):
        length = len(parts[index + 1]) + LENGTH.size
        if size and size + length > MAX_BATCH:
            messages.append(b"".join(parts[first:index]))
            first, size = index, 0
        size += length
    messages.append(b"".join(parts[first:]))
    return messages


async def open_websocket(
    endpoint: Endpoint, receiver: Receiver, context: ssl.SSLContext | None
) -> WebsocketTransport:
    """Connect, through the environment's proxy where there is one.

    Compression is off: OpenIAP's messages are small, and deflating one costs more than the rest of
    the call. The library's own pings are off as well, since the server pings by itself.

    Raises:
        NotConnected: nobody listens there, or it is not an OpenIAP websocket.
    """
    make: Callable[..., ClientConnection] = _linked(receiver)
    options: dict[str, Any] = {"ssl": context} if context is not None else {}
    try:
        connection = await connect(
            endpoint.websocket_url,
            create_connection=make,  # type: ignore[arg-type]
            compression=None,
            ping_interval=None,
            open_timeout=None,
            max_size=MAX_MESSAGE,
            write_limit=HIGH_WATER,
            proxy=None if is_loopback(endpoint.host) else True,
            **options,
        )
    except (OSError, WebSocketException, EOFError, ValueError, ImportError) as error:
        # ImportError: a SOCKS proxy, for which another package would be needed.
        raise NotConnected(f"{endpoint.authority} cannot be reached: {error}") from error
    if not isinstance(connection, _Connection):
        raise NotConnected("the websocket library made a connection of its own")
    in_children(connection, _blinded)
    return WebsocketTransport(connection)


def _blinded(connection: _Connection) -> None:
    """In a forked child: one that writes would write into the middle of what the parent says."""
    blind(connection.transport.get_extra_info("socket").fileno())


def _linked(receiver: Receiver) -> Callable[..., ClientConnection]:
    def make(*args: Any, **kwargs: Any) -> ClientConnection:
        connection = _Connection(*args, **kwargs)
        connection.receiver = receiver
        connection.reader = FrameReader()
        return connection

    return make
