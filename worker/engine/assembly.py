"""Putting a worker together: which part gets what; ``daemon.py`` starts and stops them.

``Assembly`` holds what can be made at once, so that handlers and settings that cannot work are
refused before anything is touched. ``complete`` makes the rest, once the state directory has said
who this worker is.
"""

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from worker.app.application import Application
from worker.app.checked import checked
from worker.app.events import Events
from worker.app.lifespan import Lifespans
from worker.app.listener import told_of
from worker.app.options import Handler
from worker.engine.awaiting.wakes import wakes_for
from worker.engine.breakers.fleet import breakers_for
from worker.engine.cancellations import Cancellations
from worker.engine.checkpoints import Checkpoints
from worker.engine.completer import Completer
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.follow_ups import FollowUps
from worker.engine.delivery.queue_rules import QueueRulesReader
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.leadership import idle_after
from worker.engine.fleet.presence import WorkerInfo
from worker.engine.fleet.recovery import Recovery
from worker.engine.fleet.rescuer import Rescuer, RescueTimes
from worker.engine.fleet.takeover import TakeOver
from worker.engine.groups import groups_for
from worker.engine.isolation import Isolation
from worker.engine.item_log import ItemLog
from worker.engine.lease import lease_of
from worker.engine.links import links_for
from worker.engine.listening import check_queues, listening_for
from worker.engine.maintenance.housekeeping import housekeeping
from worker.engine.maintenance.scale_endpoint import ScaleEndpoint
from worker.engine.maintenance.worked_queues import OwnQueues
from worker.engine.operators import mailbox_for, reporter_for
from worker.engine.outbox.state_dir import StateDirectory
from worker.engine.parts import Parts
from worker.engine.pauses import Pauses
from worker.engine.queue_workers import QueueWorkers
from worker.engine.queues import Queues, acl_over
from worker.engine.registration import Registration
from worker.engine.scheduler.scheduler import Scheduler
from worker.engine.scheduler.timetable import timetable
from worker.engine.shortages import Shortages
from worker.engine.shutdown import Shutdown
from worker.engine.worker_services import HandlerInputs, WorkerServices
from worker.kept_memory import Reserve
from worker.openiap.client import Client
from worker.openiap.factory import client_maker
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.producer.sender import ClientSender
from worker.producer.unique_push import UniquePushes
from worker.runloop import COLLECT_EVERY
from worker.settings import Settings
from worker.state.state import State
from worker.telemetry.telemetry import Telemetry


