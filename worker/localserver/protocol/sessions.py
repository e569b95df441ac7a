"""Who is connected, over whatever transport; pings them, and drops the silent."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.localserver.operations.services import Services
from worker.localserver.protocol.session import Link, Session


class Sessions:
    """Keeps the sessions of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: set[Session] = set()

    @contextmanager
    def opened(self, link: Link) -> Iterator[Session]:
        """Give a new connection its session, for as long as it lasts."""
        session = Session(self._services, link)
        self._sessions.add(session)
        self._services.stats["connections"] += 1
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
        """Ping every client, and drop those that were silent for too long or not signed in."""
        options = self._services.options
        while True:
            await asyncio.sleep(options.ping_interval)
            now = time.monotonic()
            for session in tuple(self._sessions):
                if now - session.heard > options.silence_limit:
                    options.log("connection closed: the client was silent for too long")
                    session.disconnect()
                elif session.user is None and now - session.opened > options.signin_limit:
                    options.log("connection closed: the client did not sign in")
                    session.disconnect()
                else:
                    session.ping()
