"""``State``: what handlers share with the whole fleet; a parameter type like ``Client``."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from worker.durations import Duration, seconds
from worker.openiap.client import Client
from worker.openiap.values import checked_name
from worker.openiap.workitem import JsonObject
from worker.state.cells import Cells
from worker.state.counter import Counter
from worker.state.lock import Lock, lease_seconds
from worker.state.once import Once
from worker.state.server_clock import ServerClock

TRY_FOR: Final = 10.0
"""Seconds at most for one try of a lock's calls."""
TRIES: Final = 6
"""In a lease: a lock's calls end early enough for others after a lost answer."""


class State:
    """Locks, counters and guards in OpenIAP's documents, for all workers of one namespace.

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
            wait=None if wait is None else seconds(wait),
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
