"""HTTP connections as uvicorn has them, bounded: in number per address, and in time for a request.

uvicorn bounds the size of a request's head and not its time, so that a client which sends a byte
now and then would keep its connection for ever. A body is bounded in the same time, unless whoever
serves it does that.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN: Final = 10.0
"""Seconds from a connection's first byte, or its beginning, to the end of a request's head."""
MOST_PER_ADDRESS: Final = 256


class BoundedHttp(H11Protocol):
    """One HTTP connection, or a websocket's before its upgrade."""

    def __init__(self, counted: Counter[str], bodies: bool, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._counted = counted
        self._unfinished = (h11.IDLE, h11.SEND_BODY) if bodies else (h11.IDLE,)
        self._address: str | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or end it where there are too many of its address."""
        super().connection_made(cast(asyncio.Transport, transport))
        address = address_of(transport)
        if self._counted[address] >= MOST_PER_ADDRESS:
            self.transport.abort()
            return
        self._address = address
        self._counted[address] += 1
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, which has to be whole in time."""
        if self._deadline is None:
            self._expect_request()
        super().data_received(data)
        if self.conn.their_state not in self._unfinished:
            self._stop_expecting()

    def on_response_complete(self) -> None:
        """Wait for the next request; one that came behind this one may be here in part."""
        super().on_response_complete()
        begun = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        if begun and self._deadline is None and self.conn.their_state in self._unfinished:
            self._expect_request()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection on; sessions have bounds of their own."""
        self._leave()
        super().handle_websocket_upgrade(event)

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_WITHIN, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.conn.their_state in self._unfinished and not self.transport.is_closing():
            self.transport.abort()

    def _stop_expecting(self) -> None:
        """A request is whole; the connection stays for others, until uvicorn finds none."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _leave(self) -> None:
        self._stop_expecting()
        if self._address is not None:
            self._counted[self._address] -= 1
            if not self._counted[self._address]:
                del self._counted[self._address]
            self._address = None


def bounded_http(*, bodies: bool = True) -> Callable[..., BoundedHttp]:
    """Return what uvicorn makes its connections with; each server counts its own.

    Args:
        bodies: whether a request's body has to come in the time of its head.
    """
    counted: Counter[str] = Counter()

    def make(config: uvicorn.Config, **named: Any) -> BoundedHttp:
        return BoundedHttp(counted, bodies, config, **named)

    return make


def address_of(transport: asyncio.BaseTransport) -> str:
    """Return where the other side is, without its port; "" where that is not known."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
