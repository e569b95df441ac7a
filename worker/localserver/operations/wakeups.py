"""The wake-up timer: tells the clients of a queue that items are due.

As on OpenIAP: every round, for each queue with a message queue and due items, one client after
another, with a pause between; nothing at a push.
"""

import asyncio

from worker.localserver.operations.services import Services
from worker.localserver.storage import json_text
from worker.openiap.wire import openiap_pb2 as pb


class WakeUps:
    """Sends the wake-up messages of one server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def round(self) -> None:
        """Tell everybody who waits for due items, one after another."""
        services = self._services
        for queue in services.queues.all():
            if not queue.amqpqueue or not services.item_table.has_due(queue.id, services.now()):
                continue
            data = json_text.write(
                {"wiq": queue.name, "wiqid": queue.id, "packageid": queue.packageid}
            )
            name = services.messages.name_of(queue.amqpqueue)
            subscribers = services.messages.subscribers(queue.amqpqueue)
            for position, subscriber in enumerate(subscribers):
                if position:
                    await asyncio.sleep(services.options.wakeup_spacing)
                services.stats["wakeups"] += 1
                subscriber.send("queueevent", pb.QueueEvent(queuename=name, data=data))
