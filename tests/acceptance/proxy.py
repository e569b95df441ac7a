"""A proxy between worker and server that can hurt the link, and act at exact messages.

1. Links can be cut, refused, delayed, frozen (kept open, nothing moves) and half-opened (kept
   open, what is sent is swallowed for good).
2. Websockets are taken apart into OpenIAP's messages, so that a tap can see, hold or drop one
   message: the request of a pop, the reply of an update.
3. Requests can be refused in the server's place, by the text that it would send.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build, parse, unpack
from worker.openiap.wire.framing import FrameReader, frame

BINARY: Final = (0, 2)
"""Opcodes of binary messages: a continuation, and a first frame."""
CHUNK: Final = 64 * 1024

Side = Literal["request", "reply"]


@dataclass
class Tap:
    """Waits for one message and does something to it.

    Attributes:
        command: the request's command, ``popworkitem`` for example; ``updateworkitem`` stands for
            an outcome that is written by a conditional update as well.
        side: the request itself, or its reply.
        match: sees the request and, for a reply, the reply; says whether this is the one.
        act: ``pass`` lets it through, ``hold`` keeps it until ``Proxy.release``, ``drop`` loses it.
        once: only the first match counts.
    """

    command: str
    side: Side
    match: Callable[[pb.Envelope, pb.Envelope | None], bool] = lambda request, reply: True
    act: Literal["pass", "hold", "drop"] = "pass"
    once: bool = True
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    count: int = 0


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: "Proxy", near: "Pipe", far: "Pipe") -> None:
        self.proxy = proxy
        self.near = near
        self.far = far
        self.swallowed = False
        self.requests: dict[str, pb.Envelope] = {}
        self.held: list[tuple[Pipe, bytes]] = []

    def cut(self) -> None:
        """End it at once, both ways, as a cable that is pulled from both machines' view."""
        for pipe in (self.near, self.far):
            pipe.writer.transport.abort()


