"""Cancelled items: those in flight are looked at now and then, and stopped.

1. Who cancels leaves a note for the item's worker, which then asks at once; see
   ``worker.item.cancelled``.
2. One question for all whose handlers have run for a while makes good what was not told: with each
   heartbeat, every ``UNTOLD`` where no watch tells of notes; none where nothing runs for so long.
3. A handler whose item is cancelled is asked to end as at its timeout: ``item.stopping`` is set, an
   ``async def`` is cancelled, and at last it is given up. What it returns still counts.
"""

from collections.abc import Callable
from typing import Final, Protocol

from worker.engine.in_flight import Running
from worker.item.cancelled import CODE, FIELDS, cancelled_because
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import id_of, number
from worker.openiap.workitem import BUSINESS, PROCESSING, JsonObject
from worker.service import Service
from worker.telemetry.log import Log
from worker.uptime import uptime

AFTER: Final = 0.5
"""The part of a pause for which a handler has run before its item is asked about."""
AT_ONCE: Final = 200
UNTOLD: Final = 3.0
"""Seconds between two looks at most where nobody tells of notes."""


KEPT: Final = 10.0
"""Seconds for which the note of an item that is not here counts: the answer to its pop may be on
its way."""


class Tells(Protocol):
    """Who hears of notes."""

    heard: bool
    on_cancelled: Callable[[str], None]


class Cancellations(Service):
    """One worker's.

    Args:
        in_flight: the items in flight.
        cut_short: asks the handler of an item of a queue to end; whether it runs.
        interval: seconds between two looks.
        notes: who hears that an item was cancelled.
    """

    def __init__(
        self,
        in_flight: Callable[[], list[Running]],
        cut_short: Callable[[str, str], bool],
        *,
        client: Client,
        interval: float,
        notes: Tells,
        log: Log,
    ) -> None:
        super().__init__(
            "cancellations",
            pause=interval,
            on_error=lambda error: log.error(f"cancelled items: {type(error).__name__}: {error}"),
            first=min(interval, UNTOLD),
        )
        self._in_flight = in_flight
        self._cut_short = cut_short
        self._client = client
        self._interval = interval
        self._notes = notes
        self._told: dict[str, float] = {}
        """Items that a note names, and that are to be asked about; when that was heard."""
        notes.on_cancelled = self._hear
        self._log = log

    def _hear(self, item_id: str) -> None:
        """Somebody has cancelled an item that runs here, or elsewhere."""
        self._told[item_id] = uptime()
        self.trigger()

    def _pace(self) -> float:
        """Return the seconds until the next look."""
        return self._interval if self._notes.heard else min(self._interval, UNTOLD)

    async def round(self) -> float:
        """Look once, and stop what is cancelled; returns the seconds until the next look."""
        told, pace, now = self._told, self._pace(), uptime()
        stages = {one.workitem.id: one.stage for one in self._in_flight()}
        self._told = {
            id: at
            for id, at in told.items()
            if stages.get(id) in ("preparing", "admitting")
            or (id not in stages and now - at < KEPT)
        }
        since = now - pace * AFTER
        asked = {
            one.workitem.id: one
            for one in self._in_flight()
            if one.stage == "handling"
            and not one.cancelled
            and (one.popped < since or one.workitem.id in told)
        }
        ids = list(asked)
        for start in range(0, len(ids), AT_ONCE):
            query: JsonObject = {
                "_id": {"$in": ids[start : start + AT_ONCE]},
                "state": PROCESSING,
                "errortype": BUSINESS,
            }
            try:
                found = await self._client.query("workitems", query, FIELDS, top=AT_ONCE)
            except OpenIAPError as error:
                self._log.debug(f"cancelled items are looked for again: {error}")
                self._told = told | self._told
                return min(pace, UNTOLD)
            for document in found:
                running = asked.get(id_of(document))
                if running is not None and number(document.get("retries")) == (
                    running.workitem.retries
                ):
                    self._stop(running, document)
        return min(pace, UNTOLD) if self._told else pace

    def _stop(self, running: Running, document: JsonObject) -> None:
        workitem = running.workitem
        reason = cancelled_because(
            document.get("errormessage"), document.get("errorsource"), workitem.retries
        )
        if not reason or running.stage != "handling":
            return
        running.cancelled = reason
        if self._cut_short(workitem.wiq, workitem.id):
            self._log.info(
                f"the item is cancelled, its handler is asked to end: [{CODE}] {reason}",
                item=workitem.id,
                queue=workitem.wiq,
            )
