"""A user's client as pages use it: opened when it is needed, and asked no more often than allowed.

1. Each call is one of the user's in ``UserLinks``, so that links are opened, bounded, and closed
   when idle as for the API.
2. Each call takes its turn by the rank of who asks, which goes along in the context.
3. A call that OpenIAP does not answer is given up in time.
"""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

from worker.console.live.allowance import Allowance, Rank
from worker.management.api.api import Api
from worker.management.api.sessions import UserKey
from worker.management.api.users import AWAY
from worker.management.errors import UnavailableError
from worker.openiap.client import Client

WITHIN: Final = 25.0
"""Seconds for one call."""
AT_ONCE: Final = 3
"""Calls in flight for what pages look at: when its user has changed something all of it is asked at
once, and what that user does next has to have room beside it."""
BACK_WITHIN: Final = 2.0
"""Seconds for a link that broke to come back, where nobody waits for what is asked."""


@dataclass
class Asker:
    """Who asks.

    Attributes:
        rank: what it goes by.
        waited: seconds for its first turn; None before that.
    """

    rank: Rank
    waited: float | None = None


_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


@contextmanager
def ranked(rank: Rank) -> Iterator[Asker]:
    """Have what is asked inside ``with`` go by a rank."""
    asker = Asker(rank)
    token = _asker.set(asker)
    try:
        yield asker
    finally:
        _asker.reset(token)


def _rank() -> Rank:
    asker = _asker.get()
    return Rank.NOW if asker is None else asker.rank


class _AskingClient:
    """Calls of ``Client`` for one user."""

    def __init__(self, api: Api, key: UserKey, allowance: Allowance) -> None:
        self._api = api
        self._key = key
        self._allowance = allowance
        self._present: Client | None = None
        self._looks = asyncio.Semaphore(AT_ONCE)

    async def client(self) -> Client:
        """Return the client that there is now.

        Raises:
            UnauthorizedError: OpenIAP takes the credentials no more.
            UnavailableError: it does not answer.
        """
        links = self._api.links
        try:
            async with asyncio.timeout(None if _rank() is Rank.NOW else BACK_WITHIN):
                self._present = await links.client(links.of(self._key))
        except TimeoutError as error:
            raise UnavailableError(AWAY) from error
        return self._present

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not inspect.iscoroutinefunction(getattr(Client, name, None)):
            if self._present is None:
                raise UnavailableError(AWAY)
            return getattr(self._present, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            began = monotonic()
            await self._allowance.turn(_rank())
            asker = _asker.get()
            async with nullcontext() if asker is None else self._looks:
                if asker is not None and asker.waited is None:
                    asker.waited = monotonic() - began
                link = self._api.links.of(self._key)
                with link.call():
                    client = await self.client()
                    try:
                        async with asyncio.timeout(WITHIN):
                            return await getattr(client, name)(*args, **kwargs)
                    except TimeoutError as error:
                        raise UnavailableError(AWAY) from error

        return call


async def asking_client(api: Api, key: UserKey, allowance: Allowance) -> Client:
    """Return a user's client, which can be kept for as long as the user is signed in.

    Raises:
        UnauthorizedError: OpenIAP takes the credentials no more.
        UnavailableError: it does not answer.
    """
    asking = _AskingClient(api, key, allowance)
    await asking.client()
    return cast(Client, asking)
