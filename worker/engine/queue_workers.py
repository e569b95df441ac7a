"""The stations of one worker: for each of its queues what pops it and runs its items.

A station is an executor, a gate where the handler has keys or rates, a runner and a consumer. They
are put together here, each with what it needs; ``daemon.py`` starts and stops them.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from worker.app.registry import Registered, Registry
from worker.engine.concurrency.gate import Gate
from worker.engine.consumer import Consumer
from worker.engine.delivery.writeback import WriteBack
from worker.engine.equipment import Equipment
from worker.engine.execution import make_executor
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.gates import gate_for
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.spool import Spool
from worker.engine.queues import Queues
from worker.engine.runner import Runner, Running
from worker.engine.usual import Usual
from worker.engine.wakeup import Wakeup
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.workitem import Workitem
from worker.settings import Settings
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log


@dataclass(frozen=True, slots=True)
class Shared:
    """What all stations of a worker share.

    Attributes:
        outbox: None where the disk does not take it.
        resources: what lifespans provide, by type.
    """

    pool: Pool
    queues: Queues
    writeback: WriteBack
    outbox: Outbox | None
    spool: Spool
    presence: Heartbeat
    equipment: Equipment
    resources: Mapping[Any, Any]


class Stations:
    """One station for each queue of the registry.

    Args:
        registry: the handlers.
        modules: the handlers' modules, for process handlers.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        *,
        modules: Sequence[str],
        counts: Counts,
        log: Log,
        chance: random.Random,
    ) -> None:
        self.consumers: Final[dict[str, Consumer]] = {}
        self.runners: Final[dict[str, Runner]] = {}
        self._gates: dict[str, Gate] = {}
        self._settings = settings
        self._registry = registry
        self._modules = tuple(modules)
        self._counts = counts
        self._log = log
        self._chance = chance

    async def build(self, shared: Shared, stack: AsyncExitStack) -> None:
        """Make all of them; the stack ends what runs."""
        for registered in self._registry:
            await self._add(registered, shared, stack)

    @property
    def keyed(self) -> bool:
        """Whether a handler has keys or rates."""
        return bool(self._gates)

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

    def usual(self, queue: str) -> Usual:
        """Return how long the handler of a queue usually takes."""
        return self.runners[queue].usual

    def slots(self) -> dict[str, int]:
        """Return how many items of each queue may be in flight."""
        return {registered.queue: self._slots(registered) for registered in self._registry}

    def wake(self, queue: str) -> None:
        """There may be work in a queue."""
        self.consumers[queue].wakeup.wake()

    def wake_all(self) -> None:
        """There may be work in every queue."""
        for consumer in self.consumers.values():
            consumer.wakeup.wake()

    def adopt(self, workitem: Workitem) -> None:
        """Take an item whose pop was answered too late."""
        consumer = self.consumers.get(workitem.wiq)
        if consumer is not None:
            consumer.adopt(workitem)

    def note_facts(self, queues: Queues) -> None:
        """Tell the runners what the server says of their queues."""
        for name, facts in queues.facts.items():
            if facts.maxretries:
                self.runners[name].maxretries = facts.maxretries

    async def tend(self, queues: Sequence[str]) -> None:
        """Look after the lines of keys in the queues that this worker leads."""
        for queue in queues:
            gate = self._gates.get(queue)
            if gate is not None:
                await gate.maintain()

    async def _add(self, registered: Registered, shared: Shared, stack: AsyncExitStack) -> None:
        queue, pool = registered.queue, shared.pool
        slots = self._slots(registered)
        self._counts.add_queue(queue, registered.name)
        executor = make_executor(
            registered,
            slots=slots,
            modules=self._modules,
            lost_changed=lambda: self.consumers[queue].look(),
        )
        await executor.start()
        stack.push_async_callback(executor.stop, self._settings.cancel_timeout)
        gate = self._gate(registered, shared)
        if gate is not None:
            await gate.start()
            stack.push_async_callback(gate.stop)
            self._gates[queue] = gate
        runner = Runner(
            registered,
            executor,
            pool=pool,
            writeback=shared.writeback,
            outbox=shared.outbox,
            spool=shared.spool,
            client=pooled_client(pool),
            resources=shared.resources,
            counts=self._counts,
            log=self._log,
            chance=self._chance,
            equipment=shared.equipment,
            gate=gate,
        )
        self.runners[queue] = runner
        self.consumers[queue] = Consumer(
            queue,
            runner,
            executor,
            pool=pool,
            slots=slots,
            poppers=lambda: self._poppers(pool),
            wakeup=Wakeup(
                self._settings.poll_interval,
                chance=self._chance,
                told=lambda: shared.queues.told(queue),
            ),
            counts=self._counts,
            log=self._log,
            once=self._settings.once,
            on_change=shared.presence.changed,
            chance=self._chance,
            closed_for=gate.closed_for if gate is not None and gate.has_rate else None,
        )

    def _gate(self, registered: Registered, shared: Shared) -> Gate | None:
        queue = registered.queue
        return gate_for(
            registered.name,
            registered.handler.options,
            pool=shared.pool,
            namespace=self._settings.namespace,
            rights=lambda: shared.queues.rights(queue),
            presence=shared.presence,
            wake=lambda: self.wake(queue),
            silent_after=self._settings.dead_after,
            log=self._log,
            chance=self._chance,
        )

    def _poppers(self, pool: Pool) -> int:
        """One pop in flight; more only where the server says that its pops do not compete."""
        present = pool.connections[0].present
        competes = present is None or present.server_config.get("pops_compete") is not False
        return 1 if competes else self._settings.pops_in_flight

    def _slots(self, registered: Registered) -> int:
        return self._settings.concurrency or registered.handler.options.concurrency
