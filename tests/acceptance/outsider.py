"""A small OpenIAP client of the tests' own: it pushes and counts, and shares no code with the
clients under test but the message definitions."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import httpx
import websockets
from google.protobuf.message import Message

from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build, parse, unpack
from worker.openiap.wire.framing import FrameReader, frame

M = TypeVar("M", bound=Message)
BATCH = 500
DEADLINE = 60.0
"""Seconds for an answer; as in ``processes.WAIT``."""


class Outsider:
    """Signs in and calls; use as ``async with Outsider(port, user, password) as outsider``."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._port = port
        self._user = user
        self._password = password
        self._seq = itertools.count()
        self._frames = FrameReader()
        self._waiting: dict[str, asyncio.Future[pb.Envelope]] = {}

    async def __aenter__(self) -> "Outsider":
        self._socket = await websockets.connect(
            f"ws://127.0.0.1:{self._port}/ws/v2",
            max_size=None,
            compression=None,
            proxy=None,
            open_timeout=DEADLINE,
            ping_interval=None,  # a server that is slow, or frozen by the test, is no dead one
        )
        self._reader = asyncio.create_task(self._read())
        try:
            await self.call(
                "signin",
                pb.SigninRequest(username=self._user, password=self._password),
                pb.SigninResponse,
            )
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def call(self, command: str, request: Message, kind: type[M]) -> M:
        """Send one request and return its reply."""
        number = next(self._seq)
        envelope = build(command, request, id=f"outsider-{number}", seq=number)
        future: asyncio.Future[pb.Envelope] = asyncio.get_running_loop().create_future()
        self._waiting[envelope.id] = future
        await self._socket.send(frame(envelope.SerializeToString()))
        async with asyncio.timeout(DEADLINE):
            reply = await future
        if reply.command == "error":
            raise RuntimeError(f"{command}: {unpack(reply, pb.ErrorResponse).message}")
        return unpack(reply, kind)

    async def queue(self, name: str, **options: Any) -> None:
        """Create a work item queue."""
        await self.call(
            "addworkitemqueue",
            pb.AddWorkItemQueueRequest(workitemqueue=pb.WorkItemQueue(name=name, **options)),
            pb.AddWorkItemQueueResponse,
        )

    async def push(
        self, queue: str, payloads: Sequence[dict[str, Any]], *, ahead: float = 0.0
    ) -> list[str]:
        """Push items in bulk, due so many seconds from now; returns their ids in order."""
        ids: list[str] = []
        for start in range(0, len(payloads), BATCH):
            items = [
                pb.Workitem(name=f"{queue} {start + n}", payload=json.dumps(payload))
                for n, payload in enumerate(payloads[start : start + BATCH])
            ]
            request = pb.PushWorkitemsRequest(wiq=queue, items=items)
            if ahead:
                request.nextrun.FromNanoseconds(int((time.time() + ahead) * 1e9))
            reply = await self.call("pushworkitems", request, pb.PushWorkitemsResponse)
            ids += [item._id for item in reply.workitems]
        return ids

    async def pop(self, queue: str) -> str:
        """Pop one item, as a foreign worker does; returns its id or ""."""
        reply = await self.call(
            "popworkitem", pb.PopWorkitemRequest(wiq=queue), pb.PopWorkitemResponse
        )
        return str(reply.workitem._id)

    async def query(
        self, collection: str, query: dict[str, Any], projection: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return documents."""
        request = pb.QueryRequest(
            collectionname=collection,
            query=json.dumps(query),
            projection=json.dumps(projection) if projection else "",
            top=1_000_000,
        )
        found: list[dict[str, Any]] = json.loads(
            (await self.call("query", request, pb.QueryResponse)).results
        )
        return found

    async def replace(self, collection: str, document: dict[str, Any]) -> None:
        """Write a document over the one of its ``_id``."""
        request = pb.UpdateOneRequest(collectionname=collection, item=json.dumps(document))
        await self.call("updateone", request, pb.UpdateOneResponse)

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Delete documents."""
        request = pb.DeleteManyRequest(collectionname=collection, ids=ids)
        await self.call("deletemany", request, pb.DeleteManyResponse)

    async def count(self, queue: str, *states: str) -> int:
        """Return how many items of a queue are in one of the states."""
        return await self.count_of("workitems", {"wiq": queue, "state": {"$in": list(states)}})

    async def count_of(self, collection: str, query: dict[str, Any]) -> int:
        """Return how many documents a query finds."""
        request = pb.CountRequest(collectionname=collection, query=json.dumps(query))
        return int((await self.call("count", request, pb.CountResponse)).result)

    async def items(self, queue: str) -> list[dict[str, Any]]:
        """Return a queue's items without their payloads' bulk."""
        return await self.query("workitems", {"wiq": queue})

    async def faults(self, **values: Any) -> None:
        """Switch faults of the server."""
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
            answer = await client.post(f"http://127.0.0.1:{self._port}/faults", json=values)
            answer.raise_for_status()

    async def stats(self) -> dict[str, int]:
        """Return what the server counted: commands by name."""
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
            answer = await client.get(f"http://127.0.0.1:{self._port}/stats")
            counted: dict[str, int] = answer.json()
            return counted

    async def _read(self) -> None:
        try:
            await self._take_all()
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the link has ended"))
            self._waiting.clear()

    async def _take_all(self) -> None:
        async for message in self._socket:
            data = message if isinstance(message, bytes) else message.encode()
            for body in self._frames.feed(data):
                envelope = parse(body)
                if envelope.command == "ping":
                    pong = build("pong", rid=envelope.id, seq=next(self._seq))
                    await self._socket.send(frame(pong.SerializeToString()))
                future = self._waiting.pop(envelope.rid, None) if envelope.rid else None
                if future is not None and not future.done():
                    future.set_result(envelope)
