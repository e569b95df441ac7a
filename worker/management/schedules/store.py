"""Schedules in OpenIAP: their documents, and nothing else; errors go through."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from worker.engine.scheduler.records import Record, Records
from worker.engine.scheduler.switches import ScheduleKey
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject
from worker.state.server_clock import ServerClock


class ScheduleStore:
    """Reads and switches schedules of one namespace with one client, and its user's rights."""

    def __init__(self, client: Client, namespace: str = "") -> None:
        self.client: Final = client
        self._records = Records(client, namespace)
        self._clock = ServerClock(client, namespace)

    async def now(self) -> datetime:
        """Return the server's time; this machine's, where the user may not write what tells it."""
        return await self._clock.now_or_own()

    async def get_list(self) -> list[Record]:
        """Return all schedules, by queue and name."""
        return await self._records.all()

    async def get_one(self, key: ScheduleKey) -> Record | None:
        """Return a schedule, or None."""
        return (await self._records.read([key])).get(key)

    async def switch(self, key: ScheduleKey, *, paused: bool, now: datetime) -> bool:
        """Pause it, or have it go on; False where this user may not."""
        return await (self._records.pause if paused else self._records.resume)(key, now)

    async def seen(self, queues: Iterable[str]) -> set[str]:
        """Return those of these queues that this user sees."""
        found = set()
        for name in queues:
            query = {"_type": "workitemqueue", "name": name}
            if await self.client.query("mq", query, {"name": 1}, top=1):
                found.add(name)
        return found

    async def push(self, queue: str, payload: JsonObject, name: str) -> str:
        """Push an item and return its id."""
        return (await self.client.push_workitem(queue, payload, name=name)).id
