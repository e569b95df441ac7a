"""Retention: finished items are deleted, with their files, once they are old enough.

1. Only where ``keep`` or ``keep_failed`` of a handler says so, and only items that are successful
   or failed and have not changed for that long, in the server's time.
2. The leading worker of a queue looks, some minutes after its start and then once an hour. Where
   leading is not known, for want of the rights for heartbeats, every worker does; twice is no harm.
3. Members of a group that is not over stay: their results are still to be collected.
4. In small batches with pauses: one message per item, as each has files that go with it.

Deleting is not conditional in OpenIAP: an item that somebody puts back to new in the moment between
the look and its deletion is deleted all the same. A batch is small, so that this moment is short.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from worker.app.options import Handler
from worker.durations import text as duration_text
from worker.engine.fleet.leadership import Fleet
from worker.item.metadata import GROUP, KEY
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.item_deletion import delete_with_files
from worker.openiap.reader import Reader
from worker.openiap.values import iso
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject
from worker.service import Service
from worker.state.retrying import passes
from worker.telemetry.log import Log

FIRST: Final = 300.0
EVERY: Final = 3600.0
BETWEEN: Final = 1.0
"""Seconds between two batches."""
BATCH: Final = 25
MOST_REFUSED: Final = 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """Items of a queue that ended in a state are kept for so many seconds."""

    queue: str
    state: str
    keep: float

    def query(self, now: datetime) -> JsonObject:
        """Return what the items fulfil that may go.

        Args:
            now: the server's time.
        """
        before = iso(now - timedelta(seconds=self.keep))
        return {"wiq": self.queue, "state": self.state, "_modified": {"$lt": before}}

    def __str__(self) -> str:
        return f"{self.state} items of {self.queue} older than {duration_text(self.keep)}"


def rules_of(handlers: Iterable[Handler[..., Any]]) -> list[Rule]:
    """Return what handlers say of how long items are kept; those that say nothing keep them."""
    found = []
    for handler in handlers:
        options = handler.options
        for state, keep in ((SUCCESSFUL, options.keep), (FAILED, options.keep_failed)):
            if keep is not None:
                found.append(Rule(options.queue, state, keep))
    return found


async def delete_batch(
    client: Client,
    rule: Rule,
    now: datetime,
    refused: dict[str, OpenIAPError],
    spared: Sequence[str] = (),
) -> int:
    """Delete some of the items that may go, the oldest first; returns how many there were.

    Args:
        refused: the items, by id, that the server would not delete, and what it said. They are left
            alone, and do not hide those behind them.
        spared: groups whose members stay, since their results are still to be collected.

    Raises:
        OpenIAPError: the server could not be asked.
    """
    query = rule.query(now)
    if refused:
        query["_id"] = {"$nin": sorted(refused)}
    if spared:
        query[f"payload.{KEY}.{GROUP}.id"] = {"$nin": list(spared)}
    reader = Reader(client, "work item")
    found = await reader.query("workitems", query, {"files": 1}, {"_modified": 1}, top=BATCH)
    for document in found:
        try:
            await delete_with_files(client, document)
        except OpenIAPError as error:
            if passes(error):
                raise
            refused[str(document["_id"])] = error
    return len(found)


class Retention(Service):
    """Deletes for a worker's queues.

    Args:
        first, every, between: seconds before the first look, between two, and between two batches.
        open_groups: asks for the groups whose members stay.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        client: Client,
        fleet: Fleet,
        log: Log,
        chance: random.Random,
        first: float = FIRST,
        every: float = EVERY,
        between: float = BETWEEN,
        open_groups: Callable[[], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        super().__init__(
            "retention",
            first=first,
            pause=every,
            on_error=partial(log.failed, "old items could not be deleted"),
            chance=chance,
        )
        self._rules = tuple(rules)
        self._client = client
        self._fleet = fleet
        self._log = log
        self._between = between
        self._open_groups = open_groups

    async def start(self) -> None:
        """Begin, where items are not kept for ever; the first look comes after a while."""
        if self._rules:
            await super().start()

    async def round(self) -> None:
        """Delete what may go now, of every rule."""
        for rule in self._rules:
            try:
                await self._apply(rule)
            except Exception as error:  # one odd queue must not end the others' retention
                self._log.failed(f"{rule} could not be deleted", error)

    async def _apply(self, rule: Rule) -> None:
        gone, refused = 0, dict[str, OpenIAPError]()
        spared = () if self._open_groups is None else await self._open_groups()
        while not self._fleet.rank(rule.queue) and len(refused) < MOST_REFUSED:
            now = self._fleet.server_now()
            some = await delete_batch(self._client, rule, now, refused, spared)
            gone += some
            if some < BATCH:
                break
            await asyncio.sleep(self._between)
        gone -= len(refused)
        if gone:
            self._log.info(f"deleted {gone} {rule}", queue=rule.queue)
        if refused:
            id, error = next(iter(refused.items()))
            self._log.warn(
                f"{len(refused)} {rule} could not be deleted, the first one: {error.text}",
                queue=rule.queue,
                item=id,
            )
