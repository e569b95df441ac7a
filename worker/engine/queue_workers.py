"""What works the queues of one worker: for each an executor, a runner and a consumer, and a gate
where the handler has keys or rates.

They are put together here, each with what it needs; ``daemon.py`` starts and stops them.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from worker.app.registry import Registered, Registry
from worker.engine.concurrency.gate import Gate
from worker.engine.concurrency.key_lock import KeyLock
from worker.engine.concurrency.rate_limit import RateLimit
from worker.engine.concurrency.waiting_line import WaitingLines
from worker.engine.concurrency.waker import Waker
from worker.engine.consumer import Consumer
from worker.engine.execution import make_executor
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.turn_lengths import TurnLengths
from worker.engine.in_flight import Running
from worker.engine.pop_rules import PopRules
from worker.engine.queues import Queues, pops_compete
from worker.engine.runner import Runner
from worker.engine.turns import Turns, due_in
from worker.engine.wakeup import Wakeup
from worker.engine.worker_services import HandlerInputs, WorkerServices
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.workitem import NEW, JsonObject, Workitem
from worker.settings import Settings
from worker.state.cells import Cells


class QueueWorkers:
    """All of them; none before ``build``.

    Args:
        registry: the handlers.
        modules: the handlers' modules, for process handlers.

    Attributes:
        consumers: by the name of their queue.
    """

    def __init__(self, settings: Settings, registry: Registry, *, modules: Sequence[str]) -> None:
        self.consumers: Final[dict[str, Consumer]] = {}
        self._gates: dict[str, Gate] = {}
        self.lengths: TurnLengths | None = None
        self.on_changed: Callable[[str], None] = lambda item: None
        """Told of each item that has changed, as far as a watch tells."""
        self._settings = settings
        self._registry = registry
        self._modules = tuple(modules)
        self._slots_of: Final = {one.queue: self._declared(one) for one in registry}
        self._is_held = False

    async def build(
        self,
        *,
        services: WorkerServices,
        inputs: HandlerInputs,
        queues: Queues,
        heartbeat: Heartbeat,
        stack: AsyncExitStack,
    ) -> None:
        """Make all of them; the stack ends what runs.

        Args:
            queues: the server's word on them.
            heartbeat: tells the server's time, and whether this worker is heard of.

        Raises:
            HandlerError: a handler cannot be run in the way that it asks for.
        """
        self.lengths = lengths = TurnLengths(
            heartbeat.me.id,
            heartbeat.known.others,
            clock=heartbeat.shared_time,
            # Who waits for another's silence before it looks again does so within that.
            notice=self._settings.dead_after + 2 * self._settings.rescue_interval,
        )
        for registered in self._registry:
            queue = registered.queue
            services.counts.add_queue(queue, registered.name)
            executor = make_executor(
                registered,
                slots=self._slots(registered),
                modules=self._modules,
                trace_url=self._settings.trace_url,
                lost_changed=partial(self.slot_freed, queue),
            )
            await executor.start()
            stack.push_async_callback(executor.stop, self._settings.cancel_timeout)
            gate = self._gate(registered, services, queues, heartbeat)
            if gate is not None:
                await gate.start()
                stack.push_async_callback(gate.stop)
                self._gates[queue] = gate
            runner = Runner(registered, executor, inputs=inputs, services=services, gate=gate)
            self.consumers[queue] = Consumer(
                queue,
                runner,
                rules=PopRules(
                    self._slots(registered),
                    poppers=lambda: self._poppers(services.pool),
                    once=self._settings.once,
                    finished=self.finished,
                    held=lambda: self._is_held,
                ),
                turns=Turns(
                    heartbeat.me.id,
                    partial(self._slots, registered),
                    clock=heartbeat.shared_time,
                    others=partial(heartbeat.known.living, queue),
                    wanting=partial(heartbeat.known.wanting, queue),
                    length=partial(lengths.of, queue),
                    chance=services.chance,
                    compete=partial(_compete, services.pool),
                ),
                services=services,
                wakeup=Wakeup(
                    self._settings.poll_interval,
                    chance=services.chance,
                    notified=partial(queues.notified, queue),
                    fleet=partial(heartbeat.known.size, queue),
                ),
                on_change=heartbeat.changed,
            )

    @property
    def gated(self) -> bool:
        """Whether a handler has keys or rates."""
        return any(_is_gated(registered) for registered in self._registry)

    def in_flight(self) -> list[Running]:
        """Return the items in flight, of all queues."""
        return [r for consumer in self.consumers.values() for r in consumer.running]

    def claims(self) -> Iterable[tuple[str, int]]:
        """Return the attempts in flight, as their items name them."""
        return ((r.workitem.id, r.workitem.retries) for r in self.in_flight())

    def on_the_loop(self) -> str:
        """Say which handlers run on the loop now; for a report of a blocked loop."""
        names = [
            f"{self._registry.for_queue(r.workitem.wiq).name} (item {r.workitem.id})"
            for r in self.in_flight()
            if r.stage == "handling" and r.on_loop
        ]
        return ", ".join(names)

    def finished(self) -> int:
        """Return how many items have left, of all queues."""
        return sum(consumer.finished for consumer in self.consumers.values())

    async def until_empty(self) -> None:
        """Return once every queue was seen empty after the last item of any had left: until then
        an item may bring others, by a chain, a follow-up or a push of its handler."""
        consumers = list(self.consumers.values())
        while True:
            for consumer in consumers:
                await consumer.end.seen.wait()
            finished = self.finished()
            unsure = [one for one in consumers if not one.end.after(finished)]
            if not unsure:
                return
            for consumer in unsure:
                consumer.look_again()

    def slots(self) -> dict[str, int]:
        """Return how many items of each queue may be in flight; it changes as they do."""
        return self._slots_of

    def hold(self, held: bool) -> None:
        """Pop nothing, of any queue, until it is let go again; items in flight go on."""
        self._is_held = held
        for queue in self.consumers:
            self.resumed(queue)

    def resize(self, queue: str, slots: int) -> None:
        """Have so many items of a queue in flight from now on; what runs is left alone."""
        self._slots_of[queue] = slots
        consumer = self.consumers[queue]
        consumer.slots = slots
        consumer.runner.executor.resize(slots)
        consumer.resumed()

    def in_processes(self, queue: str) -> bool:
        """Whether each slot of a queue is a process."""
        return self._registry.for_queue(queue).handler.options.execution == "process"

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are that run now, by the ids of their items."""
        found: dict[str, str] = {}
        for consumer in self.consumers.values():
            found |= await consumer.runner.executor.stacks()
        return found

    def cut_short(self, queue: str, item_id: str) -> bool:
        """Ask the handler of an item to end now; returns whether it runs."""
        return self.consumers[queue].runner.executor.cut_short(item_id)

    def wake(self, queue: str) -> None:
        """There may be work in a queue."""
        self.consumers[queue].wakeup.wake()

    def item_changed(self, queue: str, document: JsonObject) -> None:
        """An item of a queue is new, or was taken: it is looked for when it is this worker's turn,
        and not at all if another takes it before."""
        consumer, item = self.consumers[queue], str(document.get("_id"))
        self.on_changed(item)
        if document.get("state") == NEW:
            consumer.new_item(item, due_in(document))
        else:
            consumer.taken(item)

    def wake_all(self) -> None:
        """There may be work in every queue."""
        for consumer in self.consumers.values():
            consumer.wakeup.wake()

    def take_late(self, workitem: Workitem) -> None:
        """Take an item whose pop was answered too late."""
        consumer = self.consumers.get(workitem.wiq)
        if consumer is not None:
            consumer.take_late(workitem)

    def slot_freed(self, queue: str) -> None:
        """Items may be popped again, of one queue."""
        self.consumers[queue].slot_freed()

    def resumed(self, queue: str) -> None:
        """One queue may be popped again."""
        if queue in self.consumers:
            self.consumers[queue].resumed()

    def slots_freed(self) -> None:
        """Items may be popped again, of every queue."""
        for consumer in self.consumers.values():
            consumer.slot_freed()

    def free(self) -> dict[str, int]:
        """Return by queue how many items pops could bring now."""
        return {queue: consumer.wanted for queue, consumer in self.consumers.items()}

    def told(self) -> JsonObject:
        """Return what the heartbeat tells of the queues; see ``document_of``."""
        told: JsonObject = {"free": self.free()}
        if self.lengths is None:
            return told
        pops = {}
        for queue, consumer in self.consumers.items():
            turns, quick = consumer.turns, consumer.turns.quick
            if quick is not None:
                pops[queue] = round(quick, 4)
            self.lengths.tell(queue, quick, default=turns.untold(), slots=consumer.slots)
        return {**told, "pops": pops, "turns": self.lengths.document()}

    def note_facts(self, queues: Queues) -> None:
        """Tell the runners what the server says of their queues."""
        for name, facts in queues.facts.items():
            if facts.maxretries:
                self.consumers[name].runner.maxretries = facts.maxretries

    async def tend(self, queues: Sequence[str]) -> None:
        """Look after the lines of keys in the queues that this worker leads.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        for queue in queues:
            gate = self._gates.get(queue)
            if gate is not None:
                await gate.maintain()

    def _gate(
        self, registered: Registered, services: WorkerServices, queues: Queues, heartbeat: Heartbeat
    ) -> Gate | None:
        if not _is_gated(registered):
            return None
        options, queue = registered.handler.options, registered.queue
        client, namespace = pooled_client(services.pool), self._settings.namespace

        def rights() -> Sequence[JsonObject]:
            # Whoever may work the queue may see its keys and rates, too.
            return queues.rights(queue)

        lines = WaitingLines(client, namespace=namespace, queue=queue, rights=rights)
        key_lock = None
        if options.key is not None and options.per_key is not None:
            key_lock = KeyLock(
                options.per_key,
                cells=Cells(client, namespace),
                rights=rights,
                lines=lines,
                waker=Waker(services.pool, queue=queue),
                wake=lambda: self.wake(queue),
                now=heartbeat.server_now,
            )
        rate, rate_per_key = (
            None
            if declared is None
            else RateLimit(
                client,
                declared,
                namespace=namespace,
                rights=rights,
                shared=lambda: heartbeat.last_stamp,
            )
            for declared in (options.rate, options.rate_per_key)
        )
        return Gate(
            registered.name,
            options,
            key_lock=key_lock,
            lines=lines,
            rate=rate,
            rate_per_key=rate_per_key,
            now=heartbeat.server_now,
            epoch=lambda: services.pool.epoch,
            steady=heartbeat.steady,
            silent_after=self._settings.dead_after,
            log=services.log,
            chance=services.chance,
        )

    def _poppers(self, pool: Pool) -> int:
        """One pop in flight; more only where the server says that its pops do not compete."""
        return 1 if _compete(pool) else self._settings.pops_in_flight

    def _slots(self, registered: Registered) -> int:
        return self._slots_of[registered.queue]

    def _declared(self, registered: Registered) -> int:
        return self._settings.concurrency or registered.handler.options.concurrency


def _compete(pool: Pool) -> bool:
    """Whether pops of several workers, or of one, disturb each other."""
    return pops_compete(pool.connections[0].present)


def _is_gated(registered: Registered) -> bool:
    options = registered.handler.options
    return options.key is not None or options.rate is not None
