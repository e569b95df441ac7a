"""What operators see and do, with one user's rights."""

from worker.management.api.api import Api
from worker.management.items.service import Items
from worker.management.queues.breakers import Breakers
from worker.management.queues.service import Queues
from worker.management.schedules.service import Schedules
from worker.management.workers.service import Workers
from worker.openiap.client import Client


class Services:
    """The services over one client."""

    def __init__(self, client: Client, api: Api) -> None:
        settings = api.settings
        self.client = client
        self.items = Items(
            client,
            contracts=api.contracts,
            history=settings.history,
            namespace=settings.namespace,
        )
        self.queues = Queues(client)
        self.breakers = Breakers(client)
        self.workers = Workers(client, dead_after=settings.dead_after, namespace=settings.namespace)
        self.schedules = Schedules(client, namespace=settings.namespace, entries=api.schedules)
