"""The HTTP service that the demo's items call: busy at the first call of each booking.

A few lines of HTTP over asyncio, on loopback, for one demo; no web server is needed for that.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

BOOKINGS: Final = "/bookings/"
MOST_BODY: Final = 64 * 1024
PATIENCE: Final = 10.0


@asynccontextmanager
async def demo_service() -> AsyncIterator[str]:
    """Serve on a free port of loopback; yields the URL."""
    service = _Service()
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"


class _Service:
    def __init__(self) -> None:
        self._seen: set[str] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await reader.readexactly(_length(head))
                status, body = self._reply(head.split(" ")[1])
                writer.write(_message(status, body))
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _reply(self, path: str) -> tuple[str, object]:
        if not path.startswith(BOOKINGS):
            return "404 Not Found", {"error": "there is nothing here"}
        if path not in self._seen:
            self._seen.add(path)
            return "503 Service Unavailable", {"error": "busy, come again"}
        return "200 OK", {"booked": path.removeprefix(BOOKINGS)}


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length":
            return min(int(value), MOST_BODY)
    return 0


def _message(status: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    again = "Retry-After: 1\r\n" if status.startswith("503") else ""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{again}"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
