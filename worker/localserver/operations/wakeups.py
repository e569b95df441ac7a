"""The wake-up timer: tells the clients of a queue that items are due.

As on OpenIAP: every round, for each queue with a message queue and due items, one client after
another, with a pause between; nothing at a push.
"""

import asyncio

from worker.localserver.operations.services import House
from worker.localserver.storage import json_text
from worker.openiap.wire import openiap_pb2 as pb


class WakeUps:
    """Sends the wake-up messages of one server."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self) -> None:
        """Send one round after another, for ever."""
        while True:
            await asyncio.sleep(self._house.options.wakeup_interval)
            await self.round()

    async def round(self) -> None:
        """Tell everybody who waits for due items, one after another."""
        house = self._house
        for queue in house.queues.all():
            if not queue.amqpqueue or not house.items.has_due(queue.id, house.now()):
                continue
            data = json_text.write(
                {"wiq": queue.name, "wiqid": queue.id, "packageid": queue.packageid}
            )
            listeners = house.messages.listeners(queue.amqpqueue)
            for position, listener in enumerate(listeners):
                if position:
                    await asyncio.sleep(house.options.wakeup_spacing)
                house.stats["wakeups"] += 1
                listener.send("queueevent", pb.QueueEvent(queuename=queue.amqpqueue, data=data))
