"""Who is connected, over whatever transport; pings them, and drops the silent."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.localserver.operations.services import House
from worker.localserver.protocol.session import Link, Session


class Door:
    """Keeps the sessions of a server."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._sessions: set[Session] = set()

    @contextmanager
    def entered(self, link: Link) -> Iterator[Session]:
        """Give a new connection its session, for as long as it lasts."""
        session = Session(self._house, link)
        self._sessions.add(session)
        self._house.stats["connections"] += 1
        session.open()
        try:
            yield session
        finally:
            self._sessions.discard(session)
            session.close()

    def drop_all(self) -> None:
        """Cut every link at once."""
        for session in tuple(self._sessions):
            session.disconnect()

    async def keep_alive(self) -> None:
        """Ping every client, and drop those that were silent for too long, for ever."""
        options = self._house.options
        while True:
            await asyncio.sleep(options.ping_interval)
            for session in tuple(self._sessions):
                if time.monotonic() - session.heard > options.silence_limit:
                    options.log("connection closed: the client was silent for too long")
                    session.disconnect()
                else:
                    session.ping()
