"""``async def`` handlers: on the worker's loop, each run in a task of its own.

The task is what makes a run cancellable and abandonable without the caller's help; it carries a
copy of the caller's context in which ``current_item`` is set. A handler that blocks the loop
blocks its own limits too: no limit here can end ``while True: pass`` in an ``async def``.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from worker.app.registry import Registered
from worker.engine.execution.attempt import Attempt, Attempts, Reason
from worker.engine.execution.call import HandlerCall
from worker.engine.execution.limits import Limits
from worker.engine.execution.raised import as_exception, as_raised
from worker.engine.execution.stacks import UNKNOWN, stack_of_task
from worker.forks import Origin, awaited_here

FATE: Final = "it swallows its cancellation and was abandoned on the loop"


class CoroutineExecutor:
    """Runs one ``async def`` handler."""

    def __init__(
        self, registered: Registered, *, lost_changed: Callable[[], None] = lambda: None
    ) -> None:
        self._limits = Limits.of(registered)
        self._attempts = Attempts()
        self._lost: set[asyncio.Task[None]] = set()
        self._lost_changed = lost_changed

    async def start(self) -> None:
        """Nothing is to be made ready."""

    async def run(self, call: HandlerCall) -> Any:
        """Run the handler once; the contract stands in ``Executor.run``."""
        attempt = _CoroutineAttempt(call, self._limits, asyncio.get_running_loop(), self._abandon)
        attempt.start()
        return await self._attempts.run(attempt)

    def lost(self) -> int:
        """Return how many abandoned tasks still run."""
        return len(self._lost)

    def resize(self, slots: int) -> None:
        """The loop runs as many as are begun."""

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are; see ``Executor.stacks``."""
        return await self._attempts.stacks()

    def cut_short(self, item_id: str) -> bool:
        """Ask the handler of an item to end now; see ``Executor.cut_short``."""
        return self._attempts.cut_short(item_id)

    async def stop(self, timeout: float) -> None:
        """Cancel what runs, wait ``timeout`` seconds, abandon the rest."""
        await self._attempts.end(timeout)

    def _abandon(self, task: "asyncio.Task[None]") -> None:
        self._lost.add(task)
        task.add_done_callback(self._ended)
        self._lost_changed()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._lost.discard(task)
        self._lost_changed()


class _CoroutineAttempt(Attempt):
    __slots__ = ("_abandon", "_task")

    def __init__(
        self,
        call: HandlerCall,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        abandon: Callable[["asyncio.Task[None]"], None],
    ) -> None:
        super().__init__(call, limits, loop)
        self._abandon = abandon
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        call = self.call
        registered = call.registered
        arguments = registered.signature.arguments(
            call.payload, call.item, call.client, call.resources
        )
        self._task = self.loop.create_task(
            self._guarded(registered.handler.function, arguments), context=self.context
        )
        self._task.add_done_callback(self._done)
        self.arm()

    async def _guarded(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        # A task lets SystemExit and KeyboardInterrupt out into the loop; nothing may get that far.
        try:
            self.succeed(await awaited_here(function(**arguments), Origin()))
        except asyncio.CancelledError as error:
            self.fail(self._cancellation(error))
        except BaseException as error:  # see above
            self.fail(as_raised(error, self.limits.name))

    def _cancellation(self, error: asyncio.CancelledError) -> BaseException:
        if self.asked is None:
            return as_exception(error, self.limits.name)
        return self.interrupted().with_traceback(error.__traceback__)

    def _done(self, task: "asyncio.Task[None]") -> None:
        # The task may have been cancelled before its first step, which _guarded never sees.
        if not self.ended:
            self.fail(self.interrupted())

    async def stack(self) -> str:
        return UNKNOWN if self._task is None else stack_of_task(self._task)

    def ask(self, reason: Reason) -> None:
        super().ask(reason)
        if self._task is not None:
            self._task.cancel()

    def give_up(self, reason: Reason) -> None:
        task = self._task
        if self.ended or task is None:
            return
        self.call.item.stop()
        if reason == "timeout":
            self.fail(self.limits.given_up(stack_of_task(task), FATE))
        else:
            self.fail(asyncio.CancelledError())
        task.cancel()
        self._abandon(task)
