"""uvicorn inside another program: it leaves signals alone, is idle at no cost, stops at once."""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

TICK: Final = 1.0
BACKLOG: Final = 2048


class WebServer(uvicorn.Server):
    """Serves until it is told to ``leave``."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Stop serving."""
        self.should_exit = True
        self._leaving.set()

    def abort_links(self) -> None:
        """Cut every connection at once."""
        for connection in tuple(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the program."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when it is up."""
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        """Serve.

        uvicorn's own loop looks ten times a second; this one costs nothing while idle and stops at
        once. The tick renews the Date header.
        """
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), TICK)


@contextlib.contextmanager
def told_to_stop() -> Iterator[asyncio.Event]:
    """Give an event, inside ``with``, that SIGTERM and SIGINT set instead of ending the process."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    caught = (signal.SIGTERM, signal.SIGINT)
    before: dict[signal.Signals, Any] = {}
    for one in caught:
        if sys.platform == "win32":
            before[one] = signal.signal(one, lambda *_: loop.call_soon_threadsafe(stopping.set))
        else:
            loop.add_signal_handler(one, stopping.set)
    try:
        yield stopping
    finally:
        for one in caught:
            if sys.platform == "win32":
                signal.signal(one, before[one])
            else:
                loop.remove_signal_handler(one)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        port: 0 for a free one.

    Raises:
        OSError: the port is taken, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # A restarted server must get its port back at once; Windows means something else by this.
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
