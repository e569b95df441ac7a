"""The readers of all users whose pages are open."""

import asyncio

from worker.console.live.reader import Reader
from worker.management.api.api import Api
from worker.management.api.sessions import UserKey


class Readers:
    """One reader for each user; shape: ``stop``.

    Users are told apart as the API does it: by id and roles. Nothing that one was told is kept
    where another's pages look.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._found: dict[UserKey, Reader] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._found)

    @property
    def topics(self) -> int:
        """How many topics all of them keep."""
        return sum(reader.topics for reader in self._found.values())

    def of(self, key: UserKey) -> Reader:
        """Return a user's reader."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Reader(self._api, key, lambda: self.end(key))
        return found

    def end(self, key: UserKey) -> None:
        """End a user's reader; idempotent."""
        found = self._found.pop(key, None)
        if found is not None:
            task = asyncio.create_task(found.stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        """End all of them."""
        for key in tuple(self._found):
            self.end(key)
        await asyncio.gather(*self._ending, return_exceptions=True)