class Assembly:
    """One worker; the arguments and what is raised are those of ``Daemon``."""

    def __init__(
        self,
        settings: Settings,
        handlers: Sequence[Handler[..., Any]],
        *,
        version: str,
        modules: Sequence[str],
        environment: Mapping[str, str] | None,
        client_factory: Callable[[], Client] | None,
    ) -> None:
        application = handlers if isinstance(handlers, Application) else Application(handlers)
        self.settings: Final = settings
        self.telemetry: Final = Telemetry(
            settings, environment=environment, facts={"version": version}
        )
        self.log: Final = self.telemetry.log
        self.lifespans: Final = Lifespans(application.lifespans, log=self.log)
        self.registry: Final = checked(application, settings.work_queues())
        self.events: Final = Events(application.hooks, log=self.log)
        self.workers: Final = QueueWorkers(settings, self.registry, modules=modules)
        self._version = version
        self._middleware = tuple(application.middleware)
        self._listeners = tuple(application.listeners)
        for listener in self._listeners:  # what cannot be called starts nothing
            told_of(listener, self.lifespans.types)
        check_queues(self._listeners, settings.queue)
        self._client_factory = client_factory or client_maker(settings, version)
        # Clients that were brought along may move moments on their way (``testing/``).
        self._speaks_server_time = client_factory is None
        self._chance = random.Random()  # noqa: S311 (jitter, no secret)
        # A worker that ends when its queues are empty is not there at the ticks.
        self._timetable = [] if settings.once else timetable(self.registry, datetime.now(UTC))

    def complete(self, state: StateDirectory, stop: Callable[[], None]) -> Parts:
        """Make the rest.

        Args:
            state: what the worker keeps on disk, opened.
            stop: begins the worker's stop.
        """
        settings, log, chance, workers = self.settings, self.log, self._chance, self.workers
        worker_id, counts = state.worker_id, self.telemetry.counts
        queue_names = tuple(registered.queue for registered in self.registry)

        def queues_changed() -> None:
            rules.forget()
            pauses.note()
            breakers.note()

        queues = Queues(
            queue_names,
            message_queue=settings.queue,
            wake=workers.wake,
            queues_changed=queues_changed,
            changed=workers.item_changed,
            log=log,
            misfits=self.telemetry.misfits,
        )
        registration = Registration(
            queues,
            lambda: pool.connections[0],
            registered=lambda: self._registered(queues),
            log=log,
            chance=chance,
        )
        pool = links_for(
            settings,
            self._client_factory,
            queues=queues,
            registration=registration,
            workers=workers,
            telemetry=self.telemetry,
            events=self.events,
            told=lambda: (mailbox, signals),
        )
        rules = QueueRulesReader(pool)
        client = pooled_client(pool)
        rights = DocumentRights(lambda: pool.epoch, log)

        def now() -> datetime:
            return heartbeat.server_now() if self._speaks_server_time else datetime.now(UTC)

        writeback = WriteBack(
            pool,
            rights=rights,
            rules=rules,
            worker_id=worker_id,
            lease=lease_of(settings),
            patience=settings.refusal_patience,
            log=log,
            chance=chance,
            server_stamp=lambda: heartbeat.last_stamp,
            now=now,
            history=settings.history,
        )
        followups = FollowUps(
            pool,
            unique=UniquePushes(client, settings.namespace),
            log=log,
            patience=settings.refusal_patience,
            rights=rights,
            chance=chance,
        )
        shortages = Shortages(workers.slot_freed, log=log)
        reporter = reporter_for(
            self.registry, workers, state=state, shortages=shortages, telemetry=self.telemetry
        )
        heartbeat = Heartbeat(
            WorkerInfo(
                worker_id,
                self._version,
                workers.slots(),
                settings.namespace,
                life=secrets.token_hex(8),
                lock=state.lock,
            ),
            pool=pool,
            interval=settings.heartbeat_interval,
            dead_after=settings.dead_after,
            in_flight=workers.in_flight,
            log=log,
            acl=lambda: acl_over(queues.facts.values()),
            idle_after=idle_after(settings.rescue_interval, settings.dead_after),
            misfits=self.telemetry.misfits,
            queues=workers.told,
            report=reporter,
        )
        heartbeat.usable = settings.presence
        mailbox = mailbox_for(
            settings,
            workers,
            heartbeat=heartbeat,
            client=client,
            pool=pool,
            reporter=reporter,
            telemetry=self.telemetry,
            stop=stop,
        )
        signals = wakes_for(
            settings, workers, client=client, pool=pool, fleet=heartbeat, me=worker_id, log=log
        )
        take_over = TakeOver(
            pool,
            writeback,
            worker_id=worker_id,
            max_deaths=settings.max_deaths,
            log=log,
            misfits=self.telemetry.misfits,
            acl=lambda: acl_over(queues.facts.values()),
        )
        pauses = Pauses(
            queues,
            lambda: queues.look(pool.connections[0]),
            interval=settings.heartbeat_interval,
            now=heartbeat.server_now,
            on_over=workers.resumed,
            log=log,
        )
        breakers = breakers_for(
            self.registry, pool, queues, heartbeat, workers, worker_id=worker_id, log=log
        )

        groups = groups_for(settings, queue_names, client, heartbeat, log=log, chance=chance)
        completer = Completer(
            writeback,
            outbox=state.outbox,
            spool=state.spool,
            followups=followups,
            counts=counts,
            log=log,
            item_log=ItemLog(settings.item_log, log),
            history=settings.history > 0,
            groups=groups,
            on_waits=lambda item, past: signals.parked(item, past),
        )

        def paused(queue: str) -> str:
            return pauses.of(queue) or breakers.of(queue)

        return Parts(
            pool=pool,
            client=client,
            queues=queues,
            registration=registration,
            inputs=self._inputs(worker_id, pool, client, rights, queues, heartbeat.server_now),
            listening=listening_for(
                self._listeners,
                self.lifespans,
                client=client,
                namespace=settings.namespace,
                log=log,
            ),
            services=WorkerServices(
                worker_id,
                pool,
                completer,
                counts,
                log,
                chance,
                self.events,
                shortages=shortages,
                pauses=pauses,
                breakers=breakers,
                reserve=Reserve(COLLECT_EVERY),
                isolation=Isolation(
                    workers.in_flight,
                    slots=sum(workers.slots().values()),
                    pool=pool,
                    tell=heartbeat.beat,
                    now=now,
                    log=log,
                    chance=chance,
                    on_open=workers.slots_freed,
                    misfits=self.telemetry.misfits,
                ),
                now=now,
            ),
            heartbeat=heartbeat,
            shortages=shortages,
            pauses=pauses,
            breakers=breakers,
            recovery=Recovery(
                state.outbox,
                state.spool,
                heartbeat,
                writeback,
                take_over,
                followups,
                counts=counts,
                log=log,
            ),
            rescuer=Rescuer(
                queue_names,
                heartbeat=heartbeat,
                take_over=take_over,
                own=workers.claims,
                pool=pool,
                times=RescueTimes(
                    settings.rescue_interval, settings.dead_after, settings.unclaimed_after
                ),
                counts=counts,
                log=log,
                chance=chance,
                maintain=workers.tend if workers.gated else None,
                misfits=self.telemetry.misfits,
            ),
            scheduler=self._scheduler(client, heartbeat),
            housekeeping=(
                *housekeeping(
                    self.registry,
                    client=client,
                    fleet=heartbeat,
                    namespace=settings.namespace,
                    log=log,
                    chance=chance,
                ),
                groups,
                signals,
                Cancellations(
                    workers.in_flight,
                    workers.cut_short,
                    client=client,
                    interval=settings.heartbeat_interval,
                    notes=signals,
                    log=log,
                ),
            ),
            scaling=ScaleEndpoint(
                OwnQueues(workers.slots(), counts.snapshot, paused),
                pool=pool,
                now=heartbeat.server_now,
            ),
            shutdown=Shutdown(
                workers.consumers,
                drain_timeout=settings.drain_timeout,
                cancel_timeout=settings.cancel_timeout,
                log=log,
                on_left=heartbeat.keep,
            ),
            mailbox=mailbox,
        )

    def _inputs(
        self,
        worker_id: str,
        pool: Pool,
        client: Client,
        rights: DocumentRights,
        queues: Queues,
        now: Callable[[], datetime],
    ) -> HandlerInputs:
        namespace = self.settings.namespace
        self.lifespans.resources[State] = State(
            client, namespace, rights=lambda: acl_over(queues.facts.values())
        )
        sender = ClientSender(client, namespace)
        return HandlerInputs(
            client,
            self.lifespans.resources,
            lifespans=self.lifespans.types,
            middleware=self._middleware,
            checkpoints=Checkpoints(
                pool, sender, worker_id=worker_id, log=self.log, rights=rights, now=now
            ),
        )

    def _scheduler(self, client: Client, heartbeat: Heartbeat) -> Scheduler | None:
        if not self._timetable:
            return None
        scheduler = Scheduler(
            self._timetable,
            client=client,
            fleet=heartbeat,
            namespace=self.settings.namespace,
            log=self.log,
            chance=self._chance,
            misfits=self.telemetry.misfits,
        )
        heartbeat.on_time_moved = scheduler.trigger
        self.telemetry.counts.source("missed_ticks", lambda: float(scheduler.missed))
        self.telemetry.counts.source("schedule_late_seconds", scheduler.late)
        return scheduler

    def _registered(self, queues: Queues) -> None:
        self.workers.note_facts(queues)
        self.workers.wake_all()
