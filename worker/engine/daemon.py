"""The daemon: builds the worker from settings and handlers, and starts and stops it.

Everything is put together here and nowhere else; each part gets what it needs in its constructor.
Public verbs: ``start``, ``quiet``, ``stop``, and ``run`` which does all three around the signals.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final

from worker.app.application import Application
from worker.app.decorator import Handler
from worker.app.events import Event, Events
from worker.app.lifespan import Lifespans
from worker.app.registry import Registry, chosen
from worker.engine.checkpoints import Desk
from worker.engine.delivery.follow_ups import FollowUps
from worker.engine.delivery.writeback import WriteBack
from worker.engine.equipment import Equipment
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.presence import WorkerInfo
from worker.engine.fleet.recovery import Recovery
from worker.engine.fleet.rescuer import Rescuer, RescueTimes
from worker.engine.fleet.takeover import TakeOver
from worker.engine.maintenance.housekeeping import housekeeping
from worker.engine.maintenance.scale_endpoint import ScaleEndpoint
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.state_dir import open_state
from worker.engine.queue_workers import Shared, Stations
from worker.engine.queues import Queues, acl_over
from worker.engine.scheduler.scheduler import Scheduler
from worker.engine.scheduler.timetable import timetable
from worker.engine.shutdown import Stopping, StopTimes
from worker.engine.signals import Signals
from worker.openiap.client import Client
from worker.openiap.connection import Connection, LinkTimes
from worker.openiap.factory import client_maker
from worker.openiap.limiter import Limiter
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.producer.producer import Producer
from worker.producer.sender import ClientDoor
from worker.producer.unique_push import UniquePushes
from worker.settings import Settings
from worker.state.state import State
from worker.telemetry.counts import QueueCounts
from worker.telemetry.telemetry import Telemetry

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1


class Daemon:
    """One worker.

    Args:
        settings: what to reach, work and keep.
        handlers: the declared handlers, or an ``Application`` with what is around them; with
            ``wiq`` or ``queues`` set, those queues alone.
        version: this package's, for the server and the presence document.
        modules: the handlers' modules, for process handlers.
        environment: where systemd's names are read.
        client_factory: makes unconnected clients, instead of the one that the settings name.

    Raises:
        HandlerError: no handler for a queue, two for one, or a signature that cannot be filled.
        SettingsError: no URL or no credentials.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Sequence[Handler[..., Any]],
        *,
        version: str = "",
        modules: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        client_factory: Callable[[], Client] | None = None,
    ) -> None:
        self.settings: Final = settings
        application = handlers if isinstance(handlers, Application) else Application(handlers)
        self._middleware = tuple(application.middleware)
        self._version = version
        self._make = client_factory or client_maker(settings, version)
        self._chance = random.Random()  # noqa: S311 (jitter, no secret)
        self.telemetry = Telemetry(settings, environment=environment, facts={"version": version})
        self._log = self.telemetry.log
        self._lifespans = Lifespans(application.lifespans, log=self._log)
        self._registry = chosen(Registry(application), settings.work_queues())
        # A worker that ends when its queues are empty is not there at the ticks.
        self._timetable = [] if settings.once else timetable(self._registry, datetime.now(UTC))
        self._scheduler: Scheduler | None = None
        self._events = Events(application.hooks, log=self._log)
        self._counts = self.telemetry.counts
        self._stations = Stations(
            settings,
            self._registry,
            modules=modules,
            counts=self._counts,
            log=self._log,
            chance=self._chance,
        )
        self._stack = AsyncExitStack()
        self._stopping: Stopping | None = None
        self._stopping_now: Stopping | None = None
        self._signals = Signals(stop=self.quiet, hurry=self.hurry, log=self._log)
        self._asked = asyncio.Event()
        self._outbox: Outbox | None = None
        self._presence: Heartbeat | None = None

    def counts(self) -> Mapping[str, QueueCounts]:
        """Return what was done so far, by queue."""
        return self._counts.snapshot()

    async def run(self, *, signals: bool = True) -> int:
        """Work until a signal, or until the queues are empty with ``once``; returns an exit code.

        Raises:
            AccessDenied: the server refuses the credentials.
            StateError: the state directory or the health port cannot be had.
        """
        restore = self._signals.catch() if signals else None
        try:
            starting = asyncio.create_task(self.start(), name="start")
            asked = asyncio.create_task(self._asked.wait())
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():  # told to stop while the server was still away
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            else:
                starting.result()
                await self._until_asked(asked)
            asked.cancel()
            code = EXIT_DONE
            if self.settings.once and any(c.trouble for c in self._stations.consumers.values()):
                code = EXIT_FAILED
        finally:
            await self.stop()
            if restore is not None:
                restore()
        return code

    async def start(self) -> None:
        """Sign in, recover what an earlier life left, and begin to pop."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    def quiet(self) -> None:
        """Stop popping; items in flight go on."""
        for consumer in self._stations.consumers.values():
            consumer.quiet()
        self._asked.set()

    async def tick(self) -> datetime | None:
        """Do the schedules' ticks that are due in the server's time, and return when the next one
        is, or None without schedules; for those who move its time."""
        if self._scheduler is None:
            return None
        if self._presence is not None:
            await self._presence.beat()
        await self._scheduler.push_due(at_once=True)
        return self._scheduler.next_tick()

    def hurry(self) -> None:
        """Do not wait for items in flight: they are handed back."""
        if self._stopping_now is not None:
            self._stopping_now.hurry()

    async def stop(self) -> None:
        """Stop in stages (``stopping.py``) and let go of everything; idempotent."""
        self._scheduler = None
        if self._stopping is not None:
            stopping, self._stopping = self._stopping, None
            self.telemetry.stopping()
            self._stopping_now = stopping
            if self._signals.hurried:
                stopping.hurry()
            await stopping.run()
            await self._events.tell(Event("shutdown", worker=self._events.worker))
        await self._stack.aclose()

    async def _start(self) -> None:
        settings = self.settings
        await self.telemetry.start(self._stations.on_the_loop)
        self._stack.push_async_callback(self.telemetry.stop)
        state = await open_state(settings, self._stack, self._log)
        if state.trouble:
            self.telemetry.trouble(state.trouble)
        worker_id, self._outbox, spool = state.worker_id, state.outbox, state.spool
        self._events.worker = worker_id
        queues = Queues(
            tuple(registered.queue for registered in self._registry),
            message_queue=settings.queue,
            wake=self._stations.wake,
            log=self._log,
        )
        pool = self._pool(queues)
        writeback = WriteBack(
            pool,
            worker_id=worker_id,
            lease=lease_of(settings),
            patience=settings.refusal_patience,
            log=self._log,
        )
        presence = Heartbeat(
            WorkerInfo(worker_id, self._version, self._stations.slots(), settings.namespace),
            pool=pool,
            interval=settings.heartbeat_interval,
            dead_after=settings.dead_after,
            in_flight=self._stations.in_flight,
            log=self._log,
            acl=lambda: acl_over(queues.facts.values()),
        )
        presence.usable = settings.presence
        self._presence = presence
        take_over = TakeOver(
            pool,
            writeback,
            worker_id=worker_id,
            max_deaths=settings.max_deaths,
            log=self._log,
        )
        equipment = self._equipment(worker_id, pool)
        await self._stations.build(
            Shared(
                pool,
                queues,
                writeback,
                self._outbox,
                spool,
                presence,
                equipment,
                self._lifespans.resources,
            ),
            self._stack,
        )
        self.telemetry.watch(pool, self._outbox, self._stations.consumers, queues)
        self._answer_autoscalers(pool)
        self._stack.push_async_callback(pool.stop)
        await pool.start()
        self._stack.push_async_callback(self._events.stop)
        self._stack.push_async_callback(self._lifespans.stop)
        client = pooled_client(pool)
        self._lifespans.resources[State] = State(client, settings.namespace)
        await self._lifespans.start(client)
        recovery = Recovery(
            self._outbox,
            spool,
            presence,
            writeback,
            take_over,
            equipment.followups,
            log=self._log,
        )
        self._stack.push_async_callback(recovery.stop)
        await recovery.run()
        await presence.start()
        self._stack.push_async_callback(presence.stop)
        rescuer = Rescuer(
            [registered.queue for registered in self._registry],
            heartbeat=presence,
            take_over=take_over,
            own=self._stations.claims,
            pool=pool,
            times=RescueTimes(
                settings.rescue_interval, settings.dead_after, settings.unclaimed_after
            ),
            counts=self._counts,
            log=self._log,
            chance=self._chance,
            maintain=self._stations.tend if self._stations.keyed else None,
        )
        await rescuer.start()
        self._stack.push_async_callback(rescuer.stop)
        await self._start_schedules(pool, presence)
        await self._start_housekeeping(pool, presence)
        self._stopping = Stopping(
            tuple(self._stations.consumers.values()),
            usual=self._stations.usual,
            times=StopTimes(settings.drain_timeout, settings.cancel_timeout),
            log=self._log,
            on_left=presence.keep,
        )
        self._stations.note_facts(queues)
        self._say_whose_times(pool)
        for consumer in self._stations.consumers.values():
            consumer.start()
        self.telemetry.ready()
        names = ", ".join(self._stations.consumers)
        self._log.info(f"worker {worker_id} works {names}")
        self._events.tell_soon(Event("start", worker=worker_id))

    async def _start_schedules(self, pool: Pool, presence: Heartbeat) -> None:
        if not self._timetable:
            return
        self._scheduler = Scheduler(
            self._timetable,
            client=pooled_client(pool),
            fleet=presence,
            namespace=presence.me.namespace,
            log=self._log,
            chance=self._chance,
        )
        presence.on_time_moved = self._scheduler.trigger
        await self._scheduler.start()
        self._stack.push_async_callback(self._scheduler.stop)

    async def _start_housekeeping(self, pool: Pool, presence: Heartbeat) -> None:
        services = housekeeping(
            self._registry,
            client=pooled_client(pool),
            fleet=presence,
            namespace=presence.me.namespace,
            log=self._log,
            chance=self._chance,
        )
        for service in services:
            await service.start()
            self._stack.push_async_callback(service.stop)

    def _say_whose_times(self, pool: Pool) -> None:
        """Say once that a client cannot carry the times that handlers choose."""
        present = pool.connections[0].present
        if present is None or present.capabilities.nextrun_on_update:
            return
        names = [r.name for r in self._registry if r.handler.options.retry.chooses_times]
        if names:
            self._log.warn(
                "the official client cannot carry retry times: the queue's retrydelay counts"
                f" instead of the Backoff of {', '.join(names)}"
            )

    def _equipment(self, worker_id: str, pool: Pool) -> Equipment:
        producer = Producer(ClientDoor(pooled_client(pool), self.settings.namespace))
        return Equipment(
            worker_id=worker_id,
            middleware=self._middleware,
            lifespans=self._lifespans.types,
            desk=Desk(pool, producer, worker_id=worker_id, log=self._log),
            followups=FollowUps(
                pool,
                unique=UniquePushes(pooled_client(pool), self.settings.namespace),
                log=self._log,
            ),
            events=self._events,
        )

    def _answer_autoscalers(self, pool: Pool) -> None:
        health = self.telemetry.health
        if health is None:
            return
        scaling = ScaleEndpoint(self._stations.slots(), pool=pool, counts=self._counts.snapshot)
        scaling.start()
        self._stack.push_async_callback(scaling.stop)
        health.add_route("/scale", scaling.answer)
        self.telemetry.metrics.add(scaling)

    def _pool(self, queues: Queues) -> Pool:
        settings = self.settings
        times = LinkTimes(
            reconnect_min=settings.reconnect_min,
            reconnect_max=settings.reconnect_max,
            watchdog_interval=settings.watchdog_interval,
            connect_timeout=settings.call_timeout,
        )

        async def connected(connection: Connection) -> None:
            if connection is connections[0]:
                self.telemetry.use(connection.client)
                await queues.register(connection)
                self._stations.note_facts(queues)
            self._log.info("signed in to OpenIAP", connection=connection.name)
            self._stations.wake_all()
            self._events.tell_soon(Event("connected", worker=self._events.worker))

        def lost(connection: Connection, reason: str) -> None:
            event = Event("disconnected", worker=self._events.worker, message=reason)
            self._events.tell_soon(event)

        connections = [
            Connection(
                str(number + 1),
                self._make_client,
                limiter=Limiter(settings.rate_limit),
                times=times,
                log=self._log,
                on_connected=connected,
                on_lost=lost,
            )
            for number in range(settings.connections)
        ]
        return Pool(connections)

    def _make_client(self) -> Client:
        client = self._make()
        client.on_late_pop = self._stations.adopt
        return client

    async def _until_asked(self, asked: "asyncio.Task[Any]") -> None:
        if not self.settings.once:
            await asked
            return
        drained = [asyncio.create_task(c.drained.wait()) for c in self._stations.consumers.values()]
        everything = asyncio.ensure_future(asyncio.gather(*drained))
        await asyncio.wait({everything, asked}, return_when=asyncio.FIRST_COMPLETED)
        everything.cancel()
        await asyncio.gather(everything, return_exceptions=True)


def lease_of(settings: Settings) -> float:
    """Return the seconds from a pop for which nobody else can have taken the item over.

    Others take it once this worker was silent for ``dead_after``, or once the item is older than
    ``unclaimed_after``; a late writer looks well before that, whatever ``lease`` says.
    """
    bounds = [settings.lease, settings.dead_after / 2]
    if settings.unclaimed_after:
        bounds.append(settings.unclaimed_after / 2)
    return min(bounds)
