"""Streams: rooms whose events have offsets without gaps, published exactly once, read in order.

1. To publish is to insert the document of the next offset. An ``_id`` that is taken is refused in
   one atomic step, so exactly one of all that try has the offset.
2. An offset is only tried after the one before it is known to be taken: seen, or refused. So there
   are no gaps, and whoever sees an offset can see all that are below it and still kept.
3. A document carries its publisher's token. Where an answer was lost the same document is inserted
   again; refused, it is looked at: one's own is a success, another's means the next offset.
4. What is above the limits of a room goes, from the lowest offset up, the newest never, and nothing
   within ``AT_LEAST``. So a publisher that was frozen, or whose message was on its way for long,
   would have to be late by more than that to find an offset free that was taken. One that was
   late by more than ``LATE`` looks: an event that stands before older ones is taken away again.

The server's clock decides what is old. Other clocks play no part.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from worker.durations import Duration, seconds
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DuplicateKey, OpenIAPError, ServerError
from worker.openiap.fields import moment_of
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.state.events import COLLECTION, LAST, Room, StreamEvent, texts_of_event
from worker.state.retrying import tried
from worker.state.server_clock import ServerClock
from worker.state.subscription import Callback, OnError, Subscription
from worker.uptime import uptime

PAGE: Final = 100
MOST: Final = 1000
"""Events that one ``history`` returns at most."""
LATE: Final = 900.0
"""Seconds after which the newest offset is looked up again before one is built on it."""
AT_LEAST: Final = 3600.0
"""Seconds for which each event is kept, whatever the room's limits are."""
KEEP_FOR: Final = "7d"
TRIM_EVERY: Final = 100
"""Whoever publishes an offset that this divides takes away what is over the room's limits."""
REFUSALS: Final = 3
"""Offsets in a row that were taken, until the newest one is looked up."""
PAUSE: Final = 0.02
JUNK: Final = 20


@dataclass(frozen=True, slots=True)
class History:
    """Events of a room, in order.

    Attributes:
        events: what was asked for, as far as it is kept.
        oldest, newest: the offsets of all that is kept; 0 where there is nothing.
    """

    events: tuple[StreamEvent, ...]
    oldest: int
    newest: int


