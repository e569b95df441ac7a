"""Envelopes over gRPC: one message is one envelope, in one bidirectional stream."""

import asyncio
import contextlib
import os
import ssl
from collections import deque
from typing import Any, Final

# gRPC's core writes lines of its own to stderr, for example when a server goes away; what happens
# to the link is told through the log instead. It reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
from grpc import aio

from worker.openiap.errors import NotConnected
from worker.openiap.native.endpoint import Endpoint
from worker.openiap.native.transport import HIGH_WATER, Receiver
from worker.openiap.server_info import is_loopback
from worker.openiap.wire.envelope import FLOW_METHOD
from worker.openiap.wire.framing import MAX_FRAME

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_FRAME),
    ("grpc.max_send_message_length", MAX_FRAME),
    # One connection of its own per client: limits are per connection, and a dead one must not be
    # shared with the attempt to replace it.
    ("grpc.use_local_subchannel_pool", 1),
    # A fixed window of what may be under way: left to itself the library lets it grow, and a
    # download then fills 20 MB of memory whatever is read of it.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
)

# The stubs do not know it.
_EOF: Final[Any] = vars(aio)["EOF"]


class GrpcTransport:
    """A ``Transport`` over one gRPC stream; a task reads and a task writes."""

    def __init__(self, channel: Any, call: Any, receiver: Receiver) -> None:
        self._channel = channel
        self._call = call
        self._receiver = receiver
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._reading = asyncio.Event()
        self._reading.set()
        self._ended = False
        self._tasks = (
            asyncio.create_task(self._read(), name="openiap grpc reader"),
            asyncio.create_task(self._write(), name="openiap grpc writer"),
        )

    def send(self, body: bytes) -> None:
        """Queue one envelope."""
        if self._ended:
            return
        self._waiting.append(body)
        self._empty.clear()
        self._bytes += len(body)
        if self._bytes > HIGH_WATER:
            self._drained.clear()
        self._wake.set()

    async def drain(self) -> None:
        """Wait until little waits to be sent, or the link is closed."""
        await self._drained.wait()

    def pause_reading(self) -> None:
        """Take no more bytes."""
        self._reading.clear()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._reading.set()

    def abort(self) -> None:
        """Drop the link at once."""
        self._end("the connection was dropped")

    async def close(self, timeout: float) -> None:
        """Send what is queued, and close within ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError, grpc.RpcError, asyncio.InvalidStateError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()
                if not self._ended:
                    await self._call.done_writing()
        self._end("the connection was closed by this side")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    async def _read(self) -> None:
        reason = "the server ended the stream"
        try:
            while True:
                await self._reading.wait()
                body = await self._call.read()
                if body is _EOF:
                    break
                self._receiver.heard()
                self._receiver.received(body)
        except asyncio.CancelledError:
            # Cancelled by the library with the call, or by this side's own end.
            reason = "the stream was cancelled"
        except Exception as error:  # whatever the library raises, the link must not stay deaf
            reason = _reason(error)
        self._end(reason)

    async def _write(self) -> None:
        try:
            while True:
                if not self._waiting:
                    self._empty.set()
                    self._wake.clear()
                    await self._wake.wait()
                body = self._waiting.popleft()
                await self._call.write(body)
                self._bytes -= len(body)
                if self._bytes <= HIGH_WATER:
                    self._drained.set()
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The call has ended; its reader knows why.
            return
        except Exception as error:  # as above
            self._end(_reason(error))

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._waiting.clear()
        self._drained.set()
        self._empty.set()
        self._call.cancel()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._receiver.closed(reason)


def _reason(error: BaseException) -> str:
    if isinstance(error, aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__


async def open_grpc(
    endpoint: Endpoint, receiver: Receiver, context: ssl.SSLContext | None
) -> GrpcTransport:
    """Open the stream and wait until the server has taken it.

    Raises:
        NotConnected: nobody listens there, or it does not speak OpenIAP's gRPC.
    """
    # The library asks the environment's proxy by itself, for this machine too.
    options = (*_OPTIONS, ("grpc.enable_http_proxy", 0 if is_loopback(endpoint.host) else 1))
    channel: Any  # The stubs ask for serializers, which bytes do without.
    if context is None:
        channel = aio.insecure_channel(endpoint.authority, options=options)
    else:
        channel = aio.secure_channel(
            endpoint.authority, grpc.ssl_channel_credentials(_roots(context)), options=options
        )
    try:
        call = channel.stream_stream(FLOW_METHOD)()
        # The server sends its initial metadata at once (protocol.md, Transports).
        await call.initial_metadata()
        if call.done():
            raise NotConnected(
                f"{endpoint.authority} cannot be reached: {(await call.code()).name}: "
                f"{await call.details()}"
            )
    except grpc.RpcError as error:
        await channel.close()
        raise NotConnected(f"{endpoint.authority} cannot be reached: {_reason(error)}") from error
    except BaseException:
        await channel.close()
        raise
    return GrpcTransport(channel, call, receiver)


def _roots(context: ssl.SSLContext) -> bytes | None:
    """Return the trusted roots as PEM; None leaves gRPC to the ones it brings along."""
    found = context.get_ca_certs(binary_form=True)
    if not found:
        return None
    return "".join(ssl.DER_cert_to_PEM_cert(certificate) for certificate in found).encode()
