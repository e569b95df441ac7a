"""``State``: what handlers share with the whole fleet; a parameter type like ``Client``."""

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from worker.durations import Duration, seconds
from worker.openiap.client import Client
from worker.openiap.values import checked_name
from worker.openiap.workitem import JsonObject
from worker.state.cells import Cells
from worker.state.counter import Counter
from worker.state.events import room_of
from worker.state.lock import Lock, lease_seconds
from worker.state.once import Once
from worker.state.server_clock import ServerClock
from worker.state.stream import KEEP_FOR, Stream, checked_count, keep_for_seconds
from worker.state.values import Values

TRY_FOR: Final = 10.0
"""Seconds at most for one try of a lock's calls."""
MOST_STREAMS: Final = 256
"""Rooms whose newest offset is remembered."""
TRIES: Final = 6
"""In a lease: a lock's calls end early enough for others after a lost answer."""


class State:
    """Locks, counters, guards, values and streams of all workers of one namespace, in OpenIAP's
    documents.

    A handler asks for it by type: whoever may work one of its worker's queues shares it. Elsewhere
    it is made of any client; all that use the same state sign in as one user then, or say whose it
    is.

    Args:
        client: a signed-in one.
        namespace: the setting of that name, to share with workers.
        rights: who may see what is made here, as OpenIAP writes rights; () is the client's user.
    """

    def __init__(
        self,
        client: Client,
        namespace: str = "",
        *,
        rights: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self.namespace: Final = namespace
        self._client = client
        self._rights = rights
        self._cells = Cells(client, namespace, rights=rights)
        self._clock = ServerClock(client, namespace)
        self._once = Once(self._cells, self._clock)
        self._chance = random.Random()  # noqa: S311 (jitter, no secret)
        self.values: Final = Values(client, self._cells, self._clock, chance=self._chance)
        """Values by key: ``set``, ``get``, ``delete``, ``incr``, ``decr``, ``scan``."""
        self._streams: OrderedDict[tuple[str, int | None, float | None], Stream] = OrderedDict()

    def lock(
        self, name: str, lease: Duration = "30s", *, wait: Duration | timedelta | None = None
    ) -> Lock:
        """Return a lock to hold with ``async with``; of all processes at most one does::

            async with state.lock("ledger", lease="30s") as held:
                await ledger.write(entry, fence=held.number)
                held.check()

        It is renewed while it is held, so the lease says only how long a dead holder keeps others
        out. Guaranteed, and how far:

        - A holder that dies or loses its link is followed after its lease (and a second).
        - A holder that freezes for longer than its lease loses it; ``check`` says so the moment it
          is back, before anything else runs. What it began before it froze cannot be called back:
          hand ``number`` to what the lock protects, and let that refuse one below the greatest
          that it has seen.
        - Clocks that are set wrong, or jump, play no part: leases are measured by each machine's
          uptime. A machine whose uptime runs slower than others' by more than the margin of a
          second in a lease would be the exception.
        - Deleting the lock's documents by hand frees it while its holder still works; of it and the
          next one, one loses it at the next renewal of either. Its numbers begin at 1 again.
        - Who waits asks about once a second, and is served in no particular order.

        Args:
            name: 1 to 1,000 bytes.
            lease: at least ``"1s"``.
            wait: how long to wait for it; 0 tries once, None waits for ever.

        Raises:
            ValueError: a name or a duration that is not allowed.
        """
        duration = lease_seconds(lease)
        return Lock(
            Cells(
                self._client,
                self.namespace,
                timeout=min(TRY_FOR, duration / TRIES),
                rights=self._rights,
            ),
            checked_name(name, "lock"),
            lease=duration,
            wait=None if wait is None else seconds(wait, "wait"),
            chance=self._chance,
        )

    def counter(self, name: str) -> Counter:
        """Return a counter; ``await state.counter("vouchers").add()`` is the next number.

        Args:
            name: 1 to 1,000 bytes.

        Raises:
            ValueError: a name that is not allowed.
        """
        return Counter(self._cells, checked_name(name, "counter"), chance=self._chance)

    def stream(
        self,
        room: str,
        *,
        keep_count: int | None = None,
        keep_for: Duration | timedelta | None = KEEP_FOR,
    ) -> Stream:
        """Return a room to publish events to and to follow::

            await state.stream("orders").publish("paid", {"order": "4711"})

        - An event is published exactly once, through lost answers and restarts. Offsets begin at 1
          and have no gaps; the order is the same for all.
        - A subscription leaves nothing out and hands nothing over twice, whatever happens to the
          link. A process that dies between an event and what its callback did about it knows
          only by what it kept of ``offset`` itself.
        - Clocks play no part but in what is kept, where the server's decides.
        - Where events are deleted by hand, subscribers go on behind the gap after a second; where
          the newest ones are, their offsets are given out again.

        What is over these limits goes when others publish; the newest event and those of the last
        hour stay in any case. All that publish to a room give the same limits.

        Args:
            room: 1 to 1,000 bytes.
            keep_count: events; None: any number.
            keep_for: at least ``"1h"``; None: for ever.

        Raises:
            TypeError, ValueError: a name or a limit that is not allowed.
        """
        checked_name(room, "stream")
        limits = checked_count(keep_count), keep_for_seconds(keep_for)
        place = (room, *limits)
        stream = self._streams.get(place)
        if stream is None:
            stream = self._streams[place] = Stream(
                self._client,
                room_of(self.namespace, room),
                server_clock=self._clock,
                chance=self._chance,
                keep_count=limits[0],
                keep_for=limits[1],
                rights=self._rights,
            )
        self._streams.move_to_end(place)
        while len(self._streams) > MOST_STREAMS:
            self._streams.popitem(last=False)
        return stream

    async def once(self, key: str, keep: Duration | timedelta | None = None) -> bool:
        """Return True for exactly one caller of all that ever ask with this key::

            if await state.once(f"mail-{order.id}"):
                await send(order)

        It guards the beginning, not the end: who got True and dies before the work is done leaves
        it undone. Where the work has to be done, push an item with ``unique=`` instead.

        - A lost answer does not lose the True: it is asked for again and found to be this one's.
        - A caller that freezes and comes back has its answer still.
        - With ``keep`` the server's clock decides; should it jump ahead, the key is free too early.
        - Deleting the key's documents by hand frees it.

        Args:
            key: 1 to 1,000 bytes.
            keep: for how long the key stays taken; None: for ever.

        Raises:
            ValueError: a key or a duration that is not allowed.
            OpenIAPError: no answer for a minute; the key may be taken.
        """
        return await self._once.first(key, keep)