@dataclass
class Pipe:
    """One end of a link: what comes from it, and what is written to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Proxy:
    """Forwards one port to another; use as ``async with Proxy(target) as proxy``."""

    def __init__(self, target_port: int, *, host: str = "127.0.0.1") -> None:
        self.taps: list[Tap] = []
        self.delay = 0.0
        """Seconds that every piece waits, each way."""
        self.refusing: Callable[[Side, pb.Envelope], str | None] | None = None
        """Given each request, and again when its reply comes, says with which error it is answered
        instead; "" for no answer at all, None for the true one. A request that is refused as such
        is not executed."""
        self.turned_away = 0
        """How many new links were dropped at once, since ``refuse``."""
        self._host = host
        self._target = target_port
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._half_open = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, self._host, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where the worker connects to."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def tap(self, command: str, side: Side, **how: object) -> Tap:
        """Add a tap; see ``Tap``."""
        tap = Tap(command, side, **how)  # type: ignore[arg-type]
        self.taps.append(tap)
        return tap

    def cut(self) -> None:
        """Drop all links; new ones may come."""
        for link in tuple(self._links):
            link.cut()

    def refuse(self) -> None:
        """Drop all links, and every new one at once."""
        self._refusing = True
        self.turned_away = 0
        self.cut()

    def freeze(self) -> None:
        """Keep all links open and move nothing; what is sent waits."""
        self._flowing.clear()

    def half_open(self) -> None:
        """Keep all links open and swallow what is sent, as when the peer vanished."""
        self._half_open = True
        for link in self._links:
            link.swallowed = True

    def restore(self) -> None:
        """Let everything through again; links that were half-open stay dead."""
        self._refusing = self._half_open = False
        self.delay = 0.0
        self._flowing.set()

    def release(self) -> int:
        """Send on what taps held; returns how many messages."""
        count = 0
        for link in self._links:
            for pipe, data in link.held:
                pipe.writer.write(data)
                count += 1
            link.held.clear()
        return count

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self.turned_away += 1
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, Pipe(reader, writer), Pipe(far_reader, far_writer))
        link.swallowed = self._half_open
        self._links.add(link)
        try:
            await self._run(link)
        finally:
            self._links.discard(link)
            link.cut()

    async def _run(self, link: Link) -> None:
        out = asyncio.create_task(self._pump(link, link.near, link.far, "request"))
        back = asyncio.create_task(self._pump(link, link.far, link.near, "reply"))
        try:
            await asyncio.wait({out, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (out, back):
                task.cancel()
            await asyncio.gather(out, back, return_exceptions=True)

    async def _pump(self, link: Link, source: Pipe, target: Pipe, side: Side) -> None:
        stream = Messages(masked=side == "request")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await source.reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                if link.swallowed:
                    continue
                for piece, body in stream.feed(data):
                    if body is not None and not self._passes(link, target, side, body, piece):
                        continue
                    if target.writer.is_closing():
                        return
                    target.writer.write(piece)
                await target.writer.drain()

    def _passes(self, link: Link, target: Pipe, side: Side, body: bytes, piece: bytes) -> bool:
        envelope = parse(body)
        if side == "request":
            if envelope.rid:
                return True
            request, reply = envelope, None
            link.requests[envelope.id] = envelope
        else:
            found = link.requests.pop(envelope.rid, None) if envelope.rid else None
            if found is None:
                return True
            request, reply = found, envelope
        text = None if self.refusing is None else self.refusing(side, request)
        if text is not None:
            link.requests.pop(request.id, None)
            if text:
                error = build("error", pb.ErrorResponse(message=text), rid=request.id)
                answer = Messages(masked=False).whole(frame(error.SerializeToString()))
                if not link.near.writer.is_closing():
                    link.near.writer.write(answer)
            return False
        for tap in self.taps:
            if tap.side != side or not is_command(request, tap.command):
                continue
            if (tap.once and tap.count) or not tap.match(request, reply):
                continue
            tap.count += 1
            tap.reached.set()
            if tap.act == "hold":
                link.held.append((target, piece))
                return False
            if tap.act == "drop":
                return False
        return True


class Messages:
    """Splits one direction of a connection: HTTP as it is, websocket messages one by one.

    What it yields is to be sent on: pieces of bytes, and for an OpenIAP message its body too, then
    in a websocket message of its own.
    """

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._buffer = bytearray()
        self._websocket = False
        self._plain = False
        self._frames = FrameReader()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Take what was read; yield what is whole."""
        if self._plain:
            yield data, None
            return
        self._buffer += data
        if not self._websocket:
            head, end, _ = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end:
                return
            size = len(head) + len(end)
            if b"upgrade: websocket" not in head.lower():
                self._plain = True
                yield bytes(self._buffer), None
                return
            self._websocket = True
            yield bytes(self._buffer[:size]), None
            del self._buffer[:size]
        while True:
            found = self._one()
            if found is None:
                return
            opcode, raw, payload = found
            if opcode not in BINARY:
                yield raw, None
                continue
            for body in self._frames.feed(payload):
                yield self.whole(frame(body)), body

    def _one(self) -> tuple[int, bytes, bytes] | None:
        """Cut one websocket frame (RFC 6455) off the buffer."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, at = buffer[1] & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(buffer[2:4], "big"), 4
        elif length == 127:
            length, at = int.from_bytes(buffer[2:10], "big"), 10
        masked = bool(buffer[1] & 0x80)
        mask = bytes(buffer[at : at + 4]) if masked else b""
        at += 4 if masked else 0
        end = at + length
        if len(buffer) < max(end, at) or len(buffer) < at:
            return None
        raw = bytes(buffer[:end])
        payload = raw[at:]
        if masked:
            key = int.from_bytes(mask * (length // 4 + 1), "little")
            size = len(mask) * (length // 4 + 1)
            wide = payload + b"\0" * (size - length)
            payload = (int.from_bytes(wide, "little") ^ key).to_bytes(size, "little")[:length]
        del buffer[:end]
        return raw[0] & 0x0F, raw, payload

    def whole(self, payload: bytes) -> bytes:
        """Make a whole binary websocket message; a mask of zeros changes nothing."""
        bit = 0x80 if self._masked else 0
        size = len(payload)
        if size < 126:
            head = bytes((0x82, bit | size))
        elif size < 65536:
            head = bytes((0x82, bit | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x82, bit | 127)) + size.to_bytes(8, "big")
        return head + (b"\0\0\0\0" if self._masked else b"") + payload


def pops(queue: str) -> Callable[[pb.Envelope, pb.Envelope | None], bool]:
    """Match pops of a queue; for replies only those that carry an item."""

    def match(request: pb.Envelope, reply: pb.Envelope | None) -> bool:
        if unpack(request, pb.PopWorkitemRequest).wiq != queue:
            return False
        if reply is None:
            return True
        return reply.command != "error" and unpack(reply, pb.PopWorkitemResponse).HasField(
            "workitem"
        )

    return match


def is_command(request: pb.Envelope, command: str) -> bool:
    """Say whether a request is of a command; see ``Tap``."""
    if request.command == command:
        return True
    return (
        command == "updateworkitem"
        and request.command == "updatedocument"
        and "wiq" in outcome_fields(request)
    )


def outcome_fields(request: pb.Envelope) -> dict[str, Any]:
    """Return what a conditional update sets; with an outcome that is the item's queue, too."""
    asked = unpack(request, pb.UpdateDocumentRequest)
    if asked.collectionname != "workitems":
        return {}
    fields: dict[str, Any] = json.loads(asked.document).get("$set", {})
    return fields


def updates(queue: str) -> Callable[[pb.Envelope, pb.Envelope | None], bool]:
    """Match updates of a queue's items, OpenIAP's own as well as conditional ones."""

    def match(request: pb.Envelope, _: pb.Envelope | None) -> bool:
        if request.command == "updatedocument":
            return outcome_fields(request)["wiq"] == queue
        return unpack(request, pb.UpdateWorkitemRequest).workitem.wiq == queue

    return match
