"""The links of one worker to OpenIAP: how many there are, and what comes with each sign-in."""

from collections.abc import Callable, Iterable
from typing import Protocol

from worker.app.events import Event, Events
from worker.engine.queue_workers import QueueWorkers
from worker.engine.queues import Queues
from worker.engine.registration import Registration
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.factory import link_times
from worker.openiap.limiter import limiter_of
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.settings import Settings
from worker.telemetry.telemetry import Telemetry


class HearsOfSignIns(Protocol):
    """Who has something to do again after each sign-in."""

    def signed_in(self) -> None:
        """There is another link."""


def links_for(
    settings: Settings,
    make_client: Callable[[], Client],
    *,
    queues: Queues,
    registration: Registration,
    workers: QueueWorkers,
    telemetry: Telemetry,
    events: Events,
    told: Callable[[], Iterable[HearsOfSignIns | None]],
) -> Pool:
    """Return them, not started; wake-ups and registrations go over the first one.

    Args:
        told: returns who is told whenever the first one has signed in, after the queues are
            registered.
    """

    def client_made() -> Client:
        client = make_client()
        client.on_late_pop = workers.take_late
        telemetry.listen_to(client)
        return client

    async def connected(connection: Connection) -> None:
        if connection is connections[0]:
            telemetry.use(connection.client)
            await queues.register(connection)
            workers.note_facts(queues)
            registration.trigger()
            for one in told():
                if one is not None:
                    one.signed_in()
        telemetry.log.info("signed in to OpenIAP", connection=connection.name)
        workers.wake_all()
        events.notify_soon(Event("connected", worker=events.worker, client=pooled))

    def lost(connection: Connection, reason: str) -> None:
        events.notify_soon(Event("disconnected", worker=events.worker, message=reason))

    times = link_times(settings)
    connections = [
        Connection(
            str(number + 1),
            client_made,
            limiter=limiter_of(settings.rate_limit),
            times=times,
            log=telemetry.log,
            on_connected=connected,
            on_lost=lost,
        )
        for number in range(settings.connections)
    ]
    pool = Pool(connections)
    pooled = pooled_client(pool)
    return pool
