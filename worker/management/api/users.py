"""A link to OpenIAP for each signed-in user, with that user's rights alone.

1. It is opened with the credentials of the sign-in, which are kept in memory while the user has a
   session: links break, and tokens of OpenIAP's last for minutes.
2. Who has signed in several times has one link; a later sign-in's credentials are the ones that it
   comes back with.
3. A link that nobody uses for a while is closed and opened again when it is needed; where there are
   too many, the one that was not used for longest gives way.
4. Credentials that OpenIAP takes no more end the user's sessions.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import SecretStr

from worker._version import __version__
from worker.management.api.options import Limits
from worker.management.api.sessions import UserKey, key_of
from worker.management.errors import RateLimitError, UnauthorizedError, UnavailableError
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.credentials import Credentials
from worker.openiap.errors import AccessDenied, OpenIAPError
from worker.openiap.factory import client_maker, link_times
from worker.openiap.limiter import limiter_of
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.types import User
from worker.settings import Settings
from worker.telemetry.log import Log

REFUSED: Final = "OpenIAP refuses these credentials."
OVER: Final = "OpenIAP takes these credentials no more: sign in again."
AWAY: Final = "OpenIAP does not answer; try again in a moment."


class UserLink:
    """The link of one user."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        limits: Limits,
        log: Log,
        on_refused: Callable[["UserLink"], None],
        clock: Callable[[], float],
    ) -> None:
        self.credentials = credentials
        self.used = clock()
        self.calls = 0
        self.key: UserKey = ("", ())
        self.refused = False
        self.opened = 0
        """How often; what was registered over an earlier link is gone."""
        self._settings = settings
        self._limits = limits
        self._log = log
        self._on_refused = on_refused
        self._clock = clock
        self._pool: Pool | None = None
        self._started: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a link, or one is being made."""
        return self._pool is not None

    @property
    def is_ready(self) -> bool:
        """Whether a call could be made now."""
        return self._pool is not None and self._pool.ready

    @contextmanager
    def call(self) -> Iterator[None]:
        """Stand for a call that is made, inside ``with``.

        Raises:
            RateLimitError: this user has too many in flight.
        """
        if self.calls >= self._limits.calls_at_once:
            raise RateLimitError(
                "Too many requests of this user at once; wait for some of them.", 1
            )
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1
            self.used = self._clock()

    async def client(self, within: float) -> Client:
        """Return the user's client, signed in.

        Args:
            within: seconds until it must be.

        Raises:
            UnauthorizedError: the credentials are refused.
            UnavailableError: OpenIAP does not answer.
        """
        if self._pool is None:
            self._pool = self._make()
            self.opened += 1
            self._started = asyncio.ensure_future(self._pool.start())
            self._started.add_done_callback(_seen)
        pool, started = self._pool, self._started
        assert started is not None
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(started)
                await pool.wait_ready()
        except AccessDenied as error:
            self._tell_refused()
            raise UnauthorizedError(REFUSED) from error
        except (TimeoutError, OpenIAPError) as error:
            raise UnavailableError(AWAY) from error
        return pooled_client(pool)

    def user(self) -> User:
        """Return who is signed in, as OpenIAP says.

        Raises:
            UnavailableError: the link has just broken.
        """
        present = None if self._pool is None else self._pool.connections[0].present
        if present is None or present.user is None:
            raise UnavailableError(AWAY)
        return present.user

    async def close(self) -> None:
        """Close the link; the next call opens another one."""
        pool, self._pool = self._pool, None
        started, self._started = self._started, None
        if started is not None and not started.done():
            started.cancel()
        if pool is not None:
            await pool.stop()

    def _make(self) -> Pool:
        settings = self._settings

        async def connected(connection: Connection) -> None:
            """There is nothing to register."""

        def lost(connection: Connection, reason: str) -> None:
            """The connection itself says so, and comes back."""

        connection = Connection(
            "user",
            self._new_client,
            limiter=limiter_of(settings.rate_limit),
            times=link_times(settings),
            log=self._log,
            on_connected=connected,
            on_lost=lost,
            on_refused=lambda _: self._tell_refused(),
        )
        return Pool([connection])

    def _new_client(self) -> Client:
        given = self.credentials
        mine = {
            "username": given.username,
            "password": SecretStr(given.password),
            "jwt": SecretStr(given.jwt),
        }
        return client_maker(self._settings.model_copy(update=mine), __version__)()

    def _tell_refused(self) -> None:
        self.refused = True
        self._on_refused(self)


class UserLinks:
    """The links of all who are signed in; shape: ``stop``.

    Args:
        settings: where OpenIAP is; its credentials are nobody's here.
        on_refused: told whose credentials are taken no more.
        busy: whether something still runs for a user.
        clock: seconds.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        log: Log,
        on_refused: Callable[[UserKey], None],
        busy: Callable[[UserKey], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._log = log
        self._on_refused = on_refused
        self._busy = busy
        self._clock = clock
        self._links: dict[UserKey, UserLink] = {}
        self._signing_in = asyncio.Semaphore(limits.transfers)

    @property
    def open(self) -> int:
        """How many links there are."""
        return sum(link.is_open for link in self._links.values())

    async def sign_in(self, credentials: Credentials) -> User:
        """Ask OpenIAP whose credentials these are, and keep a link for that user.

        Raises:
            UnauthorizedError: it refuses them.
            UnavailableError: it does not answer, or too many users are signed in.
        """
        limits = self._limits
        fresh = UserLink(self._settings, credentials, limits, self._log, self._refused, self._clock)
        kept = False
        try:
            async with asyncio.timeout(2 * limits.sign_in), self._signing_in:
                await fresh.client(limits.sign_in)
            user = fresh.user()
            fresh.key = key_of(user)
            found = self._links.get(fresh.key)
            if found is not None and found.is_ready:
                found.credentials = credentials
                return user
            if found is not None:
                await found.close()
            await self._make_room(fresh.key)
            self._links[fresh.key] = fresh
            kept = True
        except TimeoutError as error:
            raise UnavailableError(AWAY) from error
        finally:
            if not kept:
                await fresh.close()
        return user

    def of(self, key: UserKey) -> UserLink:
        """Return a user's link.

        Raises:
            UnauthorizedError: there is none any more.
        """
        found = self._links.get(key)
        if found is None or found.refused:
            raise UnauthorizedError(OVER)
        return found

    async def client(self, link: UserLink) -> Client:
        """Return a user's client, opened where it was closed.

        Raises:
            UnauthorizedError: the credentials are taken no more.
            UnavailableError: OpenIAP does not answer, or too many users ask at once.
        """
        if not link.is_open:
            await self._make_room(link.key)
        return await link.client(self._limits.link)

    async def forget(self, key: UserKey) -> None:
        """Close a user's link and forget the credentials; idempotent."""
        link = self._links.pop(key, None)
        if link is not None:
            await link.close()

    async def close_idle(self, wanted: set[UserKey]) -> None:
        """Close the links that nobody uses, and forget users who have no session.

        Args:
            wanted: who has one.
        """
        for key in set(self._links) - wanted:
            await self.forget(key)
        for link in tuple(self._links.values()):
            unused = self._clock() - link.used >= self._limits.link_idle
            if link.is_open and unused and self._is_free(link):
                await link.close()

    async def stop(self) -> None:
        """Close all links."""
        links = tuple(self._links.values())
        self._links.clear()
        await asyncio.gather(*(link.close() for link in links))

    async def _make_room(self, key: UserKey) -> None:
        """Close the link that was not used for longest where there would be too many.

        Raises:
            UnavailableError: all are in use.
        """
        others = [link for link in self._links.values() if link.is_open and link.key != key]
        if len(others) < self._limits.users:
            return
        free = [link for link in others if self._is_free(link)]
        if not free:
            raise UnavailableError("Too many users are working here at once; try again later.")
        await min(free, key=lambda link: link.used).close()

    def _is_free(self, link: UserLink) -> bool:
        return not link.calls and not self._busy(link.key)

    def _refused(self, link: UserLink) -> None:
        if self._links.get(link.key) is link:
            self._on_refused(link.key)


def _seen(started: "asyncio.Future[None]") -> None:
    """Take the exception where nobody waits for it any more."""
    if not started.cancelled():
        started.exception()
