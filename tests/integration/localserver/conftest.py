"""A client of the raw protocol, with none of the project's own client code, and its servers."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from google.protobuf.message import Message
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from worker.localserver import LocalServer, ServerOptions
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import FLOW_METHOD, build, message_name, parse
from worker.openiap.wire.framing import FrameReader, frame

DEADLINE = 60.0
USER, PASSWORD = "tester", "correct horse"


class ServerSaidError(Exception):
    """The server answered with ``error``; the text is its message."""


class Wire(Protocol):
    """Bytes of envelopes, in and out."""

    async def send(self, body: bytes) -> None: ...
    async def receive(self) -> bytes: ...
    async def close(self) -> None: ...


class WebsocketWire:
    """Envelopes over a websocket."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._reader = FrameReader()
        self._bodies: list[bytes] = []

    async def send(self, body: bytes) -> None:
        await self._connection.send(frame(body))

    async def receive(self) -> bytes:
        while not self._bodies:
            self._bodies.extend(self._reader.feed(await self._connection.recv()))
        return self._bodies.pop(0)

    async def close(self) -> None:
        await self._connection.close()


class GrpcWire:
    """Envelopes over a gRPC stream."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", 64 * 1024 * 1024),
                ("grpc.max_send_message_length", 64 * 1024 * 1024),
                # Another server may have had this port: its link must not be taken over.
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._call = self._channel.stream_stream(FLOW_METHOD)()
        self._writing = asyncio.Lock()

    async def send(self, body: bytes) -> None:
        # The answer to a ping may leave while a test sends: two writes at once end the call.
        async with self._writing:
            await self._call.write(body)

    async def receive(self) -> bytes:
        body = await self._call.read()
        if body is grpc.aio.EOF:
            raise ConnectionResetError("the stream ended")
        return body

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close()


class RawClient:
    """Speaks envelopes; keeps what was not asked for in ``events``."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.events: asyncio.Queue[pb.Envelope] = asyncio.Queue()
        self.streams: dict[str, list[pb.Envelope]] = {}
        self.closed = asyncio.Event()
        self.jwt = ""
        self._ids = itertools.count(1)
        self._seq = itertools.count()
        self._waiting: dict[str, asyncio.Future[pb.Envelope]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        last, why = -1, "closed"
        try:
            while True:
                envelope = parse(await self.wire.receive())
                assert envelope.seq > last, "the server's numbers must rise"
                last = envelope.seq
                if envelope.command == "ping":
                    await self.send(build("pong", rid=envelope.id))
                if envelope.command in ("beginstream", "stream", "endstream"):
                    self.streams.setdefault(envelope.rid, []).append(envelope)
                elif envelope.rid in self._waiting:
                    self._waiting.pop(envelope.rid).set_result(envelope)
                else:
                    self.events.put_nowait(envelope)
        except (ConnectionClosed, ConnectionResetError, grpc.aio.AioRpcError, OSError) as error:
            why = repr(error)
        finally:
            self.closed.set()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError(f"the link is gone: {why}"))

    async def send(self, envelope: pb.Envelope) -> None:
        envelope.seq = next(self._seq)
        await self.wire.send(envelope.SerializeToString())

    async def start(self, command: str, message: Message | None, **fields: Any) -> asyncio.Future:
        request = build(command, message, id=f"r{next(self._ids)}", **fields)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = waiting
        await self.send(request)
        return waiting

    async def envelope(self, command: str, message: Message | None, **fields: Any) -> pb.Envelope:
        waiting = await self.start(command, message, **fields)
        return await asyncio.wait_for(waiting, DEADLINE)

    async def ask(self, command: str, message: Message | None, **fields: Any) -> Any:
        reply = await self.envelope(command, message, **fields)
        return answer_of(reply)

    async def sign_in(self, username: str = USER, password: str = PASSWORD, **fields: Any) -> Any:
        reply = await self.ask(
            "signin", pb.SigninRequest(username=username, password=password, **fields)
        )
        self.jwt = reply.jwt
        return reply

    async def event(self, command: str) -> Any:
        """Return the next event of this command; others are dropped."""
        async with asyncio.timeout(DEADLINE):
            while True:
                envelope = await self.events.get()
                if envelope.command == command:
                    kind = getattr(pb, message_name(envelope) or "ErrorResponse")
                    return kind.FromString(envelope.data.value)

    async def queue(self, name: str, *, skiprole: bool = False, **fields: Any) -> pb.WorkItemQueue:
        """Make a queue; where its items go on to is written into its document."""
        targets = {key: fields.pop(key) for key in [*fields] if key.endswith(("_wiq", "_wiqid"))}
        queue = pb.WorkItemQueue(name=name, **fields)
        reply = await self.ask(
            "addworkitemqueue",
            pb.AddWorkItemQueueRequest(workitemqueue=queue, skiprole=skiprole),
        )
        if targets:
            (document,) = await self.query("mq", {"_id": reply.workitemqueue._id})
            await self.replace("mq", {**document, **targets})
        return reply.workitemqueue

    async def replace(self, collection: str, document: object) -> dict[str, Any]:
        reply = await self.ask(
            "updateone",
            pb.UpdateOneRequest(collectionname=collection, item=json.dumps(document)),
        )
        return json.loads(reply.result)

    async def push(self, wiq: str, payload: object = None, **fields: Any) -> pb.Workitem:
        text = payload if isinstance(payload, str) else json.dumps(payload or {})
        reply = await self.ask(
            "pushworkitem", pb.PushWorkitemRequest(wiq=wiq, payload=text, **fields)
        )
        return reply.workitem

    async def pop(self, wiq: str, **fields: Any) -> pb.Workitem | None:
        reply = await self.ask("popworkitem", pb.PopWorkitemRequest(wiq=wiq, **fields))
        return reply.workitem if reply.HasField("workitem") else None

    async def update(
        self, item_id: str, state: str = "", payload: str = "null", **fields: Any
    ) -> pb.Workitem:
        outer = {name: fields.pop(name) for name in ("ignoremaxretries", "files") if name in fields}
        item = pb.Workitem(_id=item_id, state=state, payload=payload, **fields)
        reply = await self.ask("updateworkitem", pb.UpdateWorkitemRequest(workitem=item, **outer))
        return reply.workitem

    async def query(self, collection: str, query: object, **fields: Any) -> list[dict[str, Any]]:
        for name in ("projection", "orderby"):
            if name in fields and not isinstance(fields[name], str):
                fields[name] = json.dumps(fields[name])
        reply = await self.ask(
            "query",
            pb.QueryRequest(collectionname=collection, query=json.dumps(query), **fields),
        )
        return json.loads(reply.results)

    async def insert(self, collection: str, document: object) -> dict[str, Any]:
        reply = await self.ask(
            "insertone",
            pb.InsertOneRequest(collectionname=collection, item=json.dumps(document)),
        )
        return json.loads(reply.result)

    async def upload(self, filename: str, data: bytes, metadata: str = "") -> pb.UploadResponse:
        request = pb.UploadRequest(filename=filename, metadata=metadata)
        waiting = await self.start("upload", request)
        rid = next(reversed(self._waiting))
        await self.send(build("beginstream", pb.BeginStream(), rid=rid))
        for start in range(0, len(data), 1024 * 1024):
            part = pb.Stream(data=data[start : start + 1024 * 1024])
            await self.send(build("stream", part, rid=rid))
        await self.send(build("endstream", pb.EndStream(), rid=rid))
        return answer_of(await asyncio.wait_for(waiting, DEADLINE))

    async def download(self, file_id: str) -> bytes:
        waiting = await self.start("download", pb.DownloadRequest(id=file_id))
        rid = next(reversed(self._waiting))
        answer_of(await asyncio.wait_for(waiting, DEADLINE))
        parts = self.streams.pop(rid)
        assert [parts[0].command, parts[-1].command] == ["beginstream", "endstream"]
        return b"".join(pb.Stream.FromString(one.data.value).data for one in parts[1:-1])

    async def close(self) -> None:
        await self.wire.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader


