"""The websockets of a console's pages without browsers: a child of ``watched.py``.

Each page is asked for, and its websocket kept open as NiceGUI's own script does it: what comes is
taken and acknowledged, and drawn nowhere. Lines on standard input say ``look`` and ``leave``; each
is answered when it is done.
"""

import asyncio
import json
import re
import sys
from typing import Any, Final
from uuid import uuid4

import httpx
import socketio

PATH: Final = "/_nicegui_ws/socket.io"
PAGE: Final = re.compile(r"[\"']client_id[\"']\s*:\s*[\"']([0-9a-f-]+)[\"']")
ACKNOWLEDGED_EVERY: Final = 3.0
WITHIN: Final = 60.0


class Socket:
    """The websocket of one page."""

    def __init__(self, url: str, path: str, cookie: str) -> None:
        self._url = url
        self._path = path
        self._headers = {"Cookie": cookie, "Origin": url}
        self._client: Any = None
        self._acknowledging: asyncio.Task[None] | None = None
        self._next = self._acknowledged = 0

    async def look(self) -> None:
        """Ask for the page, and open its websocket.

        Raises:
            ValueError: what came is no page of NiceGUI's.
        """
        async with httpx.AsyncClient(timeout=WITHIN, trust_env=False) as http:
            page = await http.get(f"{self._url}{self._path}", headers=self._headers)
        found = PAGE.search(page.text.replace("&quot;", '"').replace('\\"', '"'))
        if found is None:
            raise ValueError(f"{self._path}: {page.status_code}, and no page of NiceGUI's")
        id = found[1]
        self._next = self._acknowledged = 0
        self._client = socketio.AsyncClient(reconnection=False)
        self._client.on("*", self._take)
        tab = f"tab_id={uuid4()}&document_id={uuid4()}&old_tab_id="
        query = f"client_id={id}&next_message_id=0&implicit_handshake=true&{tab}"
        await self._client.connect(
            f"{self._url}?{query}",
            headers=dict(self._headers),  # it takes the cookie out
            transports=["websocket"],
            socketio_path=PATH,
        )
        self._acknowledging = asyncio.create_task(self._acknowledge(id))

    async def leave(self) -> None:
        """Close it.

        Raises:
            ConnectionError: it was closed already.
        """
        was_open = self._client is not None and self._client.connected
        if self._acknowledging is not None:
            self._acknowledging.cancel()
        if self._client is not None:
            await self._client.disconnect()
        self._client = None
        if not was_open:
            raise ConnectionError(f"the websocket of {self._path} did not stay open")

    async def _take(self, name: str, data: Any = None) -> None:
        if isinstance(data, dict) and isinstance(data.get("_id"), int):
            self._next = data["_id"] + 1

    async def _acknowledge(self, id: str) -> None:
        while True:
            await asyncio.sleep(ACKNOWLEDGED_EVERY)
            if self._next > self._acknowledged:
                self._acknowledged = self._next
                await self._client.emit("ack", {"client_id": id, "next_message_id": self._next})

    @property
    def messages(self) -> int:
        """How many came."""
        return self._next


async def main() -> None:
    about = json.loads(sys.argv[1])
    opened = [Socket(about["url"], path, about["cookie"]) for path in about["paths"]]
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        for one in opened:
            await (one.look() if line == "look" else one.leave())
        if line == "leave":
            print([one.messages for one in opened], file=sys.stderr, flush=True)
        print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
