"""Breakers: queues that are not popped while a system that their handler needs is away.

1. Failures open the circuits of queues (``circuit.py``); both stand in the documents of the queues,
   so the fleet counts together, and knows circuits as it knows pauses (``engine/pauses.py``). A
   failure is counted there, and what the others met is read, before its slot takes another item.
2. What was hit meanwhile is handed back and costs no attempt. While a circuit stays closed an item
   is handed back three times so, then its error counts as any other (``hand_backs.py``).
3. When the pause is over each worker may pop one item; who writes first lets it through, the others
   hand theirs back.
4. Where this user may not update a queue its circuits are this worker's alone: said once.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from worker.app.breaker import Breaker
from worker.engine.breakers.circuit import Circuit, Window
from worker.engine.breakers.hand_backs import HandBacks, Times
from worker.engine.breakers.line import CLOSED, Line, hit
from worker.engine.breakers.store import Written
from worker.engine.in_flight import Running
from worker.errors import Outage
from worker.item.error_chain import deciding, message_of
from worker.item.outcome import Outcome, released
from worker.openiap.errors import OpenIAPError
from worker.service import Service
from worker.telemetry.log import Log

IDLE: Final = 3600.0
AGAIN: Final = 1.0

Write = Callable[[str, str, int, Circuit], Awaitable[Written]]
Count = Callable[[str, str, int, datetime], Awaitable[Sequence[datetime]]]


class Breakers(Service):
    """Of one worker.

    Args:
        declared: the breakers of each queue's handler.
        worker_id: who writes.
        write: writes a circuit (``store.py``) into a queue's document; None keeps all to this
            worker.
        count: counts a failure in a queue's document, and returns the fleet's last ones, at most so
            many; None where each worker counts for itself.
        times: tells how often an item was handed back already; None for what is known here.
        told: the circuits of a queue as its document has them; None where it was not read.
        interval: seconds between two looks at the clock while anything is open.
        now: the server's time as far as it is known.
        on_over: told of each queue that may be popped again.
    """

    def __init__(
        self,
        declared: Mapping[str, tuple[Breaker, ...]],
        *,
        worker_id: str,
        now: Callable[[], datetime],
        log: Log,
        write: Write | None = None,
        count: Count | None = None,
        times: Times | None = None,
        told: Callable[[str], Mapping[str, Circuit] | None] = lambda queue: None,
        interval: float = AGAIN,
        on_over: Callable[[str], None] = lambda queue: None,
    ) -> None:
        super().__init__(
            "breakers",
            pause=IDLE,
            on_error=lambda error: log.failed("breakers", error),
        )
        self._lines = {
            queue: Line(breakers, alone=write is None)
            for queue, breakers in declared.items()
            if breakers
        }
        self._windows = {
            breaker.name: Window(breaker)
            for line in self._lines.values()
            for breaker in line.breakers
        }
        self._worker_id = worker_id
        self._write = write
        self._count = count
        self._hand_backs = HandBacks(times, now=now, log=log)
        self._told = told
        self._interval = interval
        self._now = now
        self._on_over = on_over
        self._log = log
        self._unsent: dict[tuple[str, str], int] = {}
        """Circuits that were changed here, and the number that they were made of."""
        self._doubted: set[tuple[str, str]] = set()
        """Circuits that another has changed meanwhile, in a way that is not known here yet."""

    # What may be popped.

    def closed(self, queue: str) -> bool:
        """Whether the queue is not to be popped now."""
        line = self._lines.get(queue)
        if line is None:
            return False
        stands = line.stands(self._now())
        return stands == "shut" or (stands == "probe" and line.candidate is not None)

    def one_only(self, queue: str) -> bool:
        """Whether one item alone is to be popped: it will try whether the system is back."""
        line = self._lines.get(queue)
        return line is not None and line.stands(self._now()) == "probe"

    def of(self, queue: str) -> str:
        """Return why nothing of a queue is popped, or ""; readable from any thread."""
        line, now = self._lines.get(queue), self._now()
        if line is None:
            return ""
        shut = [(n, c) for n, c in list(line.circuits.items()) if c.stands(now) == "shut"]
        return "; ".join(circuit.text(name) for name, circuit in shut)

    def reasons(self) -> Mapping[str, str]:
        """Return how those stand that are not simply closed; readable from any thread."""
        found = {}
        for queue, line in self._lines.items():
            said = [
                circuit.text(name)
                for name, circuit in list(line.circuits.items())
                if circuit.forced or circuit.state != "closed"
            ]
            if said:
                found[queue] = "; ".join(said)
        return found

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """Yield queue, breaker, and 1 unless it is popped; readable from any thread."""
        now = self._now()
        for queue, line in self._lines.items():
            for breaker in line.breakers:
                yield queue, breaker.name, float(line.of(breaker.name).stands(now) != "popped")

    # What becomes of items.

    def popped(self, running: Running) -> None:
        """An item was popped; it may be the one that tries."""
        line = self._lines.get(running.workitem.wiq)
        if line is not None and line.candidate is None and line.stands(self._now()) == "probe":
            line.candidate = running

    async def admit(self, running: Running) -> Outcome | None:
        """Let an item run, or hand it back; ``left`` is to be called after it."""
        queue = running.workitem.wiq
        line = self._lines.get(queue)
        if line is None:
            return None
        now = self._now()
        stands = line.stands(now)
        if stands == "popped":
            return None
        if stands == "shut" or (line.candidate or running) is not running:
            return released(self.of(queue) or "another item tries whether a system is back")
        line.candidate = running
        for breaker in line.breakers:
            before = line.of(breaker.name)
            if before.stands(now) != "probe":
                continue
            claimed = before.probed(breaker, now, by=self._worker_id)
            if not await self._claimed(queue, line, breaker.name, before, claimed):
                return released(f"another worker tries whether {breaker.name} is back")
            line.probes = (*line.probes, breaker.name)
            self._log.info(
                f"breaker {breaker.name}: one item tries whether it is back",
                item=running.workitem.id,
                queue=queue,
            )
        return None

    def answered(self, running: Running) -> None:
        """The item's handler came to an end that says nothing against the systems it needs."""
        self._hand_backs.forget(running.workitem.id)
        line = self._lines.get(running.workitem.wiq)
        if line is None or line.candidate is not running:
            return
        probes, line.probes = line.probes, ()
        for name in probes:
            self._windows[name].clear()
            for queue in self._queues_of(name):
                circuit = self._lines[queue].of(name)
                if circuit.state != "closed" and not circuit.forced:
                    self._change(queue, name, circuit.closed(self._now(), by=self._worker_id))

    async def weigh(self, running: Running, error: BaseException) -> Outcome | None:
        """Return the outcome of an error that says that a system is away; None where it counts as
        any other."""
        queue = running.workitem.wiq
        line, decided = self._lines.get(queue), deciding(error)
        if line is None:
            return None
        breaker = hit(line.breakers, decided)
        if breaker is None:
            self.answered(running)
            return None
        now, name, circuit = self._now(), breaker.name, line.of(breaker.name)
        if circuit.forced == "closed":
            return None
        why = message_of(error)
        after = decided.after if isinstance(decided, Outage) else None
        said = released(f"breaker {name}: {why}"[:500])
        if circuit.forced == "open":
            return said
        if line.candidate is running and name in line.probes:
            line.probes = tuple(one for one in line.probes if one != name)
            self._open(breaker, now, why, after)
            return said
        if circuit.state != "closed":
            return said
        enough = self._windows[name].failed(now) or isinstance(decided, Outage)
        if not enough:
            enough = await self._fleet_failed(queue, breaker, now)
            circuit = line.of(name)  # as another has it by now
            if circuit.forced == "closed":
                return None
            if circuit.stands(now) != "popped":
                return said
        if enough:
            self._open(breaker, now, why, after)
            return said
        return await self._hand_backs.next(running.workitem.id, name, said)

    def left(self, running: Running) -> None:
        """The item is out of this worker's hands; idempotent."""
        queue = running.workitem.wiq
        line = self._lines.get(queue)
        if line is None or line.candidate is not running:
            return
        line.candidate = None
        probes, line.probes = line.probes, ()
        for name in probes:  # it neither failed nor succeeded
            circuit = line.of(name)
            if circuit.state == "probing":
                self._change(queue, name, circuit.unproved(self._now(), by=self._worker_id))
        if line.stands(self._now()) != "shut":
            self._on_over(queue)

    async def _fleet_failed(self, queue: str, breaker: Breaker, now: datetime) -> bool:
        """Count a failure for the whole fleet; whether there were enough in the time."""
        if self._count is None or self._lines[queue].alone:
            return False
        try:
            last = await self._count(queue, breaker.name, breaker.failures, now)
        except OpenIAPError as error:
            self._log.debug(f"breaker {breaker.name}: not counted: {error}", queue=queue)
            return False
        self.note()
        return Window.enough(breaker, last, now)

    # Circuits.

    def note(self) -> None:
        """Take over what the documents of the queues say now."""
        for queue, line in self._lines.items():
            told = self._told(queue)
            if told is None or line.alone:
                continue
            for breaker in line.breakers:
                mine, theirs = line.of(breaker.name), told.get(breaker.name, CLOSED)
                key = (queue, breaker.name)
                newer = theirs.number > mine.number
                if not newer and (key in self._unsent or key in self._doubted):
                    continue
                self._unsent.pop(key, None)
                self._doubted.discard(key)
                if theirs != mine:
                    self._is(queue, breaker.name, theirs)
        self.trigger()

    async def round(self) -> float:
        """Write what has changed here, and see whether a pause is over."""
        pause = IDLE
        for queue, line in self._lines.items():
            if not line.alone and self._told(queue) is not None:
                for breaker in line.breakers:
                    # Whoever looks is to see which breakers there are, before they open.
                    if not line.of(breaker.name).number:
                        self._unsent.setdefault((queue, breaker.name), 0)
                        line.circuits[breaker.name] = Circuit(number=1, by=self._worker_id)
        for (queue, name), before in list(self._unsent.items()):
            try:
                await self._send(queue, name, before)
            except OpenIAPError as error:
                self._log.debug(f"breaker {name} is not written: {error}", queue=queue)
                pause = AGAIN
        now = self._now()
        for queue, line in self._lines.items():
            was, line.was = line.was, line.stands(now)
            if was == "shut" and line.was != "shut":
                self._on_over(queue)
            for circuit in line.circuits.values():
                if circuit.state != "closed" and circuit.until is not None:
                    left = (circuit.until - now).total_seconds()
                    pause = min(pause, self._interval, left if left > 0 else pause)
        return pause

    def _open(self, breaker: Breaker, now: datetime, why: str, after: float | None) -> None:
        self._windows[breaker.name].clear()
        for queue in self._queues_of(breaker.name):
            circuit = self._lines[queue].of(breaker.name)
            if not circuit.forced:
                by = self._worker_id
                self._change(
                    queue, breaker.name, circuit.opened(breaker, now, why=why, by=by, after=after)
                )

    def _queues_of(self, name: str) -> list[str]:
        return [q for q, one in self._lines.items() if any(b.name == name for b in one.breakers)]

    def _change(self, queue: str, name: str, circuit: Circuit) -> None:
        line = self._lines[queue]
        if not line.alone:
            self._unsent.setdefault((queue, name), line.of(name).number)
        self._is(queue, name, circuit)
        self.trigger()

    def _is(self, queue: str, name: str, circuit: Circuit) -> None:
        """Have a circuit, and say so where it opens or closes."""
        line = self._lines[queue]
        before, now = line.of(name), self._now()
        line.circuits[name] = circuit
        was, stands = before.stands(now), circuit.stands(now)
        if stands == "shut" and was == "popped":
            self._windows[name].clear()
            self._log.warn(f"{circuit.text(name)}; the queue is not popped", queue=queue)
        elif stands == "popped" and was != "popped":
            self._log.info(f"{circuit.text(name)}; the queue is popped again", queue=queue)
        line.was = line.stands(now)
        if line.was != "shut":
            self._on_over(queue)

    async def _send(self, queue: str, name: str, before: int) -> None:
        line = self._lines[queue]
        circuit = line.of(name)
        done = await self._written(queue, name, before, circuit)
        if self._unsent.get((queue, name)) == before:
            del self._unsent[queue, name]
        if done == "done" and line.of(name) != circuit:
            self._unsent[queue, name] = circuit.number  # changed meanwhile
            self.trigger()
        elif done == "changed":
            self._doubt(queue, name, before, circuit)

    async def _claimed(
        self, queue: str, line: Line, name: str, before: Circuit, claimed: Circuit
    ) -> bool:
        """Write that an item of this worker tries; whether it may."""
        based_on = self._unsent.pop((queue, name), before.number)
        try:
            done = await self._written(queue, name, based_on, claimed)
        except OpenIAPError as error:
            self._log.debug(f"breaker {name} is not written: {error}", queue=queue)
            return False
        if done == "changed":
            self._doubt(queue, name, based_on, claimed)
            return False
        line.circuits[name] = claimed
        return True

    def _doubt(self, queue: str, name: str, before: int, circuit: Circuit) -> None:
        """Another's change holds, and is told or read soon: until then it is what was wanted here,
        under a number that gives way to it."""
        self._lines[queue].circuits[name] = replace(circuit, number=before)
        self._doubted.add((queue, name))
        self.note()

    async def _written(self, queue: str, name: str, before: int, circuit: Circuit) -> Written:
        line = self._lines[queue]
        if line.alone or self._write is None:
            return "denied"
        done = await self._write(queue, name, before, circuit)
        if done == "denied":
            line.alone = True
            self._log.warn(
                "this user may not update the queue: its breakers are this worker's alone, others"
                " do not hear of them",
                queue=queue,
            )
        return done