def answer_of(reply: pb.Envelope) -> Any:
    message = getattr(pb, message_name(reply)).FromString(reply.data.value)
    if reply.command == "error":
        raise ServerSaidError(message.message)
    return message


Connect = Callable[..., Awaitable[RawClient]]
Serve = Callable[..., Awaitable[LocalServer]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Start servers; whatever still runs is stopped at the end."""
    servers: list[LocalServer] = []

    async def start(**options: Any) -> LocalServer:
        options.setdefault("users", {USER: PASSWORD})
        server = LocalServer(ServerOptions(**options))
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect to servers; every client is closed at the end."""
    clients: list[RawClient] = []

    async def start(
        server: LocalServer, transport: str = "ws", *, signed_in: bool = True
    ) -> RawClient:
        if transport == "grpc":
            wire: Wire = GrpcWire(server.grpc_url.removeprefix("grpc://"))
        else:
            wire = WebsocketWire(
                await connect_websocket(
                    f"{server.ws_url}/ws/v2",
                    max_size=64 * 1024 * 1024,
                    compression=None,
                    open_timeout=DEADLINE,
                    ping_interval=None,  # OpenIAP has its own pings
                    close_timeout=DEADLINE,
                )
            )
        client = RawClient(wire)
        clients.append(client)
        if signed_in:
            await client.sign_in()
        return client

    yield start
    for client in clients:
        await client.close()


@pytest.fixture(params=["ws", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def server(serve: Serve) -> LocalServer:
    return await serve()


@pytest.fixture
async def client(server: LocalServer, connect: Connect) -> RawClient:
    return await connect(server)
