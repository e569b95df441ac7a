"""The state of a running API: who is signed in, over which links, with which jobs.

1. A sign-in is counted before OpenIAP is asked, and every call before it is made.
2. Whoever signs out for the last time has no link, no jobs and no credentials here any more.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from worker.engine.scheduler.timetable import Fireable
from worker.management.api.jobs import Jobs
from worker.management.api.limits import Rate, SignIns
from worker.management.api.options import ApiOptions
from worker.management.api.sessions import Carrier, Session, Sessions, UserKey
from worker.management.api.traffic import TrafficCounts
from worker.management.api.users import UserLinks
from worker.openiap.credentials import Credentials
from worker.producer.producer import Checks
from worker.settings import Settings
from worker.telemetry.log import Log

SWEEP: Final = 15.0
CLOSED_WITHIN: Final = 0.5


class Api:
    """What the routes work with; shape: ``start``, ``stop``.

    Args:
        settings: where OpenIAP is. Its credentials are used for nobody.
        contracts: what payloads are held to.
        schedules: those of the handlers at hand, which make what is fired; None: none are.
        sources: where the value of each setting came from; those that are left as they are are
            not there.
        clock: seconds, for what ends by itself.
    """

    def __init__(
        self,
        settings: Settings,
        options: ApiOptions,
        log: Log,
        *,
        contracts: Checks | None = None,
        schedules: Sequence[Fireable] | None = None,
        sources: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = options.limits
        self.settings: Final = settings
        self.options: Final = options
        self.log: Final = log
        self.contracts: Final = contracts
        self.schedules: Final = schedules
        self.sources: Final[Mapping[str, str]] = sources or {}
        self.jobs: Final = Jobs(limits, log)
        self.sessions: Final = Sessions(limits, self.jobs.is_busy, clock)
        self.links: Final = UserLinks(
            settings, limits, log, self._credentials_over, self.jobs.is_busy, clock
        )
        self.calls: Final = Rate("requests", limits.calls, limits.burst, clock)
        self.transfers: Final = asyncio.Semaphore(limits.transfers)
        self.counts: Final = TrafficCounts(
            {
                "sessions": ("Sessions of users", lambda: float(len(self.sessions))),
                "links": ("Links to OpenIAP", lambda: float(self.links.open)),
                "jobs_running": ("Batches that run", lambda: float(self.jobs.running)),
            }
        )
        self._sign_ins = SignIns(
            limits.sign_ins_per_address, limits.sign_ins_per_name, limits.sign_ins_of_name, clock
        )
        self._sweeping: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to end what is over."""
        self._sweeping = asyncio.create_task(self._sweep(), name="api sweep")

    async def stop(self) -> None:
        """Stop all jobs, close all links, forget everybody."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping
            self._sweeping = None
        await self.jobs.stop()
        for key in self.sessions.users():
            self.sessions.end_of(key)
        with suppress(TimeoutError):  # a server that does not answer keeps nobody here
            async with asyncio.timeout(CLOSED_WITHIN):
                await asyncio.gather(*self._ending, return_exceptions=True)
                await self.links.stop()

    async def sign_in(
        self, credentials: Credentials, carrier: Carrier, address: str
    ) -> tuple[str, Session]:
        """Begin a session and return its token.

        Raises:
            RateLimitError: too many attempts.
            UnauthorizedError: OpenIAP refuses the credentials.
            UnavailableError: it does not answer.
        """
        self._sign_ins.take(address, credentials.username)
        user = await self.links.sign_in(credentials)
        token, session = self.sessions.begin(user, carrier)
        self.log.info("signed in", user=user.username, address=address, carrier=carrier)
        return token, session

    async def sign_out(self, session: Session) -> None:
        """End a session; with the user's last one all that was kept for the user."""
        self.sessions.end(session)
        self.log.info("signed out", user=session.user.username)
        await self._leave(session.key)

    async def sweep(self) -> None:
        """End what is over by time."""
        before = self.sessions.users()
        self.sessions.end_over()
        for key in before - self.sessions.users():
            await self._leave(key)
        await self.links.close_idle(self.sessions.users())

    async def _leave(self, key: UserKey) -> None:
        if key in self.sessions.users():
            return
        await self.jobs.stop_of(key)
        if key not in self.sessions.users():  # who has signed in meanwhile has a new link
            await self.links.forget(key)

    def _credentials_over(self, key: UserKey) -> None:
        self.log.warn("OpenIAP takes the credentials of a user no more; the sessions end")
        self.sessions.end_of(key)
        task = asyncio.create_task(self._leave(key))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await self.sweep()
            except Exception as error:  # whatever it is, the next round comes
                self.log.failed("ending what is over", error)
