"""The native client against the local server, and against servers that misbehave on purpose."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from websockets.asyncio.server import ServerConnection, serve

from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.native.transport import Times
from worker.openiap.types import ClientEvent, ConnectionOptions
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import FLOW_METHOD, build, parse
from worker.openiap.wire.framing import FrameReader, frame

USER = "tester"
PASSWORD = "secret"
DEADLINE = 60.0
QUICK = Times(
    silence=60.0, first_wait=0.02, longest_wait=0.1, attempt=DEADLINE, config=DEADLINE, close=1.0
)


@dataclass
class Watched:
    """A client whose events can be waited for."""

    client: NativeClient
    events: list[ClientEvent] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.client.on_client_event(self._told)

    def _told(self, event: ClientEvent) -> None:
        self.events.append(event)
        self._news.set()

    def names(self) -> list[str]:
        return [event.event for event in self.events]

    async def until(self, name: str, times: int) -> ClientEvent:
        """Wait until an event was told so many times; returns the last of them."""
        async with asyncio.timeout(DEADLINE):
            while self.names().count(name) < times:
                self._news.clear()
                await self._news.wait()
        return [event for event in self.events if event.event == name][times - 1]


@dataclass
class Clients:
    """Makes clients that are closed when the test ends."""

    stack: AsyncExitStack

    def make(self, url: str, times: Times = QUICK, **changes: Any) -> Watched:
        settings: dict[str, Any] = {
            "url": url,
            "username": USER,
            "password": PASSWORD,
            "default_timeout": DEADLINE,
        }
        client = NativeClient(ConnectionOptions(**(settings | changes)), times=times)
        self.stack.push_async_callback(client.disconnect)
        return Watched(client)

    async def connected(self, url: str, times: Times = QUICK, **changes: Any) -> Watched:
        watched = self.make(url, times, **changes)
        await watched.client.connect(timeout=DEADLINE)
        return watched


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(stack)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer(
        ServerOptions(users={USER: PASSWORD}, wakeup_interval=0.2, wakeup_spacing=0.0)
    ) as running:
        yield running


@pytest.fixture(params=["ws", "grpc"])
def url(request: pytest.FixtureRequest, server: LocalServer) -> str:
    return server.ws_url if request.param == "ws" else server.grpc_url


Answer = Callable[["Peer", pb.Envelope], Awaitable[None]]


@dataclass
class Peer:
    """One connection of a scripted server."""

    write: Callable[[bytes], Awaitable[None]]
    cut: Callable[[], Awaitable[None]]
    seq: int = 0
    received: list[pb.Envelope] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)

    def encoded(
        self, command: str, message: Message | None = None, rid: str = "", seq: int | None = None
    ) -> bytes:
        number = self.seq if seq is None else seq
        self.seq += 1
        return build(command, message, id=f"s{self.seq}", rid=rid, seq=number).SerializeToString()

    async def send(
        self, command: str, message: Message | None = None, rid: str = "", seq: int | None = None
    ) -> None:
        await self.write(self.encoded(command, message, rid, seq))

    async def wait_for(self, command: str, times: int = 1) -> pb.Envelope:
        """Wait until a command came so many times; returns the last of them."""
        async with asyncio.timeout(DEADLINE):
            while len(found := [one for one in self.received if one.command == command]) < times:
                await asyncio.sleep(0.005)
        return found[times - 1]


class ScriptedServer:
    """Signs everybody in and leaves the rest to a script.

    Attributes:
        answer: what is done with a message; the default answers what a sign-in and a registration
            need.
        raw: bytes are sent as they are, without a frame around them (websocket only).
    """

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.answer: Answer = answer_usual
        self.greet = True
        self.url = ""

    @property
    def peer(self) -> Peer:
        """The newest connection."""
        return self.peers[-1]

    async def greeted(self, times: int) -> Peer:
        """Wait for the so manieth connection."""
        async with asyncio.timeout(DEADLINE):
            while len(self.peers) < times:
                await asyncio.sleep(0.005)
        return self.peers[times - 1]

    async def websocket(self, link: ServerConnection) -> None:
        async def write(body: bytes) -> None:
            await link.send(frame(body))

        async def cut() -> None:
            link.transport.abort()

        peer = Peer(write, cut)
        peer.raw = link.send  # type: ignore[attr-defined]
        self.peers.append(peer)
        reader = FrameReader()
        if self.greet:
            await peer.send("ping")
        with contextlib.suppress(Exception):
            async for message in link:
                assert isinstance(message, bytes)
                peer.messages.append(message)
                for body in reader.feed(message):
                    envelope = parse(body)
                    peer.received.append(envelope)
                    await self.answer(peer, envelope)

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        cutting = asyncio.Event()

        async def cut() -> None:
            cutting.set()

        peer = Peer(context.write, cut)
        self.peers.append(peer)
        await context.send_initial_metadata(())
        await peer.send("ping")

        async def read() -> None:
            async for body in requests:
                envelope = parse(body)
                peer.received.append(envelope)
                await self.answer(peer, envelope)

        reading = asyncio.create_task(read())
        ending = asyncio.create_task(cutting.wait())
        await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, ending):
            task.cancel()
        if cutting.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "cut by the test")


async def answer_usual(peer: Peer, envelope: pb.Envelope) -> None:
    """Answer what a sign-in, a probe and the registrations need; nothing else."""
    command = envelope.command
    if command == "signin":
        user = pb.User(_id="1", name=USER, username=USER)
        await peer.send("signinreply", pb.SigninResponse(jwt="token", user=user), envelope.id)
    elif command == "getelement":
        await peer.send("getelement", pb.GetElementResponse(), envelope.id)
    elif command == "registerqueue":
        name = envelope_queue(envelope)
        await peer.send("registerqueuereply", pb.RegisterQueueResponse(queuename=name), envelope.id)


def envelope_queue(envelope: pb.Envelope) -> str:
    """Return the queue that a registration names."""
    return pb.RegisterQueueRequest.FromString(envelope.data.value).queuename or "made.up"


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    """A scripted server over websockets."""
    async for one in scripted_websocket(None):
        yield one


async def scripted_websocket(context: ssl.SSLContext | None) -> AsyncIterator[ScriptedServer]:
    one = ScriptedServer()
    async with serve(
        one.websocket, "127.0.0.1", 0, ssl=context, compression=None, max_size=None
    ) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        one.url = f"{'wss' if context else 'ws'}://localhost:{port}"
        if context is None:
            one.url = f"ws://127.0.0.1:{port}"
        yield one


@pytest.fixture
async def scripted_grpc() -> AsyncIterator[ScriptedServer]:
    """A scripted server over gRPC."""
    one = ScriptedServer()
    _, service, method = FLOW_METHOD.split("/")
    running = grpc.aio.server()
    running.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                service, {method: grpc.stream_stream_rpc_method_handler(one.stream)}
            ),
        )
    )
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    one.url = f"grpc://127.0.0.1:{port}"
    try:
        yield one
    finally:
        await running.stop(0)
