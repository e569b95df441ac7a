"""One connection that stays: sign-in, what is to be done after each, and a watchdog.

1. It connects for ever, with growing jittered waits; only wrong credentials at the first attempt
   end it, or later ones where somebody wants to know (``on_refused``).
2. After each sign-in it makes again what user code has registered (``kept.py``) and runs
   ``on_connected`` (register queues, send what waits), then it is ready.
3. When nothing was heard for a while it asks, and not before: whatever comes, the answer to a
   heartbeat too, is sign of life enough. A link that does not answer is replaced.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from worker.openiap.client import Client
from worker.openiap.errors import (
    AccessDenied,
    NotConnected,
    OpenIAPError,
    RateLimited,
    RequestTimeout,
)
from worker.openiap.kept import Keeper
from worker.openiap.limiter import Limiter, Turn
from worker.openiap.types import ClientEvent, EventName

PROBE_TIMEOUT: Final = 10.0
CLOSE_TIMEOUT: Final = 5.0
LEAST_SILENCE: Final = 0.1
"""Of the watchdog's interval: it looks no more often than that, whatever a client says it heard."""
CALLBACK_GRACE: Final = 1.0
"""Seconds for callbacks of user code that still run at the end."""

T = TypeVar("T")


class LinkLog(Protocol):
    """The log lines that a connection writes."""

    def info(self, message: str, **fields: object) -> None:
        """Write a line at level info."""

    def warn(self, message: str, **fields: object) -> None:
        """Write a line at level warn."""

    def error(self, message: str, **fields: object) -> None:
        """Write a line at level error."""


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """Seconds: the bounds of the waits between attempts, and the watchdog's interval."""

    reconnect_min: float = 1.0
    reconnect_max: float = 30.0
    watchdog_interval: float = 22.0
    connect_timeout: float = 30.0


