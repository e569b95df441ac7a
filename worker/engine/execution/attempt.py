"""One run as the loop sees it, whatever it runs in: its limits, its cancellation, its end.

1. Arms the soft limit, then the hard one, with one timer at a time.
2. Turns a first cancellation into a request to stop, a second into giving up.
3. Ends once, with a value or an error; what comes later is dropped.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any, Literal

from worker.app.decorator import HARD_AFTER_SOFT
from worker.engine.execution.call import HandlerCall
from worker.engine.execution.limits import Limits
from worker.item.context import current_item
from worker.state.current import CurrentState, current_state, waiting_for
from worker.state.state import State

Reason = Literal["timeout", "cancelled"]


class Attempt(ABC):
    """The common part; a subclass knows how to give its handler up, and may ask it to end harder.

    Attributes:
        asked: why the handler was first asked to end, or None.
        context: the caller's, with ``current_item`` and ``current_state`` set; what the handler
            runs in.
        ended: the value or error is known.
    """

    __slots__ = (
        "_error",
        "_timer",
        "_value",
        "_waiter",
        "asked",
        "call",
        "context",
        "ended",
        "limits",
        "loop",
    )

    def __init__(self, call: HandlerCall, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.limits = limits
        self.loop = loop
        self.context = copy_context()
        self.context.run(current_item.set, call.item)
        state = call.resources.get(State)
        if state is not None:
            in_thread = call.registered.handler.options.execution == "thread"
            wait = call.item.wait if in_thread else waiting_for(loop)
            self.context.run(current_state.set, CurrentState(state, wait))
        self.asked: Reason | None = None
        self.ended = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, reason: Reason) -> None:
        """Ask the handler to end."""
        if self.asked is None:
            self.asked = reason
        self.call.item.stop()

    @abstractmethod
    def give_up(self, reason: Reason) -> None:
        """End this attempt now or soon, whatever the handler does."""

    @abstractmethod
    async def stack(self) -> str:
        """Return where the handler is."""

    def arm(self) -> None:
        """Start the clock of the limits."""
        limits = self.limits
        if limits.soft is not None:
            self._timer = self.loop.call_later(limits.soft, self._soft)
        elif limits.hard is not None:
            self._timer = self.loop.call_later(limits.hard, self.give_up, "timeout")

    def _soft(self) -> None:
        limits = self.limits
        self._timer = None
        if limits.hard is not None and limits.soft is not None:
            self._timer = self.loop.call_later(limits.hard - limits.soft, self.give_up, "timeout")
        self.ask("timeout")

    def cut_short(self) -> None:
        """Let the soft limit strike now, and the hard one as long after it as it would."""
        if self.ended or self.asked is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        limits = self.limits
        after = HARD_AFTER_SOFT
        if limits.hard is not None and limits.soft is not None:
            after = limits.hard - limits.soft
        self._timer = self.loop.call_later(after, self.give_up, "timeout")
        self.ask("timeout")

    def succeed(self, value: Any) -> None:
        """End with what the handler returned."""
        if not self.ended:
            self._value = value
            self._end()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        if not self.ended:
            self._error = error
            self._end()

    def interrupted(self) -> BaseException:
        """Return the error of a handler that ended because it was asked to."""
        return asyncio.CancelledError() if self.asked == "cancelled" else self.limits.too_long()

    def _end(self) -> None:
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def result(self) -> Any:
        """Wait for the end; return the value or raise the error."""
        cancellations = 0
        while not self.ended:
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                cancellations += 1
                if self.ended:
                    break
                if cancellations == 1:
                    self.ask("cancelled")
                else:
                    self.give_up("cancelled")
        if cancellations and not isinstance(self._error, asyncio.CancelledError):
            self._forget(cancellations)
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            error = None  # the error's traceback holds this frame: no circle

    @staticmethod
    def _forget(cancellations: int) -> None:
        """Tell asyncio that the cancellations were swallowed, since the handler ended by itself."""
        task = asyncio.current_task()
        for _ in range(cancellations):
            if task is not None:
                task.uncancel()


class Attempts:
    """The attempts of an executor that have not ended."""

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()
        self._empty: asyncio.Event | None = None

    def __iter__(self) -> Iterator[Attempt]:
        return iter(tuple(self._attempts))

    def __len__(self) -> int:
        return len(self._attempts)

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are, by the ids of their items."""
        attempts = list(self)
        texts = await asyncio.gather(*(attempt.stack() for attempt in attempts))
        return {one.call.item.id: text for one, text in zip(attempts, texts, strict=True)}

    def cut_short(self, item_id: str) -> bool:
        """Ask the handler of an item to end now; returns whether it runs."""
        found = [attempt for attempt in self if attempt.call.item.id == item_id]
        for attempt in found:
            attempt.cut_short()
        return bool(found)

    async def run(self, attempt: Attempt) -> Any:
        """Wait for the attempt's result, and keep it here meanwhile."""
        self._attempts.add(attempt)
        try:
            return await attempt.result()
        finally:
            self._attempts.discard(attempt)
            if self._empty is not None and not self._attempts:
                self._empty.set()

    async def end(self, timeout: float) -> None:
        """Ask all to end, wait ``timeout`` seconds, give up the rest."""
        if not self._attempts:
            return
        self._empty = asyncio.Event()
        for attempt in self:
            attempt.ask("cancelled")
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            for attempt in self:
                attempt.give_up("cancelled")
            await self._empty.wait()
