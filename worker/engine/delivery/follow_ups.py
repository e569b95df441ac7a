"""Follow-up items on their way: pushed after their item has succeeded, each at most once.

Each is inserted under the id that it got when the handler asked for it (``producer/insert.py``), so
a repeat, after a lost answer or a crash, makes no second item.
"""

from collections.abc import Sequence
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

from worker.item.new_item import FollowUp
from worker.openiap.errors import NotConnected, OpenIAPError
from worker.openiap.pool import Pool
from worker.producer.insert import insert
from worker.producer.unique_push import UniquePushes
from worker.telemetry.log import Log

WAIT_FIRST: Final = 0.2
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
        try:
            async for attempt in AsyncRetrying(
                wait=wait_random_exponential(multiplier=WAIT_FIRST, max=WAIT_MAX),
                retry=retry_if_exception(_may_do_later),
                reraise=True,
            ):
                with attempt:
                    await self._pool.wait_ready()
                    if push.unique is not None:
                        await self._unique.put(push, push.unique)
                        continue
                    await self._pool.call(
                        lambda client: insert(client, push, id_field=ID_FIELD), turn="first"
                    )
        except OpenIAPError as error:
            text = f"the follow-up item for {push.queue} was refused: {error.text}"
            self._log.error(text, item=push.parent)
            return text
        return ""


def _may_do_later(error: BaseException) -> bool:
    return isinstance(error, OpenIAPError) and (error.maybe_done or isinstance(error, NotConnected))
