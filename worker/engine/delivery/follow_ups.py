"""Follow-up items on their way: pushed after their item has succeeded, each at most once.

Each is inserted under the id that it got when the handler asked for it (``producer/insert.py``), so
a repeat, after a lost answer or a crash, makes no second item.
"""

from collections.abc import Sequence
from typing import Final

from worker.item.new_item import FollowUp
from worker.openiap.errors import OpenIAPError
from worker.openiap.pool import Pool
from worker.producer.insert import insert
from worker.producer.unique_push import UniquePushes
from worker.state.retrying import tried
from worker.telemetry.log import Log

WAIT_MAX: Final = 30.0
ID_FIELD: Final = "follow_up"


class FollowUps:
    """Pushes over the pool."""

    def __init__(self, pool: Pool, *, unique: UniquePushes, log: Log) -> None:
        self._pool = pool
        self._unique = unique
        self._log = log

    async def deliver(self, pushes: Sequence[FollowUp]) -> str:
        """Push all; ends early only by cancellation.

        Returns:
            "" when all are there, else why some can never be.
        """
        refused = [await self._deliver(push) for push in pushes]
        return "; ".join(text for text in refused if text)

    async def _deliver(self, push: FollowUp) -> str:
        async def put() -> None:
            await self._pool.wait_ready()
            if push.unique is not None:
                await self._unique.put(push, push.unique)
            else:
                await self._pool.call(
                    lambda client: insert(client, push, id_field=ID_FIELD), turn="first"
                )

        try:
            await tried(put, patience=None, longest=WAIT_MAX)
        except OpenIAPError as error:
            text = f"the follow-up item for {push.queue} was refused: {error.text}"
            self._log.error(text, item=push.parent)
            return text
        return ""
