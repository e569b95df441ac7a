"""One run in a child: what the child says, what it asks for, and how it is ended with its stack.

Where the handler is, is asked in two ways: a thread of the child answers, unless native code holds
the interpreter; then a signal makes the child write its stack to a file, unless the system cannot
or the child is frozen; then the error says that it is not known.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from worker.engine.execution.attempt import Attempt, Reason
from worker.engine.execution.call import HandlerCall
from worker.engine.execution.child_process import ChildProcess
from worker.engine.execution.limits import Limits
from worker.engine.execution.pipe import Message
from worker.engine.execution.raised import as_exception
from worker.engine.execution.remote import error_from_message, error_to_message
from worker.engine.execution.remote_groups import ASKED, answered
from worker.engine.execution.remote_item import LEVELS, item_to_message
from worker.engine.execution.remote_pushes import push_from_message
from worker.engine.execution.stacks import UNKNOWN
from worker.engine.execution.usage import SAMPLE_SECONDS, Meter, died
from worker.errors import ResourceLimitExceeded, TimeLimitExceeded
from worker.item.long_work import Asleep
from worker.item.metadata import KEY, taken_out
from worker.producer.producer import NoProducer

LimitError = TimeLimitExceeded | ResourceLimitExceeded

FATE: Final = "its process was killed"
ANSWER_SECONDS: Final = 0.5
DUMP_SECONDS: Final = 0.1
DUMP_LOOKS: Final = 10
"""So often is looked for a dump: on a busy machine the child may not come to it at once."""


class ProcessAttempt(Attempt):
    """One run of a process handler."""

    __slots__ = (
        "_asks",
        "_child",
        "_cpu",
        "_curious",
        "_discard",
        "_make_error",
        "_memory",
        "_meter",
        "_next",
        "_number",
    )

    def __init__(
        self,
        call: HandlerCall,
        limits: Limits,
        child: ChildProcess,
        number: int,
        *,
        memory: int | None,
        cpu: float | None,
        discard: Callable[[ChildProcess], None],
    ) -> None:
        super().__init__(call, limits, asyncio.get_running_loop())
        self._child = child
        self._number = number
        self._memory = memory
        self._cpu = cpu
        self._discard = discard
        self._asks: set[asyncio.Task[None]] = set()
        self._meter: Meter | None = None
        self._make_error: Callable[[str], LimitError] | None = None
        """Makes the error once the stack is known; set while the child is being given up."""
        self._next: asyncio.TimerHandle | None = None
        self._curious: set[asyncio.Future[str]] = set()
        """Who wants to know where the handler is, and does not end it."""

    def start(self) -> None:
        """Hand the item to the child."""
        self._child.listener = self
        self._child.send(
            {"type": "run", "run": self._number, "item": item_to_message(self.call.item)}
        )
        self.arm()
        if self._memory is not None or self._cpu is not None:
            seen = self._child.seen()
            if seen is not None:
                self._meter = Meter(seen, self._child.cpu, memory=self._memory)
                self._next = self.loop.call_later(SAMPLE_SECONDS, self._sample)

    def ask(self, reason: Reason) -> None:
        """Ask the handler to end; the child passes it on."""
        super().ask(reason)
        self._child.send({"type": "stop", "run": self._number})

    async def stack(self) -> str:
        """Return where the handler is, as the child says."""
        waits: asyncio.Future[str] = self.loop.create_future()
        self._curious.add(waits)
        try:
            self._child.send({"type": "stack", "run": self._number})
            async with asyncio.timeout(ANSWER_SECONDS):
                return await waits
        except TimeoutError:
            return UNKNOWN
        finally:
            self._curious.discard(waits)

    def give_up(self, reason: Reason) -> None:
        """Kill the child: at once, or when it has said where its handler is."""
        if self.ended:
            return
        self.call.item.stop()
        if reason == "cancelled":
            self.fail(asyncio.CancelledError())
            self._discard(self._child)
        elif self._make_error is None:
            self._make_error = lambda stack: self.limits.given_up(stack, FATE)
            self._ask_for_stack()

    def _end(self) -> None:
        super()._end()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        for ask in self._asks:
            ask.cancel()

    # What the child says.

    def received(self, message: Message) -> None:
        """Take a message of the child."""
        kind = message["type"]
        if kind == "log":
            if message["level"] in LEVELS:
                say = getattr(self.call.item.log, message["level"])
                self.context.run(say, message["message"], **message["fields"])
        elif message["run"] != self._number or self.ended:
            return
        elif kind == "ask":
            ask = self.loop.create_task(self._answer(message), context=self.context)
            self._asks.add(ask)
            ask.add_done_callback(self._asks.discard)
        elif kind == "stack":
            if self._make_error is not None:
                self._finish(message["stack"])
            for waits in self._curious:
                if not waits.done():
                    waits.set_result(message["stack"])
        elif kind == "result":
            self.succeed(message["value"])
        elif kind == "asleep":
            self.fail(Asleep(self.call.item.asleep or datetime.now(UTC)))
        elif kind == "stopped":
            error = self.interrupted()
            if isinstance(error, TimeLimitExceeded):
                error.stack = message["stack"]
            self.fail(error)
        elif kind == "raised":
            if message.get("spent"):
                self._discard(self._child)
            self.fail(as_exception(error_from_message(message["error"]), self.limits.name))

    def exited(self, code: int) -> None:
        """The child has ended under its item."""
        peak = 0 if self._meter is None else self._meter.peak
        if self._make_error is not None:
            self._finish(self._child.dump())
        elif not self.ended:
            error = died(self.limits.name, code, peak)
            stack = self._child.dump()
            error.stack = "" if stack == UNKNOWN else stack
            self.fail(error)

    async def _answer(self, message: Message) -> None:
        answer: Message = {"type": "answer", "run": self._number, "number": message["number"]}
        try:
            answer |= {"value": await self._result_of(message), "error": None}
        except Exception as error:  # whatever it is, it is raised where the handler asked
            answer |= {"value": None, "error": error_to_message(error)}
        self._child.send(answer)

    async def _result_of(self, message: Message) -> Any:
        item, what = self.call.item, message["what"]
        if what == "keep":
            name = message["name"]
            await item.attach(Path(message["path"]), name)
            return next(str(kept.path) for kept in item.attachments if kept.name == name)
        if what in ("size", "fetch"):
            file = item.files[message["name"]]
            return await file.size() if what == "size" else str(await file.path())
        if what == "save":
            await item.take_metadata(taken_out({KEY: message["metadata"]})[1], now=message["now"])
            return None
        if what == "keep_entry":
            await item.take_entry(message["part"], message["key"], message["entry"])
            return None
        if what == "clock":
            clock = await item.clock()
            return [clock.now.isoformat(), clock.awake]
        if what == "sleeps":
            item.await_signals(message["waits"])
            item.fall_asleep(datetime.fromisoformat(message["until"]))
            return None
        store = item.signal_store
        if what == "signals":
            past = message["past"]
            return [] if store is None else await store.signals(item.id, message["name"], past)
        if what == "pass_over":
            if store is not None:
                await store.pass_over(item.id, message["id"], message["why"])
            return None
        if what == "follow_up":
            return (await item.take_push(push_from_message(message["push"]))).kept()
        sender = item.sender
        if sender is None:
            raise NoProducer(f"{self.limits.name}: this item has no worker around it")
        if what == "send":
            sent = await sender.send([push_from_message(one) for one in message["pushes"]])
            return [asdict(one) for one in sent]
        if what.startswith(ASKED):
            return await answered(sender.groups, message)
        if what == "look":
            return await sender.look(message["id"])
        if what == "cancel":
            return await sender.cancel(message["id"], message["reason"])
        if what == "signal":
            name, text = message["name"], message["text"]
            return await sender.signal(message["id"], name, text, message["key"])
        return await sender.ended(message["id"], message["queue"], message["timeout"])

    # Giving it up, once its stack is known.

    def _ask_for_stack(self) -> None:
        self._child.send({"type": "stack", "run": self._number})
        self._later(ANSWER_SECONDS, self._ask_for_dump)

    def _ask_for_dump(self) -> None:
        if self._child.ask_for_dump():
            self._later(DUMP_SECONDS, lambda: self._take_dump(DUMP_LOOKS))
        else:
            self._finish(UNKNOWN)

    def _take_dump(self, looks: int) -> None:
        stack = self._child.dump(writing=looks > 1)
        if stack == UNKNOWN and looks > 1:
            self._later(DUMP_SECONDS, lambda: self._take_dump(looks - 1))
        else:
            self._finish(stack)

    def _finish(self, stack: str) -> None:
        if self.ended or self._make_error is None:
            return
        error = self._make_error(stack)
        error.stack = stack
        self.fail(error)
        self._discard(self._child)

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = self.loop.call_later(seconds, step)

    def _sample(self) -> None:
        """Hold the child to its memory and CPU limits."""
        meter, name = self._meter, self.limits.name
        if meter is None or self._make_error is not None:
            return
        meter.sample()
        broken = meter.broken(name, self._memory, self._cpu)
        if broken is None:
            self._later(SAMPLE_SECONDS, self._sample)
            return
        self.call.item.stop()
        make: Callable[[], ResourceLimitExceeded] = broken
        self._make_error = lambda _: make()
        if self._memory is not None and meter.peak > self._memory:
            self._ask_for_dump()  # the quick way: it may be growing still
        else:
            self._ask_for_stack()
