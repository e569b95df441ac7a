"""The gate of one handler: whether a popped item may run now, by its key and its rates.

1. The key comes from the validated payload; without a usable one the item is a business error.
2. A key's hold is taken first, then the permits. Who gets none is parked, and keeps its hold until
   the next window: it stays the first of its key.
3. When the outcome was written back, the hold goes to who is next.
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
from worker.engine.concurrency.arrivals import Arrivals
from worker.engine.concurrency.key import NoKey, key_of, line_name, queue_name, without_key
from worker.engine.concurrency.key_lock import Hold, Turns
from worker.engine.concurrency.rate_limit import Permits
from worker.engine.concurrency.waiting_line import Lines, Place
from worker.engine.delivery.delivery import Delivered
from worker.item.error_text import clip
from worker.item.outcome import Outcome, Waits
from worker.openiap.errors import OpenIAPError
from worker.openiap.workitem import Workitem
from worker.service import Service
from worker.state.cells import uptime
from worker.state.retrying import passes
from worker.telemetry.log import Log

PARK: Final = timedelta(minutes=10)
"""After so long a parked item is popped again, whatever happened to who should have woken it."""
SPREAD: Final = 0.2
UNPARKED: Final = timedelta(seconds=5)
"""How long an item waits that cannot be parked, and so has nobody to wake it."""
WATCH_EVERY: Final = 1.0
MAX_SPREAD: Final = 1.0
"""Seconds by which items are spread over the beginning of a window, so that workers share it."""


@dataclass(slots=True, eq=False)
class Admission:
    """What the gate made of one popped item.

    Attributes:
        hold: of one that may run, or that waits for a rate.
        place: of one that waits for its key.
    """

    line: str = ""
    hold: Hold | None = None
    place: Place | None = None


class Gate(Service):
    """Admits items, and watches over the holds of those that run.

    Args:
        name: the handler's.
        turns: None where the handler has no limit per key.
        total, per_key: its rates' permits.
        epoch: the pool's number of sign-ins.
        steady: for how many seconds heartbeats went through.
        silent_after: seconds after which others take a silent worker for dead.
        interrupt: asks for an item back.
    """

    def __init__(
        self,
        name: str,
        options: HandlerOptions,
        *,
        turns: Turns | None,
        lines: Lines,
        total: Permits | None,
        per_key: Permits | None,
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
        self._turns = turns
        self._lines = lines
        self._total = total
        self._per_key = per_key
        self._now = now
        self._epoch = epoch
        self._steady = steady
        self._silent_after = silent_after
        self._log = log
        self._chance = chance
        self._arrivals = Arrivals()
        self._running: dict[Admission, Callable[[], None]] = {}
        self._watched = (uptime(), epoch(), 0.0)
        """What the last round saw: the time, the sign-ins, and for how long heartbeats went
        through."""
        self._doubtful = False
        """Whether a hold may have been lost since it was looked at."""

    async def start(self) -> None:
        """Begin to watch over the holds, where there are any."""
        if self._turns is not None:
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
            if not passes(error):
                raise
            return Outcome("released", None, f"whether it may run could not be asked: {error}")
        if waits is not None:
            return Outcome("released", None, waits.why, waits=waits)
        if admission.hold is not None:
            self._running[admission] = interrupt
        return None

    async def _waits(self, admission: Admission, key: str, workitem: Workitem) -> Waits | None:
        if self._turns is not None:
            line = admission.line
            async with self._arrivals.of(line) as behind:
                admission.hold = await self._turns.take(line, key, workitem, behind=behind)
                if admission.hold is None:
                    admission.place = self._lines.place(line, key, workitem)
                    self._arrivals.sets_out(line)
                    await self._lines.join(admission.place)
            if admission.hold is None:
                now = self._now()
                until = now + PARK * self._chance.uniform(1.0, 1.0 + SPREAD)
                why = f"waits for its turn: key {clip(key, 100)}"
                return Waits(why, until, unparked_until=now + UNPARKED)
        if self._per_key is not None:
            opens = await self._per_key.take(admission.line)
            if opens is not None:
                why = f"waits for {self._per_key.rate} per key: key {clip(key, 100)}"
                return Waits(why, self._spread(opens, self._per_key.rate.seconds))
        if self._total is not None:
            opens = await self._total.take(self._queue)
            if opens is not None:
                why = f"waits for {self._total.rate}"
                return Waits(why, self._spread(opens, self._total.rate.seconds))
        return None

    def _spread(self, opens: datetime, seconds: float) -> datetime:
        spread = self._chance.uniform(0.0, min(MAX_SPREAD, seconds / 10))
        return opens + timedelta(seconds=spread)

    async def left(self, admission: Admission, outcome: Outcome, delivered: Delivered) -> None:
        """An item's outcome was written back, or it was parked: let others have their turn."""
        turns, hold, place = self._turns, admission.hold, admission.place
        self._ends(admission)
        if turns is None:
            return
        handed_back = outcome.kind == "released" and delivered.result == "applied"
        handed_back = handed_back and not delivered.cost
        try:
            if place is not None:
                if not handed_back:
                    await self._lines.leave(place)
                elif not turns.busy(place.line):
                    await turns.look(place.line, place)
            elif hold is None or delivered.result == "refused":
                return
            elif handed_back:
                turns.keep(hold)
            elif delivered.result == "fenced":
                await turns.look(hold.line)
            else:
                await turns.end(hold)
        except OpenIAPError as error:
            # Whoever looks after the lines goes on from here.
            self._log.once_a_while(f"turns-{self._name}", f"a key could not be given on: {error}")

    def forget(self, admission: Admission) -> None:
        """The item is out of this worker's hands; idempotent."""
        self._ends(admission)
        if admission.place is not None:
            self._arrivals.arrived(admission.line)
            admission.place = None

    def _ends(self, admission: Admission) -> None:
        self._running.pop(admission, None)
        if self._turns is not None and admission.hold is not None:
            self._turns.left(admission.hold)
        admission.hold = None

    @property
    def has_rate(self) -> bool:
        """Whether there is a rate of all keys together."""
        return self._total is not None

    def closed_for(self) -> float:
        """Return for how many seconds the handler's rate lets nothing through; 0 else."""
        if self._total is None:
            return 0.0
        opens = self._total.closed_until(self._queue)
        return 0.0 if opens is None else max(0.0, self._total.seconds_until(opens))

    async def tend(self) -> None:
        """Look after the queue's lines, for those who died; called where this worker leads.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        if self._turns is not None:
            await self._turns.tend()

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
            if hold is None or self._turns is None or not await self._turns.lost(hold):
                continue
            if admission in self._running:
                self._log.warn(f"{self._name}: an item's key went to another worker meanwhile")
                interrupt()
