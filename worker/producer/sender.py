"""Pushing and waiting over a client: the sender behind every producer in this process.

1. One item is one message; many are few messages where the client can, else several in flight.
   After a refusal nothing more is begun.
2. An outcome is looked for at growing intervals; a watch (``results.py``), where server and client
   have one, makes the look happen at once. Looks become rare once the watch has told of something.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Final

from worker.item.cancelled import FIELDS, UNFINISHED, Cancelling, cancelling, is_cancelled, note_of
from worker.item.metadata import KEY
from worker.item.new_item import Push, Sent
from worker.item.signals import COLLECTION
from worker.openiap.client import Client
from worker.openiap.errors import ItemNotFound, OpenIAPError, PayloadTooLarge
from worker.openiap.fields import id_of, number
from worker.openiap.reader import Reader
from worker.openiap.values import json_text
from worker.openiap.workitem import NEW, PROCESSING, JsonObject, Workitem
from worker.producer.groups.desk import ClientGroups
from worker.producer.no_result import GONE, timed_out
from worker.producer.results import ENDS, Results
from worker.producer.signals import Check, send_signal
from worker.producer.unique_push import UniquePushes
from worker.state.retrying import passes, tried

IN_FLIGHT: Final = 8
BATCH: Final = 500
BATCH_BYTES: Final = 1024 * 1024
FIRST_LOOK: Final = 0.1
LONGEST: Final = 2.0
LONGEST_WATCHED: Final = 15.0
ENDED: Final[JsonObject] = {"state": 1}
PROJECTION: Final[JsonObject] = {
    "state": 1,
    "payload": 1,
    "wiq": 1,
    "errormessage": 1,
    "errortype": 1,
    "errorsource": 1,
}


class ClientSender:
    """Pushes and waits over one client; see ``worker.item.new_item.Sender``.

    Args:
        namespace: of unique keys; see the setting of that name.
        on_sent: told of what the server has as its answers come, also where ``send`` raises in the
            end: the place of the first of them among the pushes, and what came of each.
        check_signal: refuses values of signals.
    """

    def __init__(
        self,
        client: Client,
        namespace: str = "",
        *,
        on_sent: Callable[[int, Sequence[Sent]], None] = lambda _first, _sent: None,
        check_signal: Check | None = None,
    ) -> None:
        self.client: Final = client
        self._unique = UniquePushes(client, namespace)
        self._too_large: set[str] = set()
        self._reader = Reader(
            client, "work item", lambda misfit: self._too_large.add(misfit.id), large=True
        )
        self._results = Results(client)
        self._on_sent = on_sent
        self._check_signal = check_signal
        self.groups: Final = ClientGroups(client, namespace, self.cancel)
        """Pushes groups, and looks at them."""

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        """Push all and return what came of each, in order.

        Raises:
            OpenIAPError: one was refused, or its answer did not come. Others may be pushed; what
                was in flight has ended, and nothing more was begun.
        """
        alone = len(pushes) == 1 or any(push.files or push.unique for push in pushes)
        bulk = self.client.capabilities.bulk_push and not alone
        parts = _batches(pushes) if bulk else ((n, n + 1) for n in range(len(pushes)))
        sent: dict[int, list[Sent]] = {}
        refusals: list[OpenIAPError] = []

        async def work() -> None:
            # All share one iterator: each takes the next part when it is done with the last. After
            # a refusal what is in flight is let end, for then it is known what became of it.
            for start, end in parts:
                try:
                    sent[start] = await (self._batch if bulk else self._each)(pushes[start:end])
                except OpenIAPError as error:
                    refusals.append(error)
                else:
                    self._on_sent(start, sent[start])
                if refusals:
                    return

        # Bulk pushes one after another: items keep the order in which they were given.
        at_once = 1 if bulk else min(IN_FLIGHT, len(pushes))
        if at_once == 1:
            await work()
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(work())
        if refusals:
            # The one that tells most: after which an item may be there, if there is one.
            raise next((error for error in refusals if error.maybe_done), refusals[0])
        return [one for start in sorted(sent) for one in sent[start]]

    async def _each(self, pushes: Sequence[Push]) -> list[Sent]:
        return [await self._one(push) for push in pushes]

    async def _one(self, push: Push) -> Sent:
        if push.unique is not None:
            return await self._unique.push(push, push.unique)
        item = await self.client.push_workitem(
            push.queue,
            push.payload,
            name=push.name,
            priority=push.priority,
            nextrun=push.nextrun,
            files=push.files,
        )
        return Sent(item.id)

    async def _batch(self, pushes: Sequence[Push]) -> list[Sent]:
        first = pushes[0]
        items = [
            Workitem(name=p.name, payload=p.payload, priority=p.priority, nextrun=p.nextrun)
            for p in pushes
        ]
        found = await self.client.push_workitems(first.queue, items)
        return [Sent(item.id) for item in found]

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> JsonObject:
        """Return an item's document once it is successful or failed.

        Raises:
            ResultTimeout: not within ``timeout`` seconds.
            OpenIAPError: the server refuses the look.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        wait, state, looks = FIRST_LOOK, "", 0
        async with self._results.of(item_id) as told:
            while True:
                told.ended.clear()
                document = await self._look(item_id)
                state = str(document.get("state", "")) if document else GONE
                if document is not None and state in ENDS:
                    if looks and not told.heard_of_end:
                        self._results.doubt()
                    return document
                looks += 1
                await self._results.look()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise timed_out(item_id, queue, timeout or 0, state)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait if left is None else min(wait, left)):
                        await told.ended.wait()
                wait = min(LONGEST_WATCHED if told.of_anything else LONGEST, wait * 1.5)

    async def look(self, item_id: str) -> JsonObject:
        """Return an item's state, and its payload's metadata.

        Raises:
            ItemNotFound: there is none, or no rights.
            OpenIAPError: the server refuses the look.
        """
        wanted = {**FIELDS, "wiq": 1, "_acl": 1, f"payload.{KEY}": 1}
        found = await tried(
            lambda: self._reader.query(
                "workitems", {"_id": item_id}, wanted, top=1, about=item_id, needed=ENDED
            )
        )
        if not found:
            raise ItemNotFound(
                f"there is no item {item_id}, or this user has no rights on it", operation="look"
            )
        document: JsonObject = found[0]
        return document

    async def cancel(
        self, item_id: str, reason: str, states: Collection[str] = UNFINISHED
    ) -> Cancelling:
        """Cancel an item; see ``worker.item.cancelled``.

        Args:
            states: in which it is to be cancelled, by the last look.

        Raises:
            ItemNotFound: there is none, or no rights.
            OpenIAPError: the server refuses it.
        """
        sent = False

        async def once() -> Cancelling:
            # Looked at before each update: while the link was away it may have been worked, and
            # what has succeeded is not made to fail.
            nonlocal sent
            document = await self.look(item_id)
            found, fields = cancelling(document, reason, states)
            if fields:
                sent = True
                await self.client.update_workitem({"_id": item_id, **fields})
                if found == "stopping" and await self._went_on(document):
                    return await once()
                if found == "stopping":
                    await self._tell_worker(document)
            elif sent and is_cancelled(document):
                return "cancelled"  # by the update whose answer was lost
            return found

        return await tried(once)

    async def _tell_worker(self, document: JsonObject) -> None:
        """Have the worker of an item look at it now; one that is not told looks a little later."""
        note = note_of(document)
        with suppress(OpenIAPError):
            await self.client.insert_one(COLLECTION, note)
            await self.client.delete_one(COLLECTION, str(note["_id"]))

    async def _went_on(self, document: JsonObject) -> bool:
        """Whether an item that ran is not in that attempt any more, nor ended: what was set on it
        to cancel it may have come too late for who wrote it back."""
        now = await self.look(id_of(document))
        if now.get("state") == PROCESSING:
            return number(now.get("retries")) != number(document.get("retries"))
        return now.get("state") == NEW

    async def signal(self, item_id: str, name: str, text: str, key: str) -> str:
        """Tell an item something; see ``worker.producer.signals``."""
        return await send_signal(self.client, item_id, name, text, key, check=self._check_signal)

    async def _look(self, item_id: str) -> JsonObject | None:
        try:
            found = await self._reader.query(
                "workitems", {"_id": item_id}, PROJECTION, top=1, about=item_id, needed=ENDED
            )
        except OpenIAPError as error:
            if passes(error):  # no link, no answer, or too many calls: it is looked at again
                return {}
            raise
        if not found:
            return None
        if found[0].get("state") in ENDS and item_id in self._too_large:
            raise PayloadTooLarge(
                f"the item is {found[0]['state']}, and its result is larger than this client"
                " carries over this address",
                operation="query",
                item_id=item_id,
            )
        document: JsonObject = found[0]
        return document


def _batches(pushes: Sequence[Push]) -> Iterator[tuple[int, int]]:
    """Cut into parts of one queue and time, of so many items and, but for a big one, bytes."""
    start, size = 0, 0
    for index, push in enumerate(pushes):
        length = len(json_text(push.payload))
        first = pushes[start]
        full = index - start >= BATCH or size + length > BATCH_BYTES
        other = (push.queue, push.nextrun) != (first.queue, first.nextrun)
        if index > start and (full or other):
            yield start, index
            start, size = index, 0
        size += length
    if start < len(pushes):
        yield start, len(pushes)
