"""Who is connected, over whatever transport; drops the silent and the strangers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.localserver.operations.services import Services
from worker.localserver.protocol.session import Link, Session

MOST_PER_ADDRESS: Final = 4_096
MOST_GUESTS: Final = 256
"""Connections of one address that are not signed in yet."""


class Sessions:
    """Keeps the sessions of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: set[Session] = set()

    def has_room(self, address: str) -> bool:
        """Say whether one more connection may come from an address."""
        there = [session for session in self._sessions if session.address == address]
        guests = sum(session.user is None for session in there)
        if len(there) < MOST_PER_ADDRESS and guests < MOST_GUESTS:
            return True
        self.log(f"connection refused: {len(there)} of {address}, {guests} not signed in")
        return False

    def log(self, line: str) -> None:
        """Write a line to the server's log."""
        self._services.options.log(line)

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
        """Renew tokens, drop who did not sign in, and ping those who asked for it.

        Asked is at the sign-in. As on OpenIAP nobody else is pinged, or dropped for being silent.
        Whatever is odd about one session costs that one.
        """
        now = time.monotonic()
        for session in tuple(self._sessions):
            try:
                self._keep_alive(session, now)
            except Exception as error:  # the others are to be kept as well
                self.log(f"connection closed: {type(error).__name__}: {error}")
                session.disconnect()

    def _keep_alive(self, session: Session, now: float) -> None:
        options = self._services.options
        if session.pinged and now - session.heard > options.silence_limit:
            self.log("connection closed: the client was silent for too long")
            session.disconnect()
        elif session.user is None and now - session.opened > options.signin_limit:
            self.log("connection closed: the client did not sign in")
            session.disconnect()
        else:
            session.renew()
            if session.pinged:
                session.ping()
