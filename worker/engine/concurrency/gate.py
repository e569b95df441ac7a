"""The gate of one handler: whether a popped item may run now, by its key and its rates.

1. The key comes from the validated payload; without a usable one the item is a business error.
2. A key's hold is taken first, then the permits. Who gets none is parked, and keeps its hold until
   the next window: it stays the first of its key.
3. When the outcome was written back, or the item falls asleep, the hold goes to who is next.
4. Who was frozen or cut off looks whether its holds are still its own, and interrupts handlers
   whose are not.

What an item costs beside its pop and its update, in messages: with a key that nobody else wants two
to take the hold (one where this process had it last) and two to let it go. One that has to wait:
its place, the parking, a look at the holders, and five of who ends and wakes it. A rate costs one
per permit (per block of them above ``worker.app.rate.SINGLES``).
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from worker.app.options import HandlerOptions
from worker.engine.concurrency.holders import Hold
from worker.engine.concurrency.key import NoKey, key_of, line_name, queue_name, without_key
from worker.engine.concurrency.key_lock import KeyLock
from worker.engine.concurrency.rate_limit import RateLimit
from worker.engine.concurrency.waiting_line import JoinOrder, Waiter, WaitingLines
from worker.engine.delivery.delivery import Delivered
from worker.item.error_text import clip
from worker.item.outcome import Outcome, Waits
from worker.openiap.errors import OpenIAPError, ServerError
from worker.openiap.workitem import FAILED, Workitem
from worker.service import Service
from worker.state.retrying import passes
from worker.telemetry.log import Log
from worker.uptime import uptime

PARK: Final = timedelta(minutes=10)
"""After so long a parked item is popped again, whatever happened to who should have woken it."""
SPREAD: Final = 0.2
UNPARKED: Final = timedelta(seconds=5)
"""How long an item waits that cannot be parked, and so has nobody to wake it."""
REFUSED_PAUSE: Final = timedelta(seconds=3)
"""How long an item waits for which the server refused to say whether it may run."""
REFUSED_PATIENCE: Final = 600.0
"""Seconds for which that is not believed; then the item fails with it."""
WATCH_EVERY: Final = 1.0
MAX_SPREAD: Final = 1.0
"""Seconds by which items are spread over the beginning of a window, so that workers share it."""


@dataclass(slots=True, eq=False)
class Admission:
    """What the gate made of one popped item.

    Attributes:
        hold: of one that may run, or that waits for a rate.
        waiter: of one that waits for its key.
    """

    line: str = ""
    hold: Hold | None = None
    waiter: Waiter | None = None


class Gate(Service):
    """Admits items, and watches over the holds of those that run.

    Args:
        name: the handler's.
        key_lock: None where the handler has no limit per key.
        rate, rate_per_key: of all its items together, and of each key; None where it has none.
        epoch: the pool's number of sign-ins.
        steady: for how many seconds heartbeats went through.
        silent_after: seconds after which others take a silent worker for dead.
    """

    def __init__(
        self,
        name: str,
        options: HandlerOptions,
        *,
        key_lock: KeyLock | None,
        lines: WaitingLines,
        rate: RateLimit | None,
        rate_per_key: RateLimit | None,
        now: Callable[[], datetime],
        epoch: Callable[[], int],
        steady: Callable[[], float],
        silent_after: float,
        log: Log,
        chance: random.Random,
    ) -> None:
        super().__init__(
            f"holds {options.queue}",
            first=WATCH_EVERY,
            pause=WATCH_EVERY,
            on_error=partial(log.failed, f"{name}: whether keys are held still is not known"),
        )
        self._name = name
        self._options = options
        self._queue = queue_name(options.queue)
        self._key_lock = key_lock
        self._lines = lines
        self._rate = rate
        self._rate_per_key = rate_per_key
        self._now = now
        self._epoch = epoch
        self._steady = steady
        self._silent_after = silent_after
        self._log = log
        self._chance = chance
        self._join_order = JoinOrder()
        self._running: dict[Admission, Callable[[], None]] = {}
        self._watched = (uptime(), epoch(), 0.0)
        """What the last round saw: the time, the sign-ins, and for how long heartbeats went
        through."""
        self._refused_since: float | None = None
        self._doubtful = False
        """Whether a hold may have been lost since it was looked at."""

    async def start(self) -> None:
        """Begin to watch over the holds, where there are any."""
        if self._key_lock is not None:
            await super().start()

    async def admit(
        self, admission: Admission, workitem: Workitem, payload: Any, interrupt: Callable[[], None]
    ) -> Outcome | None:
        """Ask whether an item may run now.

        Args:
            admission: what is taken for it is noted here; it goes to ``left`` in the end.
            payload: validated.
            interrupt: asks for the item back, should its hold be lost.

        Returns:
            None if it may; else the outcome to write back instead.

        Raises:
            OpenIAPError: the server refuses what is needed for that.
        """
        key = ""
        if self._options.key is not None:
            try:
                key = key_of(self._options.key, payload, handler=self._name)
            except NoKey as error:
                self._log.info(str(error), item=workitem.id, queue=workitem.wiq)
                return without_key(error)
            admission.line = line_name(self._options.queue, key)
        try:
            waits = await self._waits(admission, key, workitem)
        except OpenIAPError as error:
            why = f"whether it may run could not be asked: {error}"
            if passes(error):
                return Outcome("released", None, why)
            if self._believes(error):
                raise
            # The item is not to blame, and is not to come back at once.
            self._log.once_a_while(f"asked-{self._name}", why, queue=workitem.wiq)
            return Outcome("released", None, why, waits=Waits(why, self._now() + REFUSED_PAUSE))
        self._refused_since = None
        if waits is not None:
            return Outcome("released", None, waits.why, waits=waits)
        if admission.hold is not None:
            self._running[admission] = interrupt
        return None

    def _believes(self, error: OpenIAPError) -> bool:
        """Whether a refusal will last: a server whose database is away refuses everything."""
        if not isinstance(error, ServerError):
            return True
        if self._refused_since is None:
            self._refused_since = uptime()
        return uptime() - self._refused_since > REFUSED_PATIENCE

    async def _waits(self, admission: Admission, key: str, workitem: Workitem) -> Waits | None:
        if self._key_lock is not None:
            line = admission.line
            async with self._join_order.entering(line) as behind:
                admission.hold = await self._key_lock.acquire(line, key, workitem, behind=behind)
                if admission.hold is None:
                    admission.waiter = self._lines.waiter(line, key, workitem)
                    self._join_order.joining(line)
                    await self._lines.join(admission.waiter)
            if admission.hold is None:
                now = self._now()
                until = now + PARK * self._chance.uniform(1.0, 1.0 + SPREAD)
                why = f"waits for its turn: key {clip(key, 100)}"
                return Waits(why, until, unparked_until=now + UNPARKED)
        if self._rate_per_key is not None:
            opens = await self._rate_per_key.take(admission.line)
            if opens is not None:
                why = f"waits for {self._rate_per_key.rate} per key: key {clip(key, 100)}"
                return Waits(why, self._spread(opens, self._rate_per_key.rate.seconds))
        if self._rate is not None:
            opens = await self._rate.take(self._queue)
            if opens is not None:
                why = f"waits for {self._rate.rate}"
                return Waits(why, self._spread(opens, self._rate.rate.seconds))
        return None

    def _spread(self, opens: datetime, seconds: float) -> datetime:
        spread = self._chance.uniform(0.0, min(MAX_SPREAD, seconds / 10))
        return opens + timedelta(seconds=spread)

    async def left(self, admission: Admission, outcome: Outcome, delivered: Delivered) -> None:
        """An item's outcome was written back, or it was parked: let others have theirs."""
        key_lock, hold, waiter = self._key_lock, admission.hold, admission.waiter
        self._ends(admission)
        if key_lock is None:
            return
        handed_back = outcome.kind == "released" and delivered.result == "applied"
        handed_back = handed_back and delivered.state != FAILED  # it was cancelled meanwhile
        asleep = outcome.waits is not None and outcome.waits.asleep
        handed_back = handed_back and not delivered.cost and not asleep
        try:
            if waiter is not None:
                if not handed_back:
                    await self._lines.leave(waiter)
                elif not key_lock.busy(waiter.line):
                    await key_lock.refill(waiter.line, waiter)
            elif hold is None or delivered.result == "refused":
                return
            elif handed_back:
                key_lock.keep(hold)
            elif delivered.result == "fenced":
                await key_lock.refill(hold.line)
            else:
                await key_lock.release(hold)
        except OpenIAPError as error:
            # Whoever looks after the lines goes on from here.
            self._log.once_a_while(f"keys-{self._name}", f"a key could not be given on: {error}")

    def forget(self, admission: Admission) -> None:
        """The item is out of this worker's hands; idempotent."""
        self._ends(admission)
        if admission.waiter is not None:
            self._join_order.joined(admission.line)
            admission.waiter = None

    def _ends(self, admission: Admission) -> None:
        self._running.pop(admission, None)
        if self._key_lock is not None and admission.hold is not None:
            self._key_lock.stopped(admission.hold)
        admission.hold = None

    @property
    def has_rate(self) -> bool:
        """Whether there is a rate of all keys together."""
        return self._rate is not None

    def closed_for(self) -> float:
        """Return for how many seconds the handler's rate lets nothing through; 0 else."""
        return 0.0 if self._rate is None else self._rate.closed_for(self._queue)

    async def maintain(self) -> None:
        """Look after the queue's lines, for those who died; called where this worker leads.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        if self._key_lock is not None:
            await self._key_lock.maintain()

    async def round(self) -> None:
        """Notice that this process was frozen, or cut off, for so long that it may count as dead,
        and look whether the holds are still its own."""
        before, epoch, steady = self._watched
        now, present, unbroken = self._watched = (uptime(), self._epoch(), self._steady())
        self._doubtful = (
            self._doubtful
            or now - before > WATCH_EVERY + self._silent_after / 2
            or present != epoch
            or unbroken < steady
        )
        if self._doubtful:
            with suppress(OpenIAPError):  # the next round tries again; the write-back is fenced
                await self._check()
                self._doubtful = False

    async def _check(self) -> None:
        for admission, interrupt in list(self._running.items()):
            hold = admission.hold
            if hold is None or self._key_lock is None or not await self._key_lock.lost(hold):
                continue
            if admission in self._running:
                self._log.warn(f"{self._name}: an item's key went to another worker meanwhile")
                interrupt()
