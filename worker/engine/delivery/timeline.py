"""What becomes of a run, added to its item's timeline in the write that ends the run.

1. In a conditional update it is a few operators of that update; nothing is read for it. Somebody
   may have put something else in their place: that is written over then.
2. Where an item's document is written whole, it stands in that document.
3. Where OpenIAP's own update ends the run, it stands in the payload, if that goes anyway. For a
   failure, which is the more worth knowing, a small payload goes again as it came. An item that
   succeeds at once, and has no marks, keeps its payload as it is: the document tells the rest.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.ending import Ending
from worker.item.error_text import coded
from worker.item.history import (
    FIELD,
    Entry,
    Share,
    What,
    added,
    first_line,
    key_of,
    milliseconds,
    pushed,
    refused,
    with_operators,
)
from worker.item.masking import masked
from worker.item.metadata import HISTORY, KEY
from worker.openiap.fields import object_of
from worker.openiap.workitem import FAILED, NEW, SMALL, SUCCESSFUL, JsonObject, Workitem


class Timelines:
    """Of the items of one worker.

    Args:
        limit: entries that an item keeps; 0 for none.
        now: the server's time as far as it is known.
    """

    def __init__(
        self,
        worker_id: str,
        limit: int = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._worker_id = worker_id
        self._limit = limit
        self._last = Share.of(limit).last
        self.now: Final = now

    def at(self, moment: datetime) -> "Timelines":
        """Return the same at a moment."""
        return Timelines(self._worker_id, self._limit, lambda: moment)

    @property
    def kept(self) -> bool:
        """Whether there are any."""
        return self._limit > 0

    def in_change(self, delivery: Delivery, ending: Ending) -> JsonObject:
        """Return the change of a conditional update with the entry of the run that it ends."""
        if not self._limit:
            return ending.change
        id = delivery.workitem.id
        if delivery.outcome.kind == "successful" and not (delivery.anew or delivery.copy_of):
            return self._with_success(delivery, ending.change)
        entry = self._entry(delivery, ending.state, ending.at)
        if delivery.anew:
            fields = {FIELD: added(None, id, entry, self._limit)}
            return with_operators(ending.change, {"$set": fields})
        more = pushed(id, entry, self._limit, delivery.copy_of)
        return with_operators(ending.change, more)

    def _with_success(self, delivery: Delivery, change: JsonObject) -> JsonObject:
        """The same as of any other entry, for what nearly every item is: as cheap as can be."""
        workitem, ran = delivery.workitem, delivery.ran
        ran = delivery.outcome.ran if ran is None else ran
        one: JsonObject = {
            "what": "succeeded",
            "at": milliseconds(self.now()),
            "by": delivery.over[-1] if delivery.over else self._worker_id,
            "attempt": workitem.retries + 1,
        }
        if workitem.lastrun is not None:
            one["start"] = milliseconds(workitem.lastrun)
        if ran is not None:
            one["seconds"] = round(ran, 3)
        own = f"{FIELD}.{key_of(workitem.id)}"
        return {
            **change,
            "$push": {f"{own}.last": {"$each": [one], "$slice": -self._last}},
            "$inc": {f"{own}.count": 1},
        }

    def refused(self, delivery: Delivery, text: str) -> bool:
        """Whether an update was refused for what stands in the timeline's place; it is written over
        by the next one."""
        if not self._limit or delivery.anew:
            return False
        delivery.anew = refused(text, delivery.workitem.id)
        return delivery.anew

    def in_document(
        self, delivery: Delivery, document: JsonObject, *, at: datetime | None = None
    ) -> JsonObject:
        """Return an item's whole document, as it goes back to new, with the entry.

        Args:
            at: when it is tried again, by this machine's clock.
        """
        if not self._limit:
            return document
        entry = self._entry(delivery, NEW, at)
        found = added(document.get(FIELD), delivery.workitem.id, entry, self._limit)
        return {**document, FIELD: found}

    def in_payload(self, delivery: Delivery, update: Workitem, state: str) -> Workitem:
        """Return OpenIAP's own update with the entry, where it has a place there.

        Args:
            state: the item's, afterwards.
        """
        workitem, payload = delivery.workitem, update.payload
        if not self._limit:
            return update
        if payload is None:
            text = workitem.text or workitem.came
            if state == SUCCESSFUL or not text or len(text) > SMALL:
                return update
            payload = _object(text)
            if payload is None:
                return update
        marks = object_of(payload.get(KEY))
        if state == SUCCESSFUL and not marks:
            return update
        entry = self._entry(delivery, state, update.nextrun)
        found = added(marks.get(HISTORY), workitem.id, entry, self._limit)
        return replace(update, payload={**payload, KEY: {**marks, HISTORY: found}})

    def _entry(self, delivery: Delivery, state: str, again: datetime | None) -> Entry:
        workitem, outcome = delivery.workitem, delivery.outcome
        by = delivery.by or (delivery.over[-1] if delivery.over else self._worker_id)
        at, attempt, start = self.now(), workitem.retries + 1, workitem.lastrun
        ran = outcome.ran if delivery.ran is None else delivery.ran
        if outcome.kind == "successful":
            return Entry("succeeded", at, by, attempt, start, ran)
        if outcome.kind == "released":
            what: What = "taken over" if outcome.source else "handed back"
            if outcome.waits is not None:
                what, again = "waits", outcome.waits.until
            why = masked(first_line(outcome.message))
            return Entry(what, at, by, attempt, start, ran, again=again, why=why)
        code, message = coded(outcome.message)
        return Entry(
            "failed" if state == FAILED else "retry",
            at,
            by,
            attempt,
            start,
            ran,
            kind=outcome.errortype,
            error_class=outcome.error_class,
            code=code,
            error=masked(first_line(message)),
            again=None if state == FAILED else again,
        )


def _object(text: str) -> JsonObject | None:
    """Read a payload as it came; None for what is no object, and was made one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
