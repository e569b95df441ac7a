"""Sign-ins by password: bounded per connection and per address, and never in anybody's way.

1. Checking a password costs some 50 ms of a thread's CPU, so an address has one checked at a time
   and the server two; each connection may wait with one.
2. A connection that failed a few times is closed; an address from which many failed has its
   passwords checked more slowly for a while, and no more than a few may wait for it.
3. A password that was right a moment ago is known without a check, as soon as it is its turn.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from worker.localserver.operations.users import Users, verify_password
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.user import User

AT_ONCE: Final = 2
MOST_WAITING: Final = 256
"""Per address: a whole fleet comes back at once when a server was restarted."""
MOST_FAILED: Final = 30
WINDOW: Final = 60.0
SLOW_EVERY: Final = 0.2
"""Seconds that an address with too many failures has to wait between two checks."""
SLOW_WAITING: Final = 40
"""So that an honest one from there is through within 8 s."""
MOST_ADDRESSES: Final = 10_000


@dataclass
class _Address:
    """What is known of an address."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    failed: deque[float] = field(default_factory=deque)
    checked: float = float("-inf")

    def is_slow(self, now: float) -> bool:
        while self.failed and now - self.failed[0] > WINDOW:
            self.failed.popleft()
        return len(self.failed) >= MOST_FAILED


class SignIns:
    """Checks passwords; one per server.

    Args:
        users: who may sign in.
        clock: seconds, monotonic.
    """

    def __init__(self, users: Users, clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._checks = asyncio.Semaphore(AT_ONCE)

    async def by_password(self, address: str, username: str, password: str) -> User:
        """Return who has this name and password.

        Args:
            address: where the client is.

        Raises:
            RefusedError: nobody, or too many of this address wait for an answer.
        """
        place = self._address(address)
        slow = place.is_slow(self._clock())
        if place.waiting >= (SLOW_WAITING if slow else MOST_WAITING):
            raise RefusedError("Too many sign-ins from this address; try again in a moment")
        place.waiting += 1
        try:
            async with place.turn:
                return await self._checked(place, username, password)
        finally:
            place.waiting -= 1

    async def _checked(self, place: _Address, username: str, password: str) -> User:
        if place.is_slow(self._clock()):
            await asyncio.sleep(max(0.0, place.checked + SLOW_EVERY - self._clock()))
        place.checked = self._clock()
        user = self._users.recently_verified(username, password)
        if user is not None:
            return user
        known = self._users.to_check(username)
        async with self._checks:
            right = await asyncio.to_thread(verify_password, known, password)
        if not right or not known.userid:
            place.failed.append(self._clock())
            raise RefusedError(f"{username[:100]} failed logging in using local")
        self._users.remember(username, password)
        return User(known.userid, username)

    def _address(self, address: str) -> _Address:
        place = self._addresses.get(address)
        if place is None:
            place = self._addresses[address] = _Address()
        self._addresses.move_to_end(address)
        while len(self._addresses) > MOST_ADDRESSES:
            oldest = next(iter(self._addresses))
            if self._addresses[oldest].waiting:
                break
            del self._addresses[oldest]
        return place
