"""The queues that a scaler answers for, and how fast one worker of each is, seen from outside.

1. Which queues there are is read once a minute: of one that does not exist nothing is told.
2. A worker's slots are those that the worker last heard of tells in its presence document (once a
   minute); until one was heard of, 1.
3. Whether it is paused, or a system that it needs is away, is read along with its numbers, for all
   queues in one message.
4. Its items per second are its slots ÷ the median seconds from pop to end of the last 20 items that
   ended well, in the last week (once in five minutes while there is anything to do). So it is known
   where no worker lives, and unknown where none ever worked.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from statistics import median
from typing import Any, Final

from worker.cli.shared.documents import pages
from worker.engine.breakers.circuit import BREAKERS, Circuit, circuits_of
from worker.engine.fleet.presence import COLLECTION as WORKERS
from worker.engine.maintenance.autoscale import Load
from worker.engine.maintenance.queue_load import CALL_TIMEOUT, MOST_CALLS
from worker.engine.maintenance.queue_load import COLLECTION as ITEMS
from worker.engine.maintenance.scale_endpoint import FRESH
from worker.engine.maintenance.worked_queues import Refused
from worker.engine.pause import PAUSE, Pause, pause_of
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import moment_of, object_of, text_of, whole
from worker.openiap.pool import Pool
from worker.openiap.values import iso
from worker.openiap.workitem import SUCCESSFUL, JsonObject
from worker.service import Service
from worker.telemetry.log import Log

MOST_PER_MINUTE: Final = 240
"""Messages for the numbers of all queues together; with more than five queues, each is asked for
less often."""
LISTED_EVERY: Final = 60.0
SOON: Final = 1.0
SLOTS_EVERY: Final = 60.0
SPEED_EVERY: Final = 300.0
LATEST: Final = 20
RECENT: Final = timedelta(days=7)
MOST_WORKERS: Final = 100
MOST_PAUSED: Final = 500


class FleetQueues(Service):
    """What is known of the queues; ``start`` begins to read which there are.

    Args:
        names: those that may be asked about; () for all that this user may see.
        namespace: that of the workers.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        pool: Pool,
        namespace: str,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("queues", pause=LISTED_EVERY, on_error=self._failed)
        self._given = tuple(dict.fromkeys(names))
        self._pool = pool
        self._namespace = namespace
        self._log = log
        self._clock = clock
        self._there: frozenset[str] | None = None
        self._asked: dict[str, None] = {}
        self._slots: dict[str, int] = {}
        self._slots_at = float("-inf")
        self._pauses: dict[str, Pause] = {}
        self._circuits: dict[str, dict[str, Circuit]] = {}
        self._pauses_at = float("-inf")
        self._seconds: dict[str, float] = {}
        self._seconds_at: dict[str, float] = {}
        self.unknown: set[str] = set()

    @property
    def names(self) -> Sequence[str]:
        """Those that were named, or else those that were asked about."""
        return self._given or tuple(self._asked)

    @property
    def meant(self) -> str:
        """The only one that was named."""
        return self._given[0] if len(self._given) == 1 else ""

    def fresh(self) -> float:
        """Return for how many seconds a queue's numbers are given again."""
        return max(FRESH, len(self.names) * MOST_CALLS * 60.0 / MOST_PER_MINUTE)

    def refusal(self, queue: str) -> Refused | None:
        """Refuse what was not named, and what does not exist."""
        if self._given and queue not in self._given:
            return Refused(HTTPStatus.NOT_FOUND, "no such queue here", {"queues": [*self._given]})
        if self._there is None:
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the queues were not read yet")
        if queue not in self._there:
            text = f"queue {queue} does not exist, or this user has no rights on it"
            return Refused(HTTPStatus.NOT_FOUND, text if queue else "queue = NAME is missing")
        if not self._given:
            self._asked.setdefault(queue)
        return None

    def slots(self, queue: str) -> int:
        """Return those of the worker that was last heard of; 1 until one was."""
        return self._slots.get(queue, 1)

    def per_second(self, queue: str) -> float | None:
        """Return what one worker does, as the last items tell."""
        seconds = self._seconds.get(queue)
        return None if not seconds else self.slots(queue) / seconds

    def paused(self, queue: str) -> str:
        """Return who paused it, why and until when, or which system is away, as of its numbers."""
        now, pause = datetime.now(UTC), self._pauses.get(queue)
        if pause is not None and pause.holds(now):
            return str(pause)
        circuits = self._circuits.get(queue, {}).items()
        return "; ".join(one.text(name) for name, one in circuits if one.stands(now) == "shut")

    async def saw(self, queue: str, load: Load, at: float) -> None:
        """Look whether it is paused, and how fast its workers are, where there is anything to do
        and it is time to."""
        try:
            if at - self._pauses_at >= FRESH:
                await self._read_pauses(at)
        except OpenIAPError as error:  # what was known of them stays
            self._log.once_a_while("pauses", f"pauses cannot be read: {error.text}")
        if not load.waiting and not load.running:
            return
        try:
            if at - self._slots_at >= SLOTS_EVERY:
                await self._read_slots(at)
            known = queue in self._seconds
            if at - self._seconds_at.get(queue, float("-inf")) >= (
                SPEED_EVERY if known else SLOTS_EVERY
            ):
                await self._read_speed(queue, at)
        except OpenIAPError as error:  # what was known of them stays; what waits is told
            self._log.once_a_while("speeds", f"workers' speeds cannot be read: {error.text}")

    async def round(self) -> float | None:
        """Read which queues there are."""
        if not self._pool.ready:
            return SOON
        query: JsonObject = {"_type": "workitemqueue"}
        found = await self._pool.call(
            lambda client: pages(client, "mq", query, {"name": 1}, {"_id": 1})
        )
        self._there = frozenset(text_of(one.get("name")) for one in found)
        self._asked = {name: None for name in self._asked if name in self._there}
        unknown = {name for name in self._given if name not in self._there}
        for name in sorted(unknown - self.unknown):
            self._log.error(f"Queue {name} does not exist, or this user has no rights on it")
        self.unknown = unknown
        return None

    async def _read_pauses(self, at: float) -> None:
        names = list(self.names)[:MOST_PAUSED]
        query: JsonObject = {"_type": "workitemqueue", "name": {"$in": names}}
        found = await self._pool.call(
            lambda client: client.query(
                "mq",
                query,
                {"name": 1, PAUSE: 1, BREAKERS: 1},
                top=MOST_PAUSED,
                timeout=CALL_TIMEOUT,
            )
        )
        # The first of a name is the queue, as for OpenIAP itself; anybody may store another.
        named = {text_of(one.get("name")): one for one in reversed(found)}
        pauses = {name: pause_of(one) for name, one in named.items()}
        self._pauses = {name: pause for name, pause in pauses.items() if pause is not None}
        self._circuits = {name: circuits_of(one) for name, one in named.items()}
        self._pauses_at = at

    async def _read_slots(self, at: float) -> None:
        found = await self._pool.call(
            lambda client: client.query(
                WORKERS,
                {"_type": "worker"},
                {"slots": 1, "namespace": 1},
                {"_modified": -1},
                top=MOST_WORKERS,
                timeout=CALL_TIMEOUT,
            )
        )
        self._slots_at = at
        self._slots |= _slots_in(reversed(found), self._namespace)

    async def _read_speed(self, queue: str, at: float) -> None:
        since = iso(datetime.now(UTC) - RECENT)
        query: JsonObject = {"wiq": queue, "state": SUCCESSFUL, "lastrun": {"$gte": since}}
        found = await self._pool.call(
            lambda client: client.query(
                ITEMS,
                query,
                {"lastrun": 1, "_modified": 1},
                {"_modified": -1},
                top=LATEST,
                timeout=CALL_TIMEOUT,
            )
        )
        self._seconds_at[queue] = at
        took = [seconds for one in found if (seconds := _seconds_of(one)) is not None]
        if took:
            self._seconds[queue] = median(took)

    def _failed(self, error: Exception) -> None:
        self._log.once_a_while("queues", f"the queues cannot be read: {error}")


def _slots_in(documents: Any, namespace: str) -> dict[str, int]:
    """Return the slots by queue; what a later document tells holds."""
    slots: dict[str, int] = {}
    for document in documents:
        if text_of(document.get("namespace")) == namespace:
            for queue, told in object_of(document.get("slots")).items():
                count = whole(told)
                if count is not None and count > 0:
                    slots[queue] = count
    return slots


def _seconds_of(document: Mapping[str, Any]) -> float | None:
    begun, ended = moment_of(document.get("lastrun")), moment_of(document.get("_modified"))
    if begun is None or ended is None or ended <= begun:
        return None
    return (ended - begun).total_seconds()
