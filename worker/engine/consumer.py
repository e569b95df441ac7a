"""The consumer of one queue: pops as slots free up, and hands each item to the runner.

1. One pop in flight, and never more items than free slots: nothing is fetched ahead. Where the
   server says that its pops do not compete, there are more while they find items (``poppers.py``).
   A slot is free again when its handler has ended.
2. It goes on until a pop returns nothing; then it waits for a wake-up or the next poll. Between two
   pops it leaves time to the other workers of the queue, where their pops compete (``turns.py``).
3. While the handler's rate lets nothing through, an operator holds it, or something closes the
   queue (``worker_services.py``), it does not pop.
4. A worker that ends with its queues is told when this one is empty (``queue_end.py``).
5. ``quiet`` stops the popping; what is in flight goes on (``shutdown.py`` ends it in stages).
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from worker.engine.delivery.delivery import Delivered
from worker.engine.in_flight import Running
from worker.engine.pop_rules import PopRules
from worker.engine.pop_trouble import trouble_of
from worker.engine.poppers import Poppers
from worker.engine.queue_end import CLOCKS, PATIENCE, QueueEnd
from worker.engine.quiet import Quiet
from worker.engine.runner import Runner
from worker.engine.turns import Turns
from worker.engine.wakeup import Wakeup
from worker.engine.worker_services import WorkerServices
from worker.openiap.client import Client
from worker.openiap.errors import NotConnected, OpenIAPError
from worker.openiap.workitem import Workitem
from worker.uptime import uptime

TROUBLE_FIRST: Final = 0.5
TROUBLE_MAX: Final = 30.0
LONGEST_PAUSE: Final = 5.0
SPREAD: Final = 0.1
"""Seconds, so that the workers of a fleet do not all begin a window at the same moment."""
MAX_OVERDUE: Final = 1_000
"""Items whose outcome the server refuses for long hold no slot, up to so many."""
NO_EPOCH: Final = -1
"""Of a pop that nobody knows the moment of: its item is looked at before it is written."""


class Consumer:
    """Pops one queue; shape: ``start``, ``quiet``, ``quieted``.

    Args:
        on_change: told when an item has come, and when one has left.
    """

    def __init__(
        self,
        queue: str,
        runner: Runner,
        *,
        rules: PopRules,
        services: WorkerServices,
        wakeup: Wakeup,
        turns: Turns,
        on_change: Callable[[], None],
    ) -> None:
        gate = runner.gate
        self._loop = asyncio.get_running_loop()
        self._quiet: Final = Quiet()
        self.queue: Final = queue
        self.runner: Final = runner
        self.slots = rules.slots
        """How many items may be in flight."""
        self.running: Final[set[Running]] = set()
        self.wakeup: Final = wakeup
        self.turns: Final = turns
        self.end: Final = QueueEnd(self._quiet.pause)
        """With ``once``."""
        self.trouble = ""
        """Why the last pop did not work, or ""; for readiness."""
        self._last_pop = time.monotonic()
        self._rests = False
        """Whether the queue was empty and nothing has told of an item since."""
        self.on_vain: Callable[[OpenIAPError | None, float], None] = lambda error, began: None
        """Told of each pop that brought nothing: why, or None for an empty queue; and when it
        began (``time.monotonic``)."""
        self.frees_early = True
        """Whether a slot is free before its item is written back; who counts its items itself
        (``pulling/``) would have one popped that nobody waits for."""
        self._closed_for = gate.closed_for if gate is not None and gate.has_rate else None
        self._held = rules.held
        self._rules = rules
        self._once = rules.once
        self._took = 0.0
        """Seconds that the server took for the last pop."""
        self._services = services
        self._pool = services.pool
        self._counts = services.counts
        self._log = services.log
        self._chance = services.chance
        self._on_change = on_change
        self.popping = 0
        self._more = Poppers()
        self._overdue = self._leaving = 0
        self.finished = 0
        """How many items have left."""

    @property
    def last_pop(self) -> float:
        """When a pop was last answered, or the queue rested or could not be popped
        (``time.monotonic()``); for readiness."""
        return time.monotonic() if self._rests else self._last_pop

    @property
    def free(self) -> int:
        """Slots that a pop could fill now; abandoned threads hold theirs, a closed queue all."""
        return self._free_of(self._empty)

    def _free_of(self, empty: int) -> int:
        if self._held() or self._services.closed(self.queue):
            return 0
        return min(empty, self._services.most(self.queue) - self.popping)

    @property
    def _empty(self) -> int:
        """Slots that hold nothing, whether the queue may be popped or not."""
        gone = min(self._overdue, MAX_OVERDUE) + self._leaving
        return self.slots - len(self.running) + gone - self.popping - self.lost

    @property
    def wanted(self) -> int:
        """How many items it would take now, those that a pop is to bring included."""
        return 0 if self._quiet.is_set() else max(0, self.free + self.popping)

    @property
    def full(self) -> bool:
        """Whether the handler has all the items it may have."""
        empty = self._empty
        return empty <= 0 or self._free_of(empty) <= 0

    @property
    def lost(self) -> int:
        """Slots held by handlers that were given up and still run."""
        return self.runner.executor.lost()

    @property
    def working(self) -> int:
        """Items in flight."""
        return len(self.running)

    def slot_freed(self) -> None:
        """A slot may have come free."""
        self._more.wake(self._empty)

    def resumed(self) -> None:
        """The queue may be popped again."""
        self._last_pop = time.monotonic()
        self.slot_freed()

    def start(self) -> None:
        """Begin to pop."""
        self._more.start(self._consume, self._rules.poppers(), name=f"consumer {self.queue}")

    def quiet(self) -> None:
        """Stop popping; items in flight go on."""
        self._quiet.set()
        self._more.stop()
        self.wakeup.wake()

    async def quieted(self, timeout: float) -> None:
        """Return when no pop is in flight any more, or after ``timeout`` seconds."""
        await self._more.ended(timeout)
        self.wakeup.close()

    def look_again(self) -> None:
        """Pop once more before the queue counts as empty."""
        self.end.seen.clear()
        self.wakeup.wake()

    def new_item(self, item: str, due: float) -> None:
        """There is a new item; it is looked for when it is this worker's turn.

        Args:
            due: in how many seconds it may be popped.
        """
        self.wakeup.wake_for(item, self.turns.new(item, due))

    def taken(self, item: str) -> None:
        """An item was taken, by whomever: nobody has to be woken for it."""
        self.wakeup.taken(item)
        self.turns.taken(item)

    def take_late(self, workitem: Workitem) -> None:
        """Take an item whose pop was answered too late: it is worked, or handed back when full.

        Others may have taken it over before the answer came.
        """
        self._log.warn("the answer to a pop came late", item=workitem.id, queue=self.queue)
        back = self.full or self._quiet.is_set()
        self._begin(workitem, uptime(), NO_EPOCH, hand_back=back)

    async def _consume(self, number: int) -> None:
        trouble = TROUBLE_FIRST
        while not self._quiet.is_set():
            try:
                await self._pop_on(number)
                return
            except Exception as error:  # whatever it is, the queue must not be left alone
                self._more.found_none()
                unexpected = OpenIAPError(f"{type(error).__name__}: {error}", operation="pop")
                trouble = await self._wait_after(unexpected, trouble)

    async def _pop_on(self, number: int) -> None:
        trouble = TROUBLE_FIRST
        while not self._quiet.is_set():
            if number:
                await self._more.joins(number)
                if self._quiet.is_set():
                    return
            if self.full:
                if await self._waited_in_vain(number):
                    return
                continue
            if not self._pool.ready:
                await self._quiet.or_ready(self._pool)
                continue
            if self._closed_for is not None and (closed := self._closed_for()) > 0:
                if await self._ended_by(closed):
                    return
                continue
            if (left := self.turns.left()) > 0:
                await self.wakeup.told(left)
                continue
            if not number:
                self.wakeup.clear()
            began = time.monotonic()
            if self._once:
                finished, looked = self.finished, datetime.now(UTC)
                in_all = self._rules.finished()
            try:
                found = await self._pop()
            except OpenIAPError as error:
                self._more.found_none()
                self.on_vain(error, began)
                trouble = await self._wait_after(error, trouble)
                continue
            trouble, self.trouble = TROUBLE_FIRST, ""
            self.end.answered(found)
            if found:
                self._more.found()
            else:
                self._more.found_none()
                self.on_vain(None, began)
            if number and (found or self._once):
                self.wakeup.wake()  # the first goes on, or could not tell the end until now
            if found or number:
                continue
            idle = not self.running and not self.popping
            if self._once and idle and self.finished == finished:
                if await self.end.parked_are_due(looked):
                    continue
                self.end.empty(in_all)
            self._rests = True  # for minutes, in a fleet that the server tells of items
            try:
                await self.wakeup.wait()
            finally:
                self._rests, self._last_pop = False, time.monotonic()

    async def _waited_in_vain(self, number: int) -> bool:
        """Wait for a slot; whether there will be none soon: who ends with the queue waits for long
        for nothing that closes it, and not at all where it is paused."""
        if not self._once:
            await self._more.slot(number)
            return False
        if not self.running and self._services.paused(self.queue):
            self.end.come()
            return True
        short = self._services.held_up(self.queue)
        try:
            async with asyncio.timeout(PATIENCE if short else None):
                await self._more.slot(number)
        except TimeoutError:
            self.trouble = short
            self.end.come()
            return True
        return False

    async def _ended_by(self, closed: float) -> bool:
        """Wait until the handler's rate lets items through again; whether the queue counts as empty
        instead: a worker that ends with its queue waits for the next minute, not for the next day.
        """
        if self._once and closed > PATIENCE and not self.running:
            self.end.come()
            return True
        # In parts, since the clock that windows go by is known better from time to time.
        await self._quiet.pause(min(closed, LONGEST_PAUSE) + self._chance.uniform(0.0, SPREAD))
        self._last_pop = time.monotonic()
        return False

    async def _pop(self) -> bool:
        """Pop once; whether there was an item."""
        self.popping += 1
        epoch, popped = self._pool.epoch, uptime()
        workitem = None
        try:
            workitem = await self._pool.call(self._ask)
        finally:
            self.popping -= 1
            if workitem is None:
                self.slot_freed()  # the one that it was to fill may be another pop's
        self._last_pop = time.monotonic()
        if workitem is None:
            self.turns.found_none(self._took)
            return False
        self.turns.found(workitem.id, self._took)
        back = self._quiet.is_set() or bool(self._services.closed(self.queue))
        self._begin(workitem, popped, epoch, hand_back=back)
        return True

    async def _ask(self, client: Client) -> Workitem | None:
        asked = time.monotonic()  # not before: it may have waited for the limiter
        workitem = await client.pop_workitem(self.queue)
        self._took = time.monotonic() - asked
        return workitem

    async def _wait_after(self, error: OpenIAPError, wait: float) -> float:
        """Wait after a pop that did not work; returns how long to wait the next time."""
        self.trouble = str(error)
        if isinstance(error, NotConnected):
            await asyncio.sleep(0.05)  # until the pool has noticed, too
            return wait
        trouble = trouble_of(error, self.queue)
        if trouble.lost:
            self._counts.lost_pop(self.queue)
        if trouble.lasting:
            self._log.once_a_while(f"queue-{self.queue}", trouble.text)
            if self._once:
                self.end.come()
        else:
            self._log.warn(trouble.text, queue=self.queue)
        await self._quiet.pause(wait * self._chance.uniform(0.5, 1.0))
        return min(TROUBLE_MAX, wait * 2)

    def _begin(self, workitem: Workitem, popped: float, epoch: int, *, hand_back: bool) -> None:
        workitem.wiq = workitem.wiq or self.queue
        running = Running(workitem, popped, datetime.now(UTC), epoch)
        running.on_overdue, running.may_leave = self._became_overdue, self._leaves
        self.running.add(running)
        self._on_change()
        self._counts.popped(self.queue)
        if self._services.breakers is not None and not hand_back:
            self._services.breakers.popped(running)
        work = self.runner.hand_back(running) if hand_back else self.runner.work(running)
        running.task = self._loop.create_task(work)
        running.task.add_done_callback(lambda task: self._ended(running, task))

    def _leaves(self) -> bool:
        """Whether an item gives up its slot early. In a single one all of each comes first."""
        if not self.frees_early or not 1 < self.slots > self._leaving:
            return False
        self._leaving += 1
        self.slot_freed()
        return True

    def _became_overdue(self) -> None:
        self._overdue += 1
        self.slot_freed()

    def _ended(self, running: Running, task: "asyncio.Task[Delivered]") -> None:
        self.running.discard(running)
        self._overdue -= running.overdue
        self._leaving -= running.leaving
        self.finished += 1
        self._counts.left(self.queue)
        self.turns.held(uptime() - running.popped)
        if not running.leaving or self._once or not self.running:
            self.slot_freed()
        self._on_change()
        if self._once:
            self.wakeup.wake()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._log.error(
                f"the worker itself failed on an item: {type(error).__name__}: {error}",
                item=running.workitem.id,
                queue=self.queue,
            )
            return
        delivered = task.result()
        if delivered.took:
            self.turns.wrote(delivered.took)
        if delivered.state == "new":
            due = delivered.nextrun
            # One that is due at once may be so a moment later by the server's clock.
            soon = due is not None and due - self._services.now() <= CLOCKS
            if self._once and due is not None and (delivered.parked or soon):
                self.end.parked(due)
            if due is not None:
                self.wakeup.wake_at(due)
            else:
                self.wakeup.wake()
