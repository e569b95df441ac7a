"""Steps of an item whose copy OpenIAP is about to make, where OpenIAP's own update ends it.

The copy is one of the payload, and that update carries no field beside it. So the steps are moved
into the item's document right before (``item/steps.py``, 3), and go from there when the item
succeeds after all. Only its owner may write an item's document, so it is looked at first. Where it
cannot be written they stay in the payload: that no finished step runs again, and that the outcome
arrives, counts for more than what a copy carries.
"""

from dataclasses import replace

from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.owner import Owner
from worker.item.metadata import KEY, STEPS
from worker.item.steps import FIELD, holds_any, is_apart, moved_apart, together
from worker.openiap.errors import AccessDenied, PayloadTooLarge, ServerError
from worker.openiap.fields import object_of
from worker.openiap.pool import Pool
from worker.openiap.workitem import JsonObject, Workitem


class StepsApart:
    """Moves steps.

    Args:
        rights: learns and tells which queues' items this user may not write as documents.
    """

    def __init__(self, pool: Pool, owner: Owner, rights: DocumentRights) -> None:
        self._pool = pool
        self._owner = owner
        self._rights = rights

    async def move(self, delivery: Delivery, update: Workitem) -> Workitem | Delivered:
        """Return an update of an item that is to be copied, without its steps; or how the delivery
        has ended.

        Raises:
            OpenIAPError: the link broke, or the server refuses.
        """
        id, payload = update.id, update.payload or {}
        kept = object_of(payload.get(KEY))
        steps = object_of(kept.get(STEPS))
        if not holds_any(id, steps):
            return update
        document = await self._own(delivery)
        if not isinstance(document, dict):
            return document or update
        if is_apart(steps):
            steps = together(id, steps, document.get(FIELD))
        if not await self._write(delivery, {**document, FIELD: steps}):
            return update
        rest = {**kept, STEPS: moved_apart(id)}
        return replace(update, payload={**payload, KEY: rest})

    async def forget(self, delivery: Delivery) -> Delivered | None:
        """Take the steps off the document of an item that succeeds; returns how the delivery has
        ended, or None to go on.

        Raises:
            OpenIAPError: as for ``move``.
        """
        document = await self._own(delivery)
        if not isinstance(document, dict):
            return document
        if document.pop(FIELD, None) is not None:
            await self._write(delivery, document)
        return None

    async def _own(self, delivery: Delivery) -> JsonObject | Delivered | None:
        """Return the document, or how the delivery has ended; None where it cannot be written."""
        if self._rights.missing(delivery.workitem.wiq):
            return None
        document = await self._owner.read(delivery.workitem.id, None)
        if document is None:
            return None
        return await self._owner.concluded(delivery, document) or document

    async def _write(self, delivery: Delivery, document: JsonObject) -> bool:
        """Write the document; False where this user may not, it is too large, or the server refuses
        it a second time: the outcome does not fail for that."""
        try:
            await self._pool.call(
                lambda client: client.update_one("workitems", document), turn="first"
            )
        except AccessDenied as error:
            self._rights.note_missing(delivery.workitem.wiq, error.text)
            return False
        except PayloadTooLarge:
            return False
        except ServerError:
            if delivery.refused_since is None:
                raise
            return False
        return True
