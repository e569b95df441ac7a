"""The parts of one worker, as ``assembly.py`` makes them and ``daemon.py`` runs them."""

from dataclasses import dataclass

from worker.engine.breakers.breakers import Breakers
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.mailbox import Mailbox
from worker.engine.fleet.recovery import Recovery
from worker.engine.fleet.rescuer import Rescuer
from worker.engine.listening import Listening
from worker.engine.maintenance.scale_endpoint import ScaleEndpoint
from worker.engine.pauses import Pauses
from worker.engine.queues import Queues
from worker.engine.registration import Registration
from worker.engine.scheduler.scheduler import Scheduler
from worker.engine.shortages import Shortages
from worker.engine.shutdown import Shutdown
from worker.engine.worker_services import HandlerInputs, WorkerServices
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.service import Service


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that need to know who the worker is.

    Attributes:
        scaling: answers autoscalers where there is a health port.
        scheduler: None without schedules.
        mailbox: None where nobody steers it.
    """

    pool: Pool
    client: Client
    queues: Queues
    registration: Registration
    inputs: HandlerInputs
    listening: Listening
    services: WorkerServices
    heartbeat: Heartbeat
    shortages: Shortages
    pauses: Pauses
    breakers: Breakers
    recovery: Recovery
    rescuer: Rescuer
    scheduler: Scheduler | None
    housekeeping: tuple[Service, ...]
    scaling: ScaleEndpoint
    shutdown: Shutdown
    mailbox: Mailbox | None
