"""Who looks at topics, and what OpenIAP is asked for it."""

import asyncio
from collections.abc import Callable
from typing import Any

from worker.console.live.readers import Readers
from worker.console.live.topics import Seen
from worker.management.api.api import Api
from worker.management.api.sessions import Session
from worker.openiap.credentials import Credentials
from worker.testing.local_openiap import LocalOpenIAP

USER, PASSWORD = "ordinary", "say-friend"


class Stage:
    """An API's state, its readers, and what is asked of the server."""

    def __init__(self, openiap: LocalOpenIAP, api: Api) -> None:
        self.openiap = openiap
        self.api = api
        self.readers = Readers(api)

    async def signed_in(self, *, ordinary: bool = False) -> Session:
        environment = self.openiap.environment
        given = (environment["OPENIAP_USERNAME"], environment["OPENIAP_PASSWORD"])
        name, password = (USER, PASSWORD) if ordinary else given
        _, session = await self.api.sign_in(Credentials(name, password, ""), "cookie", "here")
        return session


class Sight:
    """What somebody sees of a topic."""

    def __init__(self) -> None:
        self.seen: list[Seen[Any]] = []
        self._more = asyncio.Event()

    def __call__(self, seen: Seen[Any]) -> None:
        self.seen.append(seen)
        self._more.set()

    async def until(self, wanted: Callable[[Seen[Any]], bool], within: float = 60.0) -> Seen[Any]:
        async with asyncio.timeout(within):
            while not (self.seen and wanted(self.seen[-1])):
                self._more.clear()
                await self._more.wait()
        return self.seen[-1]


def asked_of(openiap: LocalOpenIAP) -> int:
    """Return how often the server was asked for anything."""
    stats = openiap.server.stats
    return sum(stats.get(name, 0) for name in ("query", "aggregate", "count", "distinct"))
