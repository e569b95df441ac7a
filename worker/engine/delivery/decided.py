"""An item whose outcome stands on it already: what is left is OpenIAP's own update for its state.

Only that update runs a chain. It says nothing of its own, so it is the same whoever sends it, and
only the change of the state makes a copy: however often it comes, there is one.
"""

from worker.engine.delivery.delivery import Delivered, Delivery
from worker.openiap.connection import LinkLog
from worker.openiap.pool import Pool
from worker.openiap.workitem import FAILED, SUCCESSFUL, Workitem


class Decided:
    """Sends what is left of decided items."""

    def __init__(self, pool: Pool, log: LinkLog) -> None:
        self._pool = pool
        self._log = log

    async def send(self, workitem: Workitem, state: str) -> Delivered:
        """Send the update for a decided item.

        Raises:
            OpenIAPError: the link broke, or the server refuses.
        """
        update = Workitem(id=workitem.id, payload=None, priority=0, state=state, wiq=workitem.wiq)
        stored = await self._pool.call(lambda client: client.update_workitem(update), turn="first")
        return Delivered("applied", state=stored.state)

    async def complete(self, delivery: Delivery, ends: str) -> Delivered:
        """Send what is left of an outcome that was found on the item: this one's, or that of a
        worker that died in between, which then counts instead of this one.

        Raises:
            OpenIAPError: as for ``send``.
        """
        sent = await self.send(delivery.workitem, ends)
        own = SUCCESSFUL if delivery.outcome.kind == "successful" else FAILED
        if delivery.sent and own == ends:
            return sent
        self._log.warn(
            f"the outcome that stood on the item is completed: it ends as {ends}",
            item=delivery.workitem.id,
        )
        return Delivered("fenced", f"an outcome stood on the item, which ends as {ends}")
