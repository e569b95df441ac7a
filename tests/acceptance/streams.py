"""A stream under cuts: several publish, several subscribe, and all their links are cut again and
again; every event is to reach every subscriber once, in one order for all.
"""

import asyncio
import itertools
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.acceptance.connected import connected_through
from tests.acceptance.processes import Server
from tests.acceptance.proxy import Proxy
from worker.state.events import StreamEvent
from worker.state.stream import Stream

HEAD: Final = [
    "client",
    "events",
    "publishers",
    "subscribers",
    "cuts",
    "lost",
    "twice",
    "out of order",
    "gaps",
    "events/s",
    "live, median ms",
    "live, 95 % ms",
]
QUIET: Final = 100
PAUSE: Final = 0.02
ROOM: Final = "room"


@dataclass(slots=True)
class Streamed:
    """What came of it.

    Attributes:
        published: ids by offset, as publishers were told.
        seen: by subscriber, what it was handed, in order.
        live: seconds from a call of ``publish`` to a subscriber, before the crowd comes.
    """

    client: str
    events: int
    publishers: int
    subscribers: int
    cuts: int = 0
    took: float = 0.0
    published: dict[int, str] = field(default_factory=dict)
    answers: int = 0
    seen: list[list[tuple[int, str, int, int]]] = field(default_factory=list)
    live: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        wanted = set(self.published.values())
        return sum(len(wanted - {id for _, id, _, _ in seen}) for seen in self.seen)

    @property
    def twice(self) -> int:
        """Count events handed over twice, and calls of ``publish`` that made two."""
        again = sum(len(seen) - len({id for _, id, _, _ in seen}) for seen in self.seen)
        calls = [len({(p, n) for _, _, p, n in seen}) for seen in self.seen]
        return again + sum(len(seen) - found for seen, found in zip(self.seen, calls, strict=True))

    @property
    def unordered(self) -> int:
        """Count steps back, in offsets and in what each publisher did one after the other."""
        back = 0
        for seen in self.seen:
            last: dict[int, int] = {}
            for (before, *_), (after, *_) in itertools.pairwise(seen):
                back += after <= before
            for _, _, publisher, number in seen:
                back += number <= last.get(publisher, -1)
                last[publisher] = number
        return back

    @property
    def gaps(self) -> int:
        return len(set(range(1, self.answers + 1)) ^ set(self.published))

    def faults(self) -> list[str]:
        """Return what did not hold."""
        found = {
            "lost": self.lost,
            "twice": self.twice,
            "out of order": self.unordered,
            "gaps": self.gaps,
            "answers missing": self.events - self.answers,
        }
        return [f"{name}: {number}" for name, number in found.items() if number]


def row(done: Streamed) -> list[object]:
    """Return a row of the table."""
    live = sorted(done.live)
    return [
        done.client,
        done.events,
        done.publishers,
        done.subscribers,
        done.cuts,
        done.lost,
        done.twice,
        done.unordered,
        done.gaps,
        round(done.events / done.took),
        round(statistics.median(live) * 1000),
        round(live[int(len(live) * 0.95)] * 1000),
    ]


async def stream_under_cuts(
    client: str,
    folder: Path,
    *,
    events: int,
    cuts: int,
    publishers: int = 3,
    subscribers: int = 3,
    deadline: float,
) -> Streamed:
    """Publish and subscribe while the links are cut.

    Raises:
        TimeoutError: not all came in ``deadline`` seconds.
    """
    done = Streamed(client, events, publishers, subscribers)
    server = Server(folder)
    await server.start()
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(deadline):
            proxy = await stack.enter_async_context(Proxy(server.port))

            async def stream() -> Stream:
                producer = await stack.enter_async_context(connected_through(proxy, client))
                return producer.state.stream(ROOM)

            sources = [await stream() for _ in range(publishers)]
            for number in range(subscribers):
                await (await stream()).subscribe(_Subscriber(done, number), from_offset=0)
            began = time.monotonic()
            await _quiet(done, sources[0])
            began = time.monotonic()
            shares = [range(number, events - QUIET, publishers) for number in range(publishers)]
            tasks = [
                asyncio.create_task(_publish(done, number + 1, source, len(share)))
                for number, (source, share) in enumerate(zip(sources, shares, strict=True))
            ]
            step = events // (cuts + 1)
            for cut in range(1, cuts + 1):
                await _until(done, cut * step)
                proxy.cut()
                done.cuts += 1
            await asyncio.gather(*tasks)
            await _until(done, events, everybody=True)
            done.took = time.monotonic() - began
    finally:
        await server.clean_up()
    return done


class _Subscriber:
    def __init__(self, done: Streamed, number: int) -> None:
        done.seen.append([])
        self._seen = done.seen[number]
        self._done = done

    def __call__(self, event: StreamEvent) -> None:
        publisher, number, at = event.data
        self._seen.append((event.offset, event.id, publisher, number))
        if publisher == 0:
            self._done.live.append(time.monotonic() - at)


async def _quiet(done: Streamed, source: Stream) -> None:
    for number in range(QUIET):
        await _one(done, 0, source, number)
        await asyncio.sleep(PAUSE)
    await _until(done, QUIET, everybody=True)


async def _publish(done: Streamed, publisher: int, source: Stream, number: int) -> None:
    for n in range(number):
        await _one(done, publisher, source, n)


async def _one(done: Streamed, publisher: int, source: Stream, number: int) -> None:
    event = await source.publish("step", [publisher, number, time.monotonic()])
    done.published[event.offset] = event.id
    done.answers += 1


async def _until(done: Streamed, number: int, *, everybody: bool = False) -> None:
    choose = min if everybody else max
    while choose(len(seen) for seen in done.seen) < number:
        await asyncio.sleep(0.01)
