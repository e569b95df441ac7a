"""A small HTTP listener on a thread and a loop of its own: GET and HEAD, one request a connection.

h11 reads the requests. It answers while the worker's loop is blocked, and while callers are slow,
silent or many: the oldest connection that has asked nothing yet makes room for the next one, so
that whoever asks at once is answered, and each has little time and little memory.
"""

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from socket import AF_INET, AF_INET6, SHUT_RDWR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from sys import platform
from typing import Final, cast

import h11

from worker.forks import blind, in_children

MOST_OPEN: Final = 128
"""Connections at once: far fewer than the descriptors that a process may have."""
READ_WITHIN: Final = 5.0
ANSWERED_WITHIN: Final = 60.0
WRITE_WITHIN: Final = 5.0
MOST_HEAD: Final = 16 * 1024
BACKLOG: Final = 256
SLOW_PAGES: Final = 4
"""Threads for pages that may take their time."""
MOST_WAITING: Final = 32

Answer = tuple[int, str, bytes]
"""Status, content type, content."""
Page = Callable[[], Answer]


class Listener:
    """Listens; shape: ``start``, ``stop``.

    Args:
        find: returns a page by the target of a request and what its reader takes, and whether it
            may take its time; called on the listener's thread.
    """

    def __init__(self, host: str, port: int, find: Callable[[str, str], tuple[Page, bool]]) -> None:
        self._find = find
        self._socket = _listening(host, port)
        self._loop = asyncio.new_event_loop()
        self._idle: OrderedDict[_Connection, None] = OrderedDict()
        self._open: OrderedDict[_Connection, None] = OrderedDict()
        self._threads = ThreadPoolExecutor(SLOW_PAGES, thread_name_prefix="health")
        self._waiting = 0
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to answer; who has connected meanwhile is answered as well."""
        # The port would be taken for as long as a forked child lives.
        in_children(self._socket, lambda listening: blind(listening.fileno()))
        self._thread.start()

    def stop(self) -> None:
        """Listen no more. Blocks for as long as the page takes that is being made."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(2.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._socket.close()
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: _Connection(self), sock=self._socket, backlog=BACKLOG
        )
        await self._ended.wait()
        # A child that was forked and hangs still has the socket: so it ends in all copies.
        with contextlib.suppress(OSError):
            self._socket.shutdown(SHUT_RDWR)
        server.close()
        for connection in tuple(self._open):
            connection.end()
        await asyncio.sleep(0)

    def opened(self, connection: "_Connection") -> None:
        """Take one more connection; the oldest that asked nothing yet makes room."""
        self._open[connection] = None
        self._idle[connection] = None
        if len(self._open) > MOST_OPEN:
            next(iter(self._idle or self._open)).end()

    def asked(self, connection: "_Connection", target: str, accept: str) -> None:
        """Answer a request."""
        self._idle.pop(connection, None)
        page, slow = self._find(target, accept)
        if not slow:
            connection.answer(page())
            return
        if self._waiting >= MOST_WAITING:
            connection.answer(plain(HTTPStatus.SERVICE_UNAVAILABLE))
            return
        self._waiting += 1
        self._loop.run_in_executor(self._threads, page).add_done_callback(
            lambda made: self._made(connection, made)
        )

    def _made(self, connection: "_Connection", made: "asyncio.Future[Answer]") -> None:
        self._waiting -= 1
        if not made.cancelled() and made.exception() is None:
            connection.answer(made.result())
        else:
            connection.answer(plain(HTTPStatus.INTERNAL_SERVER_ERROR))

    def closed(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._open.pop(connection, None)
        self._idle.pop(connection, None)


class _Connection(asyncio.Protocol):
    """One connection: one request, one answer."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._asked = False
        self._is_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._expect(READ_WITHIN)
        self._listener.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._asked or self._transport is None:
            return
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            self._asked = True
            self.answer(plain(HTTPStatus(error.error_status_hint)))
            return
        if not isinstance(event, h11.Request):
            return
        self._asked = True
        self._is_head = event.method == b"HEAD"
        self._expect(ANSWERED_WITHIN)
        if event.method not in (b"GET", b"HEAD"):
            self.answer(plain(HTTPStatus.NOT_IMPLEMENTED))
            return
        accept = b",".join(value for name, value in event.headers if name == b"accept")
        self._listener.asked(
            self, event.target.decode("ascii", "replace"), accept.decode("latin-1")
        )

    def eof_received(self) -> bool:
        # Whoever asked and says that no more will come still wants the answer.
        return self._asked

    def answer(self, answer: Answer) -> None:
        """Send an answer and end."""
        status, content_type, content = answer
        if self._transport is None or self._transport.is_closing():
            return
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ]
        head = h11.Response(
            status_code=int(status), headers=headers, reason=HTTPStatus(status).phrase.encode()
        )
        sent = self._http.send(head) or b""
        self._transport.write(sent if self._is_head else sent + content)
        self._expect(WRITE_WITHIN)
        self._transport.close()

    def end(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()
            self._listener.closed(self)

    def _expect(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.end)


def plain(status: HTTPStatus) -> Answer:
    """Return an answer that says no more than its status."""
    return (status, "text/plain", f"{status.value} {status.phrase}\n".encode())


def _listening(host: str, port: int) -> socket:
    """Return a socket that listens.

    Raises:
        OSError, OverflowError: the address cannot be had.
    """
    listening = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
    try:
        # Elsewhere it only skips the wait after a restart; on Windows it would share the port.
        if platform != "win32":
            listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