class Connection:
    """Keeps one client signed in; shape: ``start``, ``stop``."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Client],
        *,
        limiter: Limiter,
        times: LinkTimes,
        log: LinkLog,
        on_connected: Callable[["Connection"], Awaitable[None]],
        on_lost: Callable[["Connection", str], None],
        on_refused: Callable[[AccessDenied], None] | None = None,
    ) -> None:
        self.name: Final = name
        self.limiter: Final = limiter
        self.epoch = 0
        """How many sign-ins there were; a write-back that spans two of them is checked first."""
        self.in_flight = 0
        self.ready: Final = asyncio.Event()
        self.keeper: Final = Keeper(log.error)
        """What user code has registered here."""
        self._make = make
        self._times = times
        self._log = log
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._client: Client | None = None
        self._events: asyncio.Queue[ClientEvent] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._told: EventName | None = None

    @property
    def client(self) -> Client:
        """The present client.

        Raises:
            NotConnected: there is none, or it is not signed in.
        """
        if self._client is None or not self._client.connected:
            raise NotConnected("not connected to OpenIAP")
        return self._client

    @property
    def present(self) -> Client | None:
        """The present client whatever its state; for log lines and gauges."""
        return self._client

    async def start(self) -> None:
        """Connect and return once ready; waits for as long as the server is away.

        Raises:
            AccessDenied: the server is there and refuses the credentials.
        """
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(), name=f"connection {self.name}")
        try:
            await asyncio.shield(self._first)
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close for good; idempotent."""
        self.ready.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._drop()
        await self.keeper.events.callbacks.stop(CALLBACK_GRACE)

    async def call(self, operation: Callable[[Client], Awaitable[T]], *, turn: Turn = "then") -> T:
        """Run one operation on the client, whether or not the connection is ready yet.

        It waits for its turn at the limiter, and goes again when the server's rate limit refused
        it: a refused call was not executed (server.md, Errors).

        Args:
            operation: makes the call on the client that it is given.
            turn: ``"first"`` for what writes outcomes back.

        Raises:
            NotConnected: there is no signed-in client; nothing was sent.
            OpenIAPError: what the operation raised, save for ``RateLimited``.
        """
        self.in_flight += 1
        try:
            while True:
                if not self.limiter.passes(turn):
                    await self.limiter.admit(turn)
                try:
                    return await operation(self.client)
                except RateLimited as error:
                    await self.limiter.refused(error.points)
        finally:
            self.in_flight -= 1

    async def _live(self) -> None:
        wait = self._times.reconnect_min
        while True:
            problem = await self._link_life()
            if problem is None:
                wait = self._times.reconnect_min
                continue
            if isinstance(problem, AccessDenied):
                if self._settle(problem):
                    return
                if self._on_refused is not None:
                    self._on_refused(problem)
                    return
            pause = wait * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, no secret)
            self._log.warn(
                f"OpenIAP cannot be reached ({problem.text}); trying again in {pause:.1f} s",
                connection=self.name,
            )
            await asyncio.sleep(pause)
            wait = min(self._times.reconnect_max, wait * 2)

    async def _link_life(self) -> OpenIAPError | None:
        """Connect and live with the link to its end; returns what kept it from coming about."""
        try:
            problem = await self._connect()
            if problem is None:
                await self._stay()
                await self._drop()
        except Exception as error:  # whatever it is, the worker must not be left without a link
            problem = OpenIAPError(f"{type(error).__name__}: {error}", operation="connect")
            self._lost(problem.text)
            await self._drop()
        return problem

    async def _connect(self) -> OpenIAPError | None:
        """Make a new client and sign in; returns what went wrong."""
        self._events = asyncio.Queue()
        events = self._events
        client = self._make()
        client.on_client_event(events.put_nowait)
        client.on_client_event(self._pass_on)
        self._client = client
        try:
            await client.connect(timeout=self._times.connect_timeout)
        except OpenIAPError as error:
            await self._drop()
            return error
        return None

    async def _stay(self) -> None:
        """Live with a signed-in client until it has to be replaced."""
        client = self._client
        if client is None:
            return
        if not await self._signed_in():
            return
        while True:
            try:
                async with asyncio.timeout(self._silence_left(client)):
                    event = await self._events.get()
            except TimeoutError:
                if not await self._alive(client):
                    self._lost("the link does not answer")
                    return
                continue
            if event.event == "Disconnected":
                self._lost(event.reason or "the link dropped")
                if not await self._back(client) or not await self._signed_in():
                    return
            elif (
                event.event == "SignedIn"
                and not self.ready.is_set()
                and client.connected
                and not await self._signed_in()
            ):
                return

    async def _back(self, client: Client) -> bool:
        """Wait for the client to reconnect by itself; it is replaced when that takes long."""
        patience = 2 * self._times.reconnect_max + self._times.connect_timeout
        try:
            async with asyncio.timeout(patience):
                while True:
                    event = await self._events.get()
                    if event.event == "SignedIn" and client.connected:
                        return True
        except TimeoutError:
            self._log.warn("the link did not come back; replacing it", connection=self.name)
            return False

    def _silence_left(self, client: Client) -> float:
        """Return in how many seconds the server is asked, should nothing be heard until then."""
        interval = self._times.watchdog_interval
        quiet = time.monotonic() - client.last_heard
        return max(LEAST_SILENCE * interval, interval - max(0.0, quiet))

    async def _alive(self, client: Client) -> bool:
        if not client.connected:
            return False
        if time.monotonic() - client.last_heard < self._times.watchdog_interval:
            return True
        try:
            await client.probe(timeout=min(PROBE_TIMEOUT, self._times.watchdog_interval))
        except OpenIAPError as error:
            self._log.warn(f"watchdog: {error}", connection=self.name)
            return False
        return True

    async def _signed_in(self) -> bool:
        """Do what is to be done after a sign-in; False when the link turns out to be dead."""
        self.epoch += 1
        told = False
        while not self.ready.is_set():
            client = self._client
            if client is None or not client.connected:
                return True  # its events tell what became of it
            if client.server_config.get("rate_limited") is False:
                self.limiter.lift()
            try:
                await self.keeper.restore(client, self.call)
                if not told:
                    told = True
                    self._tell("SignedIn")
                await self._on_connected(self)
            except OpenIAPError as error:
                self._log.warn(f"after the sign-in: {error}", connection=self.name)
                if isinstance(error, RequestTimeout) and not await self._alive(client):
                    self._lost("the link does not answer")
                    return False
                await asyncio.sleep(self._times.reconnect_min)
                continue
            self.ready.set()
        self._settle(None)
        return True

    def _lost(self, reason: str) -> None:
        was_ready = self.ready.is_set()
        self.ready.clear()
        if was_ready:
            self._log.warn(f"disconnected from OpenIAP: {reason}", connection=self.name)
        self._tell("Disconnected", reason)
        self._on_lost(self, reason)

    def _pass_on(self, event: ClientEvent) -> None:
        """Tell user code; a sign-in only once everything is registered again."""
        if event.event != "SignedIn":
            self._tell(event.event, event.reason)

    def _tell(self, event: EventName, reason: str = "") -> None:
        if event != "Disconnected" or self._told != event:  # the client may have told of it before
            self._told = event
            self.keeper.events.tell(event, reason)

    def _settle(self, problem: OpenIAPError | None) -> bool:
        """Tell ``start`` how the first attempt went; False when it was told before."""
        if self._first is None or self._first.done():
            return False
        if problem is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(problem)
        return True

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await client.disconnect()
        except Exception as error:  # it is let go of whatever it says
            self._log.warn(
                f"closing the link: {type(error).__name__}: {error}", connection=self.name
            )
