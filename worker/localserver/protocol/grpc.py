"""The gRPC transport: one bidirectional stream of envelopes per client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import unquote

import grpc

from worker.localserver.operations.options import Faults
from worker.localserver.protocol.session import MAX_MESSAGE, MOST_UNREAD, SEND_BUFFER, Session
from worker.localserver.protocol.sessions import Sessions

SERVICE: Final = "openiap.FlowService"
METHOD: Final = "SetupStream"
CLIENT_LIMIT: Final = 4 * 1024 * 1024
"""What OpenIAP's clients take in one gRPC message, in bytes."""


class SendBuffer:
    """Encoded messages between a session, which never waits, and its stream; of bounded size for
    those who ask."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._size = 0
        self._filled = asyncio.Event()
        self._low = asyncio.Event()
        self._low.set()

    @property
    def size(self) -> int:
        """Bytes that wait to leave."""
        return self._size

    def add(self, body: bytes) -> None:
        """Put a message behind the others."""
        self._bodies.append(body)
        self._size += len(body)
        if self._size > SEND_BUFFER:
            self._low.clear()
        self._filled.set()

    async def take(self) -> list[bytes]:
        """Wait for messages and return all there are."""
        await self._filled.wait()
        self._filled.clear()
        taken, self._bodies = self._bodies, []
        return taken

    def sent(self, size: int) -> None:
        """Note that so many bytes of messages have left."""
        self._size -= size
        if self._size <= SEND_BUFFER:
            self._low.set()

    async def low(self) -> None:
        """Wait until no more than ``SEND_BUFFER`` bytes wait to leave."""
        await self._low.wait()


class GrpcLink:
    """One gRPC stream under a session."""

    def __init__(self, context: Any, faults: Faults) -> None:
        self._context = context
        self._faults = faults
        self.address = _address(context.peer())
        self._buffer = SendBuffer()
        self.cut = asyncio.Event()
        self.numbered = False
        """gRPC keeps the order by itself, and the Python client 0.0.37 numbers nothing here."""

    def send(self, body: bytes) -> None:
        """Send one encoded envelope, without waiting."""
        if len(body) > CLIENT_LIMIT and self._faults.grpc_large_replies_break:
            self.cut.set()
            return
        if self._buffer.size > MOST_UNREAD:  # the client does not read what it is sent
            self.cut.set()
            return
        self._buffer.add(body)

    def push(self) -> None:
        """Nothing to do: the stream's own task takes what was sent."""

    def close(self) -> None:
        """End the stream at once."""
        self.cut.set()

    async def can_send(self) -> None:
        """Wait until most of what was sent has left."""
        await self._buffer.low()

    @property
    def is_full(self) -> bool:
        """Whether more waits to leave than ``SEND_BUFFER``."""
        return self._buffer.size > SEND_BUFFER

    def trust(self) -> None:
        """Nothing to do: gRPC has one limit for all, and the session looks at each message."""

    async def run(self) -> None:
        """Send what is to be sent until the stream ends."""
        while True:
            for body in await self._buffer.take():
                await self._context.write(body)
                self._buffer.sent(len(body))


class FlowService:
    """Answers the one method there is, with bytes in and out."""

    def __init__(self, sessions: Sessions, faults: Faults) -> None:
        self._sessions = sessions
        self._faults = faults

    async def setup_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Serve one client until either side ends its stream."""
        # OpenIAP's Rust client waits for the metadata before it does anything.
        await context.send_initial_metadata(())
        link = GrpcLink(context, self._faults)
        if not self._sessions.has_room(link.address):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many connections")
        with self._sessions.opened(link) as session:
            tasks = [
                asyncio.create_task(link.run()),
                asyncio.create_task(self._read(session, link, requests)),
                asyncio.create_task(link.cut.wait()),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if link.cut.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was cut")

    async def _read(self, session: Session, link: GrpcLink, requests: AsyncIterator[bytes]) -> None:
        async for body in requests:
            session.receive(body)
            if link.is_full:  # who does not read what he is sent is not listened to either
                await link.can_send()


def _address(peer: str) -> str:
    """Return the host of a peer as gRPC names it, for example ``ipv4:127.0.0.1:1234``."""
    return unquote(peer.partition(":")[2]).rpartition(":")[0] or peer


async def start(sessions: Sessions, faults: Faults, address: str) -> tuple[grpc.aio.Server, int]:
    """Listen for gRPC.

    Args:
        sessions: those of the server.
        faults: bugs to reproduce.
        address: host and port; port 0 picks a free one.

    Returns:
        The server and its port.

    Raises:
        RuntimeError: the address is taken.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.so_reuseport", 0),
            # A client that opens a connection has to speak HTTP/2 within that time, and one
            # connection carries no crowd.
            ("grpc.server_handshake_timeout_ms", 10_000),
            ("grpc.max_concurrent_streams", 256),
        ]
    )
    method = grpc.stream_stream_rpc_method_handler(FlowService(sessions, faults).setup_stream)
    service = grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port(address)
    await server.start()
    return server, port
