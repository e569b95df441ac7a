"""The daemon: one worker, from settings and handlers; it starts and stops all of its parts.

Public verbs: ``start``, ``quiet``, ``stop``, and ``run`` which does all three around the signals.
What is put together how stands in ``assembly.py``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

from worker.app.events import Event, Events
from worker.app.options import Handler
from worker.engine.assembly import Assembly
from worker.engine.fleet.own_name import NameTaken
from worker.engine.fleet.presence import Peer
from worker.engine.groups import Groups
from worker.engine.listening import Listening
from worker.engine.lost_slots import LostSlots
from worker.engine.maintenance.scale_endpoint import ScaleEndpoint
from worker.engine.outbox.learnt_rate import LearntRate
from worker.engine.outbox.state_dir import open_state, taken
from worker.engine.parts import Parts
from worker.engine.queue_workers import QueueWorkers
from worker.engine.shutdown import Shutdown
from worker.engine.signals import Signals
from worker.openiap.client import Client
from worker.openiap.fields import text_of
from worker.runloop import EXIT_REPLACE
from worker.settings import Settings
from worker.standard_streams import keep_standard_streams
from worker.telemetry.counts import QueueCounts

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
        client_factory: makes unconnected clients, instead of the one that the settings name; they
            take the times of retries as this machine's clock has them.
        prefix: of its name, where the settings choose none.

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
        prefix: str = "",
    ) -> None:
        self._assembly = Assembly(
            settings,
            handlers,
            version=version,
            modules=modules,
            environment=environment,
            client_factory=client_factory,
        )
        self.settings: Final = settings
        self._prefix = prefix
        self.telemetry: Final = self._assembly.telemetry
        self._log = self.telemetry.log
        self._workers = self._assembly.workers
        self._events = self._assembly.events
        self._signals = Signals(stop=self.quiet, hurry=self.hurry, log=self._log)
        self._lost_slots = LostSlots(
            self._workers.consumers,
            choice=settings.lost_slots,
            after=settings.lost_slots_after,
            replace=self._replace,
            log=self._log,
        )
        self._asked = asyncio.Event()
        self._replacing = False
        """Whether this process ends to be replaced by a fresh one."""
        self._stack = AsyncExitStack()
        self._parts: Parts | None = None
        """While the worker works."""
        self._shutdown: Shutdown | None = None
        self._listening: Listening | None = None
        """Once it has begun."""
        self._yielded: NameTaken | None = None
        """Set once this worker ends because another one has its name."""

    @property
    def workers(self) -> QueueWorkers:
        """What works its queues."""
        return self._workers

    @property
    def working(self) -> bool:
        """Whether it has started and does not stop yet."""
        return self._parts is not None

    def counts(self) -> Mapping[str, QueueCounts]:
        """Return what was done so far, by queue."""
        return self.telemetry.counts.snapshot()

    def waiting(self) -> int | None:
        """Return how many items are due in this worker's queues, as of the last seconds; None where
        that is not known yet. Asking costs a few small calls every 5 s."""
        return None if self._parts is None else self._parts.scaling.waiting()

    async def run(self, *, signals: bool = True) -> int:
        """Work until a signal, or until the queues are empty with ``once``; returns an exit code:
        ``EXIT_REPLACE`` where lost slots want a fresh process.

        Raises:
            AccessDenied: the server refuses the credentials.
            StateError: the state directory or the health port cannot be had, or another living
                worker has this worker's name.
        """
        keep_standard_streams()
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
                await self._lost_slots.start()
                await self._until_asked(asked)
            asked.cancel()
            code = EXIT_REPLACE if self._replacing and not self._signals.came else EXIT_DONE
            if (
                not code
                and self.settings.once
                and any(c.trouble for c in self._workers.consumers.values())
            ):
                code = EXIT_FAILED
        finally:
            await self._lost_slots.stop()
            await self.stop()
            if restore is not None:
                restore()
        if self._yielded is not None:
            raise taken(self.settings, self._yielded)
        return code

    async def start(self) -> None:
        """Sign in, recover what an earlier life left, and begin to pop.

        Raises:
            AccessDenied, StateError: see ``run``.
            HandlerError: a handler or a lifespan cannot be started.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    def quiet(self) -> None:
        """Stop popping; items in flight go on."""
        for consumer in self._workers.consumers.values():
            consumer.quiet()
        self._asked.set()

    def _replace(self) -> None:
        """Stop as for a signal; ``run`` returns ``EXIT_REPLACE``."""
        self._replacing = True
        self.quiet()

    @property
    def looks_later(self) -> bool:
        """Whether it is still to look if a group is over; for those who wait for what follows."""
        services = () if self._parts is None else self._parts.housekeeping
        return any(isinstance(one, Groups) and one.pending for one in services)

    async def tick(self) -> datetime | None:
        """Do the schedules' ticks that are due in the server's time, and return when the next one
        is, or None without schedules; for those who move its time."""
        parts = self._parts
        if parts is None or parts.scheduler is None:
            return None
        await parts.heartbeat.beat()
        await parts.scheduler.push_due(at_once=True)
        return parts.scheduler.next_tick()

    def hurry(self) -> None:
        """Do not wait for items in flight: they are handed back."""
        if self._shutdown is not None:
            self._shutdown.hurry()
        if self._listening is not None:
            self._listening.hurry()

    async def stop(self) -> None:
        """Stop in stages (``shutdown.py``) and let go of everything; idempotent."""
        parts, self._parts = self._parts, None
        if parts is not None:
            self.telemetry.stopping(replaced=self._replacing)
            self._shutdown = parts.shutdown
            self._listening = parts.listening
            if self._signals.hurried:
                self.hurry()
            listening = asyncio.create_task(
                parts.listening.stop(self.settings.drain_timeout, self.settings.cancel_timeout)
            )
            await self._shutdown.run()
            await listening
            await self._events.notify(Event("shutdown", worker=self._events.worker))
        await self._stack.aclose()

    async def _start(self) -> None:
        """Start part after part, each once what it needs is there; the stack ends them again."""
        settings, stack, workers = self.settings, self._stack, self._workers
        # First: what an earlier life has left behind may hold the port as well.
        state = await open_state(settings, stack, self._log, prefix=self._prefix)
        await self.telemetry.start(workers.on_the_loop)
        stack.push_async_callback(self.telemetry.stop)
        if state.trouble:
            self.telemetry.trouble(state.trouble)
        self._events.worker = state.worker_id
        self._log.speak_for(state.worker_id)
        if self._events.for_errors:
            self._log.tell_errors(partial(_tell, asyncio.get_running_loop(), self._events))
            stack.callback(self._log.tell_errors, None)
        parts = self._assembly.complete(state, self.quiet)
        await workers.build(
            services=parts.services,
            inputs=parts.inputs,
            queues=parts.queues,
            heartbeat=parts.heartbeat,
            stack=stack,
        )
        self.telemetry.watch(
            parts.pool,
            state.outbox,
            workers.consumers,
            parts.queues,
            parts.shortages.reasons,
            parts.pauses.reasons,
            parts.breakers,
        )
        if self.telemetry.health is not None:
            self.telemetry.health.alive_if(self._lost_slots.dead)
        self._answer_autoscalers(parts.scaling)
        if not state.trouble:
            learnt = LearntRate(settings.state_dir, settings.url)
            parts.pool.begin_with(learnt.read())
            stack.callback(lambda: learnt.keep(parts.pool.learnt))
        stack.push_async_callback(parts.pool.stop)
        await parts.pool.start()
        stack.push_async_callback(self._events.stop)
        stack.push_async_callback(self._assembly.lifespans.stop)
        await self._assembly.lifespans.start(parts.client)
        stack.push_async_callback(parts.recovery.stop)
        try:
            await parts.recovery.run()
        except NameTaken as error:
            raise taken(self.settings, error) from error
        parts.heartbeat.on_namesake = self._yield_name
        services = (
            parts.mailbox,
            parts.heartbeat,
            parts.registration,
            parts.rescuer,
            parts.shortages,
            parts.pauses,
            parts.breakers,
            parts.scheduler,
        )
        for service in (*services, *parts.housekeeping):
            if service is not None:
                await service.start()
                stack.push_async_callback(service.stop)
        self._parts = parts
        workers.note_facts(parts.queues)
        for consumer in workers.consumers.values():
            consumer.start()
        self.telemetry.metrics.add(parts.listening)
        stack.push_async_callback(parts.listening.stop)
        await parts.listening.start()
        self.telemetry.ready()
        if self.telemetry.health is not None:
            parts.scaling.ask_ahead()
        self._log.info(f"worker {state.worker_id} works {', '.join(workers.consumers)}")
        self._events.notify_soon(Event("start", worker=state.worker_id))

    def _yield_name(self, other: Peer, yields: bool) -> None:
        """Another living worker writes under this one's name: the one that began later ends."""
        text = f"Worker {other.id} lives on {other.host} (pid {other.pid}) as well"
        if not yields:
            self._log.once_a_while("namesake", f"{text}; it began later, and is to end")
        elif self._yielded is None and self._parts is not None:
            self._yielded = NameTaken(f"{text}: give each worker a worker_id of its own.")
            self._log.error(f"{text}, and began earlier: this worker finishes what it has and ends")
            self._parts.heartbeat.keep()  # the document is the other one's
            self.quiet()

    def _answer_autoscalers(self, scaling: ScaleEndpoint) -> None:
        scaling.start()
        self._stack.push_async_callback(scaling.stop)
        health = self.telemetry.health
        if health is None:
            return
        health.add_route("/scale", scaling.answer)
        self.telemetry.metrics.add(scaling)

    async def _until_asked(self, asked: "asyncio.Task[Any]") -> None:
        if not self.settings.once:
            await asked
            return
        empty = asyncio.create_task(self._workers.until_empty())
        await asyncio.wait({empty, asked}, return_when=asyncio.FIRST_COMPLETED)
        empty.cancel()
        await asyncio.gather(empty, return_exceptions=True)


def _tell(
    loop: asyncio.AbstractEventLoop, events: Events, message: str, fields: Mapping[str, object]
) -> None:
    """Tell hooks of an error of the worker's own; from any thread."""
    listener = text_of(fields.get("listener"))
    said = f"{listener}: {message}" if listener else message
    item_id, queue = text_of(fields.get("item")), text_of(fields.get("queue"))
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(events.tell_error, said, item_id, queue)
