"""What a work item queue says of its items' ends, as the server has it now.

1. The rules of all queues that end items here are read in one message, and believed for a few
   seconds; where the server tells of changes (a watch), until then at most.
2. Where a queue cannot be read for sure there are no rules: OpenIAP itself has to apply them.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.openiap.errors import AccessDenied, ServerError
from worker.openiap.fields import id_of, objects_of, text_of, whole
from worker.openiap.pool import Pool
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject, Workitem
from worker.uptime import uptime

KEPT: Final = 5.0
"""Seconds for which what was read is believed."""
USED: Final = 60.0
"""Seconds after its last use for which a queue is read along with others."""
MOST_TWINS: Final = 100
"""Documents that have a queue's name and are none of it."""
CHAINS: Final[Mapping[str, tuple[str, str]]] = {
    SUCCESSFUL: ("success_wiq", "success_wiqid"),
    FAILED: ("failed_wiq", "failed_wiqid"),
}
"""By the state that an item ends in: the fields, of an item or its queue, that name where a copy
of it goes."""
PROJECTION: Final[JsonObject] = {
    "name": 1,
    "maxretries": 1,
    "retrydelay": 1,
    "_acl": 1,
    **{field: 1 for fields in CHAINS.values() for field in fields},
}


@dataclass(frozen=True, slots=True)
class QueueRules:
    """One queue's.

    Attributes:
        maxretries: how many attempts an item has in all.
        retrydelay: seconds from a failed attempt to the next.
        chained: the states whose items are copied into another queue.
        acl: the rights, which an item takes over with each update.
    """

    id: str
    name: str
    maxretries: int = 0
    retrydelay: int = 0
    chained: frozenset[str] = frozenset()
    acl: tuple[JsonObject, ...] = ()


def rules_of(document: Mapping[str, Any]) -> QueueRules | None:
    """Read a queue's document (server.md, Documents); None where a number in it is none: what
    OpenIAP makes of that is for OpenIAP to say."""
    maxretries, retrydelay = whole(document.get("maxretries")), whole(document.get("retrydelay"))
    if maxretries is None or retrydelay is None:
        return None
    return QueueRules(
        id=id_of(document),
        name=text_of(document.get("name")),
        maxretries=maxretries,
        retrydelay=retrydelay,
        chained=chained(document),
        acl=tuple(objects_of(document.get("_acl"))),
    )


def chained(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the states for which a queue, or an item, names where a copy goes."""
    return frozenset(
        state for state, fields in CHAINS.items() if any(document.get(field) for field in fields)
    )


class QueueRulesReader:
    """Reads and remembers them.

    Args:
        clock: seconds that go on while the machine sleeps.
    """

    def __init__(self, pool: Pool, clock: Callable[[], float] = uptime) -> None:
        self._pool = pool
        self._clock = clock
        self._rules: dict[str, QueueRules | None] = {}
        self._used: dict[str, float] = {}
        self._read_at = float("-inf")
        self._changes = 0
        self._gate = asyncio.Lock()

    def forget(self) -> None:
        """A queue has changed: nothing that was read so far is believed any more."""
        self._changes += 1
        self._read_at = float("-inf")

    async def of(self, workitem: Workitem) -> QueueRules | None:
        """Return the rules for an item; None where they are not known for sure.

        Raises:
            OpenIAPError: the link broke before the answer.
        """
        return _own(workitem, await self._named(workitem.wiq))

    def known(self, workitem: Workitem) -> QueueRules | None:
        """Return the same where it need not be read for that; None else."""
        queue, now = workitem.wiq, self._clock()
        if queue not in self._rules or now - self._read_at >= KEPT:
            return None
        self._used[queue] = now
        return _own(workitem, self._rules[queue])

    async def maxretries(self, queue: str) -> int:
        """Return how many attempts a queue allows; 0 where that cannot be read.

        Raises:
            OpenIAPError: the link broke before the answer.
        """
        found = await self._named(queue)
        return 0 if found is None else found.maxretries

    async def _named(self, queue: str) -> QueueRules | None:
        self._used[queue] = self._clock()
        if not self._fresh(queue):
            async with self._gate:  # who waited here finds what was read meanwhile
                if not self._fresh(queue):
                    await self._read()
        return self._rules.get(queue)

    def _fresh(self, queue: str) -> bool:
        return queue in self._rules and self._clock() - self._read_at < KEPT

    async def _read(self) -> None:
        now, changes = self._clock(), self._changes
        self._used = {name: used for name, used in self._used.items() if now - used < USED}
        names = sorted(self._used)
        query = {"_type": "workitemqueue", "name": {"$in": names}}
        most = len(names) + MOST_TWINS
        try:
            found = await self._pool.call(
                lambda client: client.query("mq", query, PROJECTION, top=most), turn="first"
            )
        except (AccessDenied, ServerError):
            found = []
        self._rules = dict.fromkeys(names) | {
            # The first of a name is the queue, as for OpenIAP itself; anybody may store another.
            text_of(document.get("name")): rules_of(document)
            for document in reversed(found)
        }
        # What changed while it was read may be in it or not.
        self._read_at = now if changes == self._changes else float("-inf")


def _own(workitem: Workitem, found: QueueRules | None) -> QueueRules | None:
    """Return the rules of an item's queue; None where it was renamed, or made anew under its name:
    the server knows."""
    if found is None or (workitem.wiqid and workitem.wiqid != found.id):
        return None
    return found
