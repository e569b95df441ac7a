"""The rate limit: so many starts in each window of the server's clock, shared by all workers.

A permit is a document whose ``_id`` names the rate, the window and a number below the limit, so
each exists once, whoever asks (server.md, Documents: a duplicate ``_id`` is refused). Above
``worker.app.rate.SINGLES`` a document stands for a block of permits, which its worker uses up.

1. A permit counts only if the server stored it before its window was over, by its own
   ``_created``; one that came a little too early is used when its window begins.
2. It is used at once, and not any more once its window may be over. A start is therefore late only
   by what passes between that look at the clock and the handler's first step: less than a
   millisecond, unless the process is frozen or its loop is blocked right there. So a window may
   show as many starts above its limit as were under way in that moment, at most the handler's
   concurrency for each worker that froze.
3. What a worker does not use of its block, and what a lost answer may have stored, is not given out
   again: a window may stay below its limit, never above.

Should the server's clock jump, windows are those of its clock: one that is repeated is empty.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.app.rate import Rate
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey
from worker.openiap.fields import moment_of
from worker.openiap.workitem import JsonObject
from worker.state.cells import COLLECTION, cell_id
from worker.state.retrying import tried
from worker.uptime import uptime

KIND: Final = "rate"
TYPE: Final = "permit"
REMEMBERED: Final = 10_000
TIDY_EVERY: Final = 60.0
EARLY: Final = 2.0
"""Seconds before its window that a permit is waited for; more means that a clock was wrong."""
MOVED: Final = timedelta(seconds=1)
KEPT: Final = 600.0
"""Seconds after its window for which a permit's document stays."""


def _utc() -> datetime:
    return datetime.now(UTC)


Stamp = tuple[datetime, float]
"""What the server stamped, and the ``uptime`` that belongs to it."""


class WindowClock:
    """The server's time as its answers tell it: the last one heard of, and what passed since.

    Args:
        shared: what others heard of it last.
        local: this machine's clock, as long as nothing was heard.
    """

    def __init__(
        self, shared: Callable[[], Stamp | None], local: Callable[[], datetime] = _utc
    ) -> None:
        self._shared = shared
        self._local = local
        self._heard: Stamp | None = None

    def note(self, stamped: datetime, sent: float) -> None:
        """Note what the server stamped on a message that was sent then (``uptime``)."""
        self._heard = (stamped, sent)

    def latest(self) -> datetime:
        """Return what time it may be there at most, as far as is known."""
        shared = self._shared()
        if self._heard is None:
            return self._local() if shared is None else _since(shared)
        own = _since(self._heard)
        # Others hear of it while no permit is asked for: the server's clock may have been set.
        if shared is not None and shared[1] > self._heard[1] and _since(shared) - own > MOVED:
            return _since(shared)
        return own


def _since(stamp: Stamp) -> datetime:
    return stamp[0] + timedelta(seconds=uptime() - stamp[1])


@dataclass(slots=True, eq=False)
class _Window:
    number: int
    next: int = 0
    left: int = 0


@dataclass(slots=True, eq=False)
class _Scope:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    window: _Window | None = None


class RateLimit:
    """Gives out the permits of one rate.

    Args:
        client: waits for a link and for its turn.
        namespace: see the setting of that name.
        shared, local: see ``WindowClock``.
        rights: who may see permits, as OpenIAP writes rights; () is this user.
    """

    def __init__(
        self,
        client: Client,
        rate: Rate,
        *,
        namespace: str,
        shared: Callable[[], Stamp | None],
        local: Callable[[], datetime] = _utc,
        rights: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self._client = client
        self._rights = rights
        self.rate: Final = rate
        self._namespace = namespace
        self._clock = WindowClock(shared, local)
        self._scopes: OrderedDict[str, _Scope] = OrderedDict()
        self._tidied = float("-inf")

    async def take(self, scope: str) -> datetime | None:
        """Take a permit.

        Args:
            scope: what the rate is counted for: a queue, or a line.

        Returns:
            None with a permit; else when the next window begins, in the server's time.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        state = self._scopes.get(scope)
        if state is None:
            state = self._scopes[scope] = _Scope()
            if len(self._scopes) > REMEMBERED:
                self._scopes.popitem(last=False)
        async with state.lock:
            while True:
                now = self._clock.latest()
                number = self.rate.window(now)
                window = state.window
                if window is None or window.number != number:
                    window = state.window = _Window(number)
                if window.left:
                    window.left -= 1
                    return None
                if window.next >= self.rate.blocks:
                    return self.rate.begins(number + 1)
                await self._ask(scope, window)

    def closed_for(self, scope: str) -> float:
        """Return for how many seconds there are no more permits, as far as is known here."""
        state = self._scopes.get(scope)
        window = None if state is None else state.window
        if window is None or window.left or window.next < self.rate.blocks:
            return 0.0
        ends = self.rate.begins(window.number + 1)
        return max(0.0, (ends - self._clock.latest()).total_seconds())

    async def _ask(self, scope: str, window: _Window) -> None:
        """Ask for the next block; what came of it stands in the window."""
        block = window.next
        sent = uptime()
        try:
            document = self._document(scope, window.number, block)
            stored = await tried(lambda: self._client.insert_one(COLLECTION, document))
        except DuplicateKey:
            # Others, or a try of ours whose answer was lost. Whoever counts finds the next one.
            query = {"_id": self._ids(scope, window.number)}
            window.next = max(block + 1, await self._client.count(COLLECTION, query))
            return
        window.next = block + 1
        stamped = moment_of(stored.get("_created"))
        if stamped is None:
            return
        self._clock.note(stamped, sent)
        early = (self.rate.begins(window.number) - stamped).total_seconds()
        if early > EARLY or self.rate.window(stamped) > window.number:
            return
        if early > 0:
            await asyncio.sleep(early)
        window.left = self.rate.size_of(block)
        if block == 0:
            await self._tidy(stamped)

    def _document(self, scope: str, window: int, block: int) -> JsonObject:
        document: JsonObject = {
            "_id": f"{self._start(scope, window)}{block:07}",
            "_type": TYPE,
            "name": scope,
            "kind": KIND,
            "namespace": self._namespace,
            "rate": str(self.rate),
            "permits": self.rate.size_of(block),
            "until": self.rate.begins(window + 1).timestamp(),
        }
        if rights := self._rights():
            document["_acl"] = list(rights)
        return document

    def _ids(self, scope: str, window: int) -> JsonObject:
        start = self._start(scope, window)
        return {"$gte": f"{start}{0:07}", "$lte": f"{start}9999999"}

    def _start(self, scope: str, window: int) -> str:
        name = f"{self.rate.seconds}s/{scope}"
        return f"{cell_id(self._namespace, KIND, name)}#{window:012}/"

    async def _tidy(self, now: datetime) -> None:
        """Delete the permits of windows that were over a while ago, now and then."""
        if uptime() - self._tidied < TIDY_EVERY:
            return
        self._tidied = uptime()
        await self._client.delete_many(
            COLLECTION,
            {
                "_type": TYPE,
                "namespace": self._namespace,
                "until": {"$lt": now.timestamp() - KEPT},
            },
        )
