"""What one user's pages look at, asked again and again, once for all of them.

1. A topic is asked while somebody looks at it. What is known of it is kept for a moment longer,
   without a question: the next page often shows the same.
2. It is asked again when a watch tells that it changed and not how, no sooner than ``SPACING``
   after the last such time, and anyway after a while. One that takes long is asked for half of the
   time at most; the wait for its first turn counts not.
3. What goes wrong is told in place of what is new; it is tried again.
4. Who looks no more leaves nothing behind.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, TypeVar

from worker.console.live.allowance import Allowance, Rank
from worker.console.live.asking import asking_client, ranked
from worker.console.live.entries import INSIDE, Entry, Join, Told
from worker.console.live.services import Services
from worker.console.live.topics import (
    ITEMS,
    SPACING,
    WATCHED,
    Joined,
    Seen,
    Topic,
    any_change,
)
from worker.management.api.api import Api
from worker.management.api.sessions import UserKey
from worker.management.errors import (
    AppError,
    RateLimitError,
    UnauthorizedError,
    UnavailableError,
    from_openiap,
)
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.types import WatchEvent

LINGERS: Final = 5.0
"""Seconds that a topic is kept when nobody looks at it any more."""
AGAIN: Final = 2.0
"""Seconds until what did not work is tried again."""
LOOKS_FOR_LINK: Final = 5.0
"""Seconds until a link that was opened anew is noticed."""
CROWD: Final = 50
"""Changes in a second of which it is better not to be told."""
CALMS_IN: Final = 30.0
CROWDED_EVERY: Final = 1.25
"""Seconds between two questions for the same while it is not told of."""
REFUSED_AGAIN: Final = 10.0
T = TypeVar("T")


class Reader:
    """What one user looks at; shape: ``stop``.

    Args:
        key: the user's.
        on_empty: called when nobody looks at anything any more.
    """

    def __init__(self, api: Api, key: UserKey, on_empty: Callable[[], None]) -> None:
        self._api = api
        self._key = key
        self._on_empty = on_empty
        self._allowance = Allowance()
        self._services: Services | None = None
        self._entries: dict[Topic[Any], Entry] = {}
        self._joins: dict[Joined[Any], Join] = {}
        self._watches: dict[str, str] = {}
        self._watching: asyncio.Task[None] | None = None
        self._crowded = asyncio.Event()
        self._heard: Counter[int] = Counter()

    @property
    def topics(self) -> int:
        """How many are kept."""
        return len(self._entries)

    def look(
        self, topic: Topic[T] | Joined[T], told: Told[T], page: object = None
    ) -> Callable[[], None]:
        """Have ``told`` called with what is known of a topic, and whenever that is told anew.

        Args:
            page: where it is shown; see ``Kept.add``.

        Returns:
            What ends that; idempotent.
        """
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="console watch")
        if isinstance(topic, Joined):
            return self._look_at_join(topic, told, page)
        entry = self._entries.get(topic)
        if entry is None:
            entry = self._entries[topic] = Entry(topic)
            entry.task = asyncio.create_task(self._keep(entry), name=f"console {topic.key[0]}")
        if entry.left is not None:
            entry.left.cancel()
            entry.left = None
            entry.changed.set()
        mark = entry.add(told, page)
        entry.looked_at.set()
        if entry.is_known:
            told(entry.seen)
        kept = entry

        def leave() -> None:
            if kept.remove(mark):
                kept.looked_at.clear()
                kept.drop()
                loop = asyncio.get_running_loop()
                kept.left = loop.call_later(LINGERS, self._forget, kept)

        return leave

    def _look_at_join(self, topic: Joined[T], told: Told[T], page: object) -> Callable[[], None]:
        found = self._joins.get(topic)
        if found is None:
            join = self._joins[topic] = Join(
                topic, lambda error: self._api.log.failed(f"console: making {topic.key[0]}", error)
            )
            mark = join.add(told, page)
            join.begin(self.look)
        else:
            join, mark = found, found.add(told, page)
            if join.is_known:
                told(join.seen)

        def leave() -> None:
            if join.remove(mark):
                self._joins.pop(topic, None)
                join.end()

        return leave

    async def first(self, topic: Topic[Any] | Joined[Any]) -> None:
        """Wait until something is known of a topic that is looked at, and of all its parts."""
        for part in topic.parts if isinstance(topic, Joined) else (topic,):
            entry = self._entries.get(part)
            if entry is not None:
                await entry.answered.wait()

    async def services(self) -> Services:
        """Return the user's services.

        Raises:
            UnauthorizedError: OpenIAP takes the credentials no more.
            UnavailableError: it does not answer.
        """
        if self._services is None:
            client = await asking_client(self._api, self._key, self._allowance)
            self._services = self._services or Services(client, self._api)
        return self._services

    def changed(self) -> None:
        """Take note that the user changed something: all that is looked at may be another, and the
        user waits to see it."""
        self._allowance.hurry()
        for entry in self._entries.values():
            entry.awaited.set()
            entry.changed.set()

    async def stop(self) -> None:
        """Ask no more."""
        entries = list(self._entries.values())
        self._entries.clear()
        tasks = [entry.task for entry in entries if entry.task is not None]
        for join in self._joins.values():
            join.clear()
        self._joins.clear()
        for entry in entries:
            entry.clear()
            entry.drop()
            if entry.left is not None:
                entry.left.cancel()
        if self._watching is not None:
            tasks.append(self._watching)
            self._watching = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._services is not None and self._watches:
            watches = list(self._watches.values())
            self._watches.clear()
            with suppress(AppError, OpenIAPError, TimeoutError):
                async with asyncio.timeout(1.0):
                    for id in watches:
                        await self._services.client.unwatch(id)

    def _forget(self, entry: Entry) -> None:
        if entry.is_looked_at or self._entries.get(entry.topic) is not entry:
            return
        del self._entries[entry.topic]
        if entry.task is not None:
            entry.task.cancel()
        if not self._entries:
            self._on_empty()

    async def _keep(self, entry: Entry) -> None:
        """Ask for a topic again and again, while somebody looks."""
        while True:
            await entry.looked_at.wait()
            rank = entry.rank
            entry.changed.clear()
            entry.awaited.clear()
            began, heard = monotonic(), entry.heard
            with ranked(rank) as asker:
                seen, pause = await self._asked(entry)
            took = monotonic() - began - (asker.waited or 0.0)
            if seen.trouble or entry.heard == heard:
                entry.answer(seen)
            # What was asked for by the clock alone may change at once.
            spacing = SPACING if rank is Rank.SOON else 0.0
            rest = AGAIN if seen.trouble else max(spacing - took, took)
            if not await _set_within(entry.awaited, rest):
                await _set_within(entry.changed, pause - (monotonic() - began))

    async def _asked(self, entry: Entry) -> tuple[Seen[Any], float]:
        """Return how a topic looks, and after how many seconds it is asked again."""
        before, topic = entry.seen, entry.topic
        try:
            value = await topic.ask(await self.services())
        except (UnavailableError, UnauthorizedError, RateLimitError) as error:
            return Seen(before.value, before.at, "away", error.message), AGAIN
        except AppError as error:
            return Seen(None, None, "refused", error.message), REFUSED_AGAIN
        except OpenIAPError as error:
            return Seen(before.value, before.at, "away", from_openiap(error).message), AGAIN
        except Exception as error:  # whatever it is, the next round comes
            self._api.log.failed(f"console: asking for {topic.key[0]}", error)
            return Seen(before.value, before.at, "inside", INSIDE), REFUSED_AGAIN
        return Seen(value, datetime.now(UTC)), topic.every

    async def _watch(self) -> None:
        """Have OpenIAP tell of changes, again over each new link; where it does not, topics are
        asked in time."""
        watched = None
        while True:
            try:
                link = self._api.links.of(self._key)
                if watched != (link, link.opened):
                    client = (await self.services()).client
                    self._watches.clear()
                    for collection, path in WATCHED.items():
                        await self._watch_one(client, collection, path)
                    watched = link, link.opened
                if await _set_within(self._crowded, LOOKS_FOR_LINK):
                    await self._without_watch((await self.services()).client)
            except (UnavailableError, UnauthorizedError, RateLimitError):
                await asyncio.sleep(AGAIN)

    async def _without_watch(self, client: Client) -> None:
        """Look at items by the clock for a while: to be told of hundreds of changes a second costs
        OpenIAP more than the questions."""
        id = self._watches.pop(ITEMS, "")
        with suppress(OpenIAPError):
            await client.unwatch(id)
        end = monotonic() + CALMS_IN
        while monotonic() < end:
            await asyncio.sleep(CROWDED_EVERY)
            for entry in self._entries.values():
                if ITEMS in entry.topic.about and entry.topic.concerns is any_change:
                    entry.changed.set()
        self._crowded.clear()
        await self._watch_one(client, ITEMS, WATCHED[ITEMS])

    async def _watch_one(self, client: Client, collection: str, path: str) -> None:
        try:
            told = self._teller(collection)
            self._watches[collection] = await client.watch(collection, path, told)
        except OpenIAPError as error:
            self._api.log.verbose(f"console: no watch on {collection}: {error}")

    def _teller(self, collection: str) -> Callable[[WatchEvent], None]:
        def told(event: WatchEvent) -> None:
            second = int(monotonic())
            self._heard[second] += 1
            if collection == ITEMS and self._heard[second] > CROWD:
                self._crowded.set()
            if len(self._heard) > 1:
                self._heard = Counter({second: self._heard[second]})
            for entry in tuple(self._entries.values()):
                topic = entry.topic
                is_told = entry.changed.is_set() and topic.take is None
                if collection in topic.about and not is_told and topic.concerns(event):
                    entry.hear(event)

        return told


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and say whether it came in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    return event.is_set()