class Stream:
    """One room; see ``State.stream``."""

    def __init__(
        self,
        client: Client,
        room: Room,
        *,
        server_clock: ServerClock,
        chance: random.Random,
        keep_count: int | None = None,
        keep_for: float | None = None,
        rights: Callable[[], Sequence[JsonObject]] = tuple,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self.room: Final = room.name
        self._room = room
        self._client = client
        self._server_clock = server_clock
        self._chance = chance
        self._keep_count = keep_count
        self._keep_for = keep_for
        self._rights = rights
        self._clock = clock
        self._turn = asyncio.Lock()
        self._known: tuple[int, float] | None = None
        """An offset that is surely taken, like all below it, and when that was seen."""
        self._readable = False
        """What others publish here can be read; else offsets would be given out past each other."""

    async def publish(
        self, type: str, data: Any = None, metadata: Mapping[str, Any] | None = None
    ) -> StreamEvent:
        """Publish an event and return it, with its ``id`` and ``offset``.

        It is published exactly once, also when answers are lost. Who dies during the call, or gets
        no answer for a minute, cannot know whether it was.

        Args:
            type: 1 to 1,000 bytes.
            data: whatever has a JSON form; with ``metadata`` 32 KiB at most.
            metadata: what stands beside the data: who, why, since when.

        Raises:
            TypeError, ValueError: what is not allowed.
            AccessDenied: another user publishes here, and this one may not read it.
            OpenIAPError: no answer for a minute; it may be published.
        """
        texts = texts_of_event(type, data, metadata)
        async with self._turn:
            event = await self._placed(type, texts)
        if event.offset % TRIM_EVERY == 0:
            with suppress(OpenIAPError):  # the next one comes by soon
                await self._trim(event.offset)
        return event

    async def _placed(self, type: str, texts: tuple[str, str]) -> StreamEvent:
        refused = 0
        while True:
            if self._known is None or self._clock() - self._known[1] > LATE:
                self._known = (await self.newest(), self._clock())
            below, seen = self._known
            if below >= LAST:
                raise ServerError(
                    f"stream {self.room!r} has no offset left: somebody else made the document"
                    f" {self._room.id(LAST)} in {COLLECTION}; delete it",
                    operation="insert_one",
                )
            event = StreamEvent(secrets.token_hex(12), below + 1, type, room=self.room)
            document = self._room.document(event, texts, self._rights())
            stored = await self._insert(document)
            late = self._clock() - seen > LATE
            if stored is not None and not (late and await self._before_older(stored)):
                self._known = (event.offset, self._clock())
                found = self._room.event(stored)
                return found or replace(event, time=moment_of(stored.get("_created")))
            self._known = None if late else (event.offset, self._clock())
            refused += 1
            if refused % REFUSALS == 0 or not self._readable:
                await self._look_again(event.offset)
                await asyncio.sleep(self._chance.uniform(0, PAUSE))

    async def _insert(self, document: JsonObject) -> JsonObject | None:
        """Insert an event; None where its offset is another's."""
        doubtful = False

        async def insert() -> JsonObject | None:
            nonlocal doubtful
            try:
                return await self._client.insert_one(COLLECTION, document)
            except DuplicateKey:
                return await self._ours(document) if doubtful else None
            except OpenIAPError as error:
                doubtful = doubtful or error.maybe_done
                raise

        return await tried(insert)

    async def _ours(self, document: JsonObject) -> JsonObject | None:
        found = await self._client.query(COLLECTION, {"_id": document["_id"]}, top=1)
        return found[0] if found and found[0].get("token") == document["token"] else None

    async def _look_again(self, taken: int) -> None:
        newest = await self.newest()
        if newest < taken:
            raise AccessDenied(
                f"stream {self.room!r} has an event {taken}, but this user may not read it in"
                f" {COLLECTION}: all that share a stream sign in as one user, or share a role that"
                " has the rights",
                operation="insert_one",
            )
        self._known = (newest, self._clock())
        self._readable = True

    async def _before_older(self, stored: JsonObject) -> bool:
        """Take an event away again that came so late that its offset had been free for long."""
        offset = self._room.offset(stored) or 0
        ours = moment_of(stored.get("_created"))
        for document in await self._read(self._room.between(offset + 1), 1):
            theirs = moment_of(document.get("_created"))
            if ours is not None and theirs is not None and theirs < ours:
                await tried(lambda: self._client.delete_one(COLLECTION, str(stored["_id"])))
                return True
        return False

    async def history(
        self, from_offset: int = -50, to_offset: int | None = None, limit: int = 100
    ) -> History:
        """Return events in order, and what is kept.

        Args:
            from_offset: the first one; 0: the oldest that is kept; below 0 so many before the end:
                -50 begins at the newest 50.
            to_offset: the last one; None: the newest.
            limit: how many at most, 1 to 1,000.

        Raises:
            TypeError, ValueError: an offset or a limit that is not allowed.
            OpenIAPError: no answer for a minute.
        """
        _check_offset("history: from_offset", from_offset)
        if to_offset is not None:
            _check_offset("history: to_offset", to_offset)
        if type(limit) is not int or not 1 <= limit <= MOST:
            raise ValueError(f"history: limit = {limit!r}; allowed: 1 to {MOST:,}")
        oldest, newest = await asyncio.gather(self._end(1), self._end(-1))
        first = from_offset if from_offset >= 0 else newest + 1 + from_offset
        last = newest if to_offset is None else to_offset
        events: list[StreamEvent] = []
        first = max(first, oldest, 1)
        more = True
        while more and first <= last and len(events) < limit:
            page, more = await self._page(first, last)
            found = [self._room.event(document) for _, document in page]
            events += [event for event in found if event is not None]
            first = page[-1][0] + 1 if page else first
        return History(tuple(events[:limit]), oldest, newest)

    async def newest(self) -> int:
        """Return the newest offset; 0 where there is no event yet.

        Raises:
            OpenIAPError: it cannot be read.
        """
        return await self._end(-1)

    async def _end(self, direction: int) -> int:
        ids = self._room.between()
        while True:
            page = await self._read(ids, JUNK, {"_id": direction}, {"_id": 1})
            for document in page:
                offset = self._room.offset(document)
                if offset is not None:
                    return offset
            if len(page) < JUNK:
                return 0
            # Somebody's that are no events, and stand between them.
            ids = {**ids, ("$lt" if direction < 0 else "$gt"): page[-1]["_id"]}

    async def _read(
        self,
        ids: JsonObject,
        top: int,
        orderby: JsonObject | None = None,
        projection: JsonObject | None = None,
    ) -> list[JsonObject]:
        query = {"_id": ids}
        order = orderby or {"_id": 1}
        return await tried(
            lambda: self._client.query(COLLECTION, query, projection, order, top=top)
        )

    async def subscribe(
        self,
        callback: Callback,
        from_offset: int = -50,
        replay: bool = True,
        *,
        on_error: OnError | None = None,
    ) -> Subscription:
        """Call ``callback`` with each event, in order, none left out and none twice.

        Where watches work an event comes as soon as the server tells of it; else, and behind a cut,
        within some seconds. What is not kept any more when its turn comes is left out, and counted
        in ``subscription.missed``.

        Args:
            callback: plain or async; the next event waits for it. A plain one runs on the loop and
                must not block. What it raises goes to ``on_error``, and the next event comes.
            from_offset: the first event, as for ``history``. Who keeps the last offset that it has
                worked goes on behind it after a restart.
            replay: False: only what is published from now on, whatever ``from_offset`` says.
            on_error: is told of the event and what the callback raised (or None and why events
                cannot be read just now, which is tried again); else the loop's handler is, which
                logs it.

        Raises:
            TypeError, ValueError: an offset that is not allowed.
            OpenIAPError: no answer for a minute, or a refusal.
        """
        _check_offset("subscribe: from_offset", from_offset)
        if not callable(callback):
            raise TypeError(f"subscribe: {callback!r}; allowed: a function that takes the event")
        if not isinstance(replay, bool):
            raise TypeError(f"subscribe: replay = {replay!r}; allowed: True or False")
        oldest, newest = await asyncio.gather(self._end(1), self._end(-1))
        if not replay:
            first = newest + 1
        elif from_offset <= 0:
            first = max(oldest, newest + 1 + from_offset if from_offset else 1)
        else:
            first = from_offset
        subscription = Subscription(
            self._client, self._room, max(1, first), callback, on_error, read=self._page
        )
        await subscription.start()
        return subscription

    async def _page(
        self, first: int, last: int = LAST
    ) -> tuple[list[tuple[int, JsonObject]], bool]:
        """Return documents with their offsets, in order, and whether there may be more of them."""
        ids = self._room.between(first, last)
        while True:
            page = await self._read(ids, PAGE)
            placed = [(self._room.offset(document), document) for document in page]
            found = [(offset, document) for offset, document in placed if offset is not None]
            if found or len(page) < PAGE:
                return found, len(page) == PAGE
            ids = {**ids, "$gt": page[-1]["_id"]}

    async def _trim(self, newest: int) -> None:
        """Take away what is over the room's limits, from the lowest offset up."""
        now = await self._server_clock.now()
        below = 0
        if self._keep_for is not None:
            below = await self._first_since(now - timedelta(seconds=self._keep_for), newest)
        if self._keep_count is not None and newest - self._keep_count >= below:
            kept = await self._first_since(now - timedelta(seconds=AT_LEAST), newest)
            below = max(below, min(kept, newest - self._keep_count + 1))
        if below > 1:
            ids = {"$gte": self._room.id(0), "$lt": self._room.id(min(below, newest))}
            await self._client.delete_many(COLLECTION, {"key": self._room.key, "_id": ids})

    async def _first_since(self, moment: datetime, newest: int) -> int:
        """Return the lowest offset that was stored since a moment; the newest where none was."""
        query = {
            "_id": self._room.between(),
            "key": self._room.key,
            "_created": {"$gte": iso(moment)},
        }
        found = await self._client.query(COLLECTION, query, {"_id": 1}, {"_id": 1}, top=1)
        offset = self._room.offset(found[0]) if found else None
        return newest if offset is None else offset


def keep_for_seconds(keep_for: Duration | timedelta | None) -> float | None:
    """Return for how long events are kept.

    Raises:
        ValueError: no duration, or shorter than an hour.
    """
    if keep_for is None:
        return None
    found = seconds(keep_for, "keep_for")
    if found < AT_LEAST:
        raise ValueError(f"stream: keep_for = {keep_for!r} is too short; allowed: at least 1h")
    return found


def checked_count(keep_count: int | None) -> int | None:
    """Return how many events are kept.

    Raises:
        ValueError: no whole number, or below 1.
    """
    if keep_count is None:
        return None
    if isinstance(keep_count, bool) or not isinstance(keep_count, int) or keep_count < 1:
        raise ValueError(f"stream: keep_count = {keep_count!r}; allowed: 1 and more, or None")
    return keep_count


def _check_offset(what: str, offset: object) -> None:
    if type(offset) is not int:
        raise TypeError(f"{what} = {offset!r}; allowed: a whole number")
    if abs(offset) > LAST:
        raise ValueError(f"{what} = {offset}; allowed: up to {LAST:,}")
