"""Says on an item that goes on to another queue whose copy the copy is, where OpenIAP's own update
ends it: the mark goes along in the payload that the update stores and OpenIAP copies.

1. Of a queue that names none for such items nothing is written. Only an item that fails for good is
   looked at: it may name one itself.
2. An outcome without a payload keeps the stored one. Where it is not known as it came, it is read,
   a few times and no more: it may be larger than this link can carry, and the item is to end all
   the same.
"""

from dataclasses import replace
from typing import Final

from pydantic_core import from_json

from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.ending import state_after
from worker.engine.delivery.owner import Owner
from worker.engine.delivery.queue_rules import CHAINS, QueueRulesReader, chained
from worker.item.origin import mark_of, marked
from worker.openiap.workitem import FAILED, JsonObject, Workitem

READS: Final = 3
OWN_QUEUES: Final[JsonObject] = {field: 1 for fields in CHAINS.values() for field in fields}


class Origins:
    """Marks updates."""

    def __init__(self, owner: Owner, rules: QueueRulesReader) -> None:
        self._owner = owner
        self._rules = rules

    async def marked(self, delivery: Delivery, update: Workitem) -> Workitem:
        """Return the update of an item with the mark, where a copy of the item will be made.

        Raises:
            OpenIAPError: the link broke.
        """
        workitem, outcome = delivery.workitem, delivery.outcome
        rules = await self._rules.of(workitem)
        if rules is None:
            return update
        state = state_after(outcome, workitem.retries, rules)
        if state not in rules.chained and not (state == FAILED and await self._names(delivery)):
            return update
        payload = update.payload
        if payload is None:
            payload = await self._stored(delivery)
        if payload is None:
            return update
        return replace(update, payload=marked(payload, mark_of(workitem, outcome)))

    async def _names(self, delivery: Delivery) -> bool:
        """Return whether an item itself names a queue for its failure."""
        document = await self._owner.read(delivery.workitem.id, OWN_QUEUES)
        return document is not None and FAILED in chained(document)

    async def _stored(self, delivery: Delivery) -> JsonObject | None:
        """Return the payload that stands on an item; None where it is none, or does not come."""
        if text := delivery.workitem.checked_text():
            # As it came, and whatever was stored since is an outcome's own.
            came: JsonObject = from_json(text)
            return came
        if delivery.reads >= READS:
            return None
        delivery.reads += 1
        document = await self._owner.read(delivery.workitem.id, {"payload": 1})
        delivery.reads = 0
        payload = None if document is None else document.get("payload")
        return payload if isinstance(payload, dict) else None
