"""Follow-up items on their way: pushed after their item has succeeded, each at most once.

1. Each is inserted under the id that it got when the handler asked for it (``producer/insert.py``),
   so a repeat, after a lost answer or a crash, makes no second item.
2. A refusal gets the patience that outcomes get; one that says there is no such queue, or no right
   to it, is believed sooner. Meanwhile the others go on.
3. What can never be pushed is named in the log and on the item that asked for it, and returned to
   be kept as evidence: nothing is dropped without a word.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.engine.delivery.document_rights import DocumentRights
from worker.item.new_item import FollowUp
from worker.item.outcome import NOTHING_RAISED
from worker.openiap.client import Client
from worker.openiap.errors import (
    AccessDenied,
    OpenIAPError,
    PayloadTooLarge,
    QueueNotFound,
    Unsupported,
)
from worker.openiap.pool import Pool
from worker.openiap.workitem import SUCCESSFUL, JsonObject, Workitem
from worker.producer.insert import insert
from worker.producer.unique_push import UniquePushes
from worker.state.retrying import passes, tried
from worker.telemetry.log import Log
from worker.telemetry.spans import sending_later
from worker.uptime import uptime

WAIT_FIRST: Final = 0.5
WAIT_MAX: Final = 30.0
PATIENCE: Final = 600.0
PATIENCE_FOR_RIGHTS: Final = 15.0
"""Seconds for which a missing queue or right is not believed: it may be made anew right now."""
OVERDUE_AFTER: Final = 30.0
TELL_WITHIN: Final = 10.0
ID_FIELD: Final = "follow_up"


@dataclass(frozen=True, slots=True)
class Unpushed:
    """A follow-up item that can never be pushed, and why."""

    push: FollowUp
    reason: str

    def __str__(self) -> str:
        return f"the follow-up item {self.push.id} for {self.push.queue} was refused: {self.reason}"


def shown(unpushed: Sequence[Unpushed]) -> str:
    """Return in one sentence what could not be pushed; "" for nothing."""
    return "; ".join(map(str, unpushed))


class FollowUps:
    """Pushes over the pool.

    Args:
        patience: seconds for which the server may refuse one before that is believed.
        rights: tells which queues' items this user may not write as documents.
        clock: seconds.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        unique: UniquePushes,
        log: Log,
        patience: float = PATIENCE,
        rights: DocumentRights | None = None,
        clock: Callable[[], float] = uptime,
        chance: random.Random | None = None,
    ) -> None:
        self._pool = pool
        self._unique = unique
        self._log = log
        self._patience = patience
        self._rights = rights or DocumentRights(lambda: pool.epoch, log)
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 (jitter, no secret)

    async def deliver(
        self,
        pushes: Sequence[FollowUp],
        *,
        on_overdue: Callable[[], None] = lambda: None,
        on_left: Callable[[Sequence[FollowUp]], None] = lambda left: None,
        overdue_after: float = OVERDUE_AFTER,
    ) -> tuple[Unpushed, ...]:
        """Push all, in order, those that are refused again later; ends early only by cancellation.

        Args:
            on_overdue: called once a refusal has lasted for ``overdue_after`` seconds.
            on_left: told, after each round, of those that are to be tried again.

        Returns:
            Those that can never be pushed.
        """
        left, unpushed, since, longest = list(pushes), list[Unpushed](), dict[str, float](), 0.0
        while True:
            again: list[FollowUp] = []
            for push in left:
                error = await self._put(push)
                if error is None:
                    continue
                if passes(error):
                    since.pop(push.id, None)
                else:
                    refused_for = self._clock() - since.setdefault(push.id, self._clock())
                    if refused_for >= self._patience_with(error):
                        unpushed.append(self._given_up(push, error))
                        continue
                    if refused_for >= overdue_after:
                        on_overdue()
                again.append(push)
                self._log.warn(
                    f"follow-up item not pushed yet: {error}",
                    item=push.parent,
                    queue=push.queue,
                    follow_up=push.id,
                )
            left = again
            if not left:
                return tuple(unpushed)
            on_left([*left, *(one.push for one in unpushed)])
            longest = min(WAIT_MAX, max(WAIT_FIRST, 2 * longest))
            await asyncio.sleep(self._chance.uniform(0.0, longest))

    async def tell(self, workitem: Workitem, unpushed: Sequence[Unpushed]) -> None:
        """Write on the item that asked, which is finished, what became of its follow-up items.

        Args:
            workitem: as popped.
        """
        text = f"The item succeeded, but {shown(unpushed)}"
        try:
            async with asyncio.timeout(TELL_WITHIN):
                await tried(lambda: self._tell(workitem, text), patience=TELL_WITHIN)
        except (OpenIAPError, TimeoutError) as error:
            self._log.warn(f"the item itself cannot be told: {error}", item=workitem.id)

    async def _put(self, push: FollowUp) -> OpenIAPError | None:
        """Push one; returns what was said instead of taking it."""
        try:
            await self._pool.wait_ready()
            with sending_later(push):
                await self._sent(push)
        except OpenIAPError as error:
            return error
        except Exception as error:  # whatever is odd about this one, the others go on
            return Unsupported(f"{type(error).__name__}: {error}", operation="push_workitem")
        return None

    async def _sent(self, push: FollowUp) -> None:
        if push.unique is not None:
            await self._unique.put(push, push.unique)
        else:
            await self._pool.call(
                lambda client: insert(client, push, id_field=ID_FIELD), turn="first"
            )

    def _patience_with(self, error: OpenIAPError) -> float:
        if isinstance(error, PayloadTooLarge):
            return 0.0
        if isinstance(error, AccessDenied | QueueNotFound | Unsupported):
            return min(self._patience, PATIENCE_FOR_RIGHTS)
        return self._patience

    def _given_up(self, push: FollowUp, error: OpenIAPError) -> Unpushed:
        unpushed = Unpushed(push, error.text)
        self._log.error(
            f"{unpushed}; it is kept as evidence",
            item=push.parent,
            queue=push.queue,
            follow_up=push.id,
        )
        return unpushed

    async def _tell(self, workitem: Workitem, text: str) -> None:
        """Only where it is still the item that succeeded: somebody may have put it back."""
        still: JsonObject = {
            "_id": workitem.id,
            "state": SUCCESSFUL,
            "retries": workitem.retries,
        }

        async def tell(client: Client) -> None:
            if client.capabilities.conditional_updates and not self._rights.missing(workitem.wiq):
                error = {
                    "errormessage": text,
                    "errortype": "application",
                    "errorsource": NOTHING_RAISED,
                }
                change = {"$set": error}
                if (await client.update_document("workitems", still, change)).matched == 1:
                    return
            found = await client.query("workitems", still, {"_id": 1}, top=1)
            if not found:
                return
            update = Workitem(
                id=workitem.id,
                name=workitem.name,
                payload=None,
                priority=workitem.priority,
                wiq=workitem.wiq,
                wiqid=workitem.wiqid,
                errormessage=text,
                errorsource=NOTHING_RAISED,
                errortype="application",
            )
            await client.update_workitem(update)

        await self._pool.call(tell)
