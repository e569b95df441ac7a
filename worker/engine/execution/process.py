"""Process handlers: a pool of warm children, each of which can be killed and replaced.

1. As many children as slots; ``start`` returns when all have imported their handler. Where the
   machine has no process to give, it returns without them: they are started as soon as it has.
2. A limit that a child cannot be asked to keep (hard timeout, memory, CPU) ends the child, with
   its stack on the item, and another takes its place in the background.
3. A child that ends by itself fails its item with the signal or the exit code.
4. A child never signs in: handlers that ask for a ``Client``, a ``State`` or a resource are
   refused.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from worker.app.checked import check_process
from worker.app.options import handlers_in
from worker.app.registry import Registered
from worker.engine.execution.attempt import Attempts
from worker.engine.execution.call import HandlerCall
from worker.engine.execution.child_process import ChildProcess, ChildSpec
from worker.engine.execution.limits import Limits
from worker.engine.execution.process_attempt import ProcessAttempt
from worker.errors import WorkerFault

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 30.0


class ProcessExecutor:
    """Runs one process handler in ``slots`` children."""

    def __init__(
        self,
        registered: Registered,
        *,
        slots: int,
        modules: Sequence[str] = (),
        folder: Path | None = None,
        trace_url: str = "",
        lost_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Check that a child can run this handler.

        Raises:
            HandlerError: it asks for what only the worker has, or stands in ``__main__``.
        """
        options = registered.handler.options
        self._limits = Limits.of(registered)
        self._memory = options.memory
        self._cpu = options.cpu
        self._slots = slots
        self._spec = ChildSpec(
            registered.name,
            options.queue,
            _modules(registered, modules),
            folder,
            options.memory,
            trace_url,
        )
        self._lost_changed = lost_changed
        self._attempts = Attempts()
        self._numbers = itertools.count(1)
        self._starting: set[ChildProcess] = set()
        self._children: set[ChildProcess] = set()
        self._dying: set[ChildProcess] = set()
        self._idle: deque[ChildProcess] = deque()
        self._waiting: deque[asyncio.Future[ChildProcess]] = deque()
        self._refilling: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Start the children and wait until they are warm.

        Raises:
            HandlerError: one cannot import the handler; none is left running.
        """
        starts = (self._spawn() for _ in range(self._slots))
        try:
            ends = await asyncio.gather(*starts, return_exceptions=True)
        except asyncio.CancelledError:
            await self.stop(0)
            raise
        failed = [end for end in ends if end is not None]
        error = next((one for one in failed if not isinstance(one, OSError)), None)
        if error is not None:
            await self.stop(0)
            raise error
        if failed:  # the machine's fault, which passes; no reason for a worker not to start
            self._refill()

    async def run(self, call: HandlerCall) -> Any:
        """Run the handler once; the contract stands in ``Executor.run``.

        Beyond it: ``ResourceLimitExceeded`` for a broken memory or CPU limit and for a child that
        died; errors of the handler come as their own class where this process knows it, else as
        a ``RemoteError`` of their name, with the child's frames in ``stack``.
        """
        child = await self._free()
        attempt = ProcessAttempt(
            call,
            self._limits,
            child,
            next(self._numbers),
            memory=self._memory,
            cpu=self._cpu,
            discard=self._discard,
        )
        try:
            attempt.start()
            return await self._attempts.run(attempt)
        finally:
            child.listener = None
            self._offer(child)

    def lost(self) -> int:
        """Return how many killed children have not ended yet."""
        return len(self._dying)

    def resize(self, slots: int) -> None:
        """Start more children in the background, or end those that are idle."""
        self._slots = slots
        while self._idle and len(self._children) > slots:
            self._retire(self._idle.popleft())
        if len(self._children) < slots:
            self._refill()

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are; see ``Executor.stacks``."""
        return await self._attempts.stacks()

    def cut_short(self, item_id: str) -> bool:
        """Ask the handler of an item to end now; see ``Executor.cut_short``."""
        return self._attempts.cut_short(item_id)

    async def stop(self, timeout: float) -> None:
        """Ask what runs to end, wait ``timeout`` seconds, then end all children."""
        await self._attempts.end(timeout)
        self._stopped = True
        while self._waiting:
            self._waiting.popleft().cancel()
        if self._refilling is not None:
            self._refilling.cancel()
            await asyncio.gather(self._refilling, return_exceptions=True)
        everyone = self._starting | self._children | self._dying
        await asyncio.gather(*(child.end() for child in everyone))

    async def _free(self) -> ChildProcess:
        """Take an idle child, or wait for one.

        Raises:
            WorkerFault: none can be started.
        """
        while self._idle:
            child = self._idle.popleft()
            if not child.killed:
                return child
        turn: asyncio.Future[ChildProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._offer(turn.result())
            raise

    def _offer(self, child: ChildProcess) -> None:
        """A child is free: give it to who waits longest."""
        if child.killed or self._stopped:
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(child)
                return
        if len(self._children) > self._slots:
            self._retire(child)
        else:
            self._idle.append(child)

    def _retire(self, child: ChildProcess) -> None:
        """End a child that is idle, and one too many."""
        self._children.discard(child)
        self._dying.add(child)
        child.kill()

    def _discard(self, child: ChildProcess) -> None:
        """Kill a child; it counts as lost until it is gone."""
        if child not in self._children:
            return
        self._children.discard(child)
        self._dying.add(child)
        child.kill()
        self._lost_changed()
        self._refill()

    def _ended(self, child: ChildProcess) -> None:
        if child in self._starting:
            self._starting.discard(child)
            return  # who started it is told by the error
        was_dying = child in self._dying
        self._children.discard(child)
        self._dying.discard(child)
        with suppress(ValueError):
            self._idle.remove(child)
        if was_dying:
            self._lost_changed()
        self._refill()

    def _refill(self) -> None:
        if self._stopped or (self._refilling is not None and not self._refilling.done()):
            return
        self._refilling = asyncio.create_task(self._replace())

    async def _replace(self) -> None:
        """Start children in the place of those that are gone, with growing waits if that fails."""
        wait = FIRST_WAIT
        while len(self._children) < self._slots:
            try:
                await self._spawn()
                wait = FIRST_WAIT
            except Exception as error:  # whatever it is, the slots must come back
                self._fail_waiting(str(error) or type(error).__name__)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)

    async def _spawn(self) -> None:
        child = ChildProcess(self._ended)
        self._starting.add(child)
        try:
            await child.start(self._spec)
        except OSError:
            self._starting.discard(child)
            raise
        self._starting.discard(child)
        if child.killed:
            self._refill()  # gone again already
            return
        self._children.add(child)
        self._offer(child)

    def _fail_waiting(self, reason: str) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                text = f"handler {self._limits.name}: no process to run in: {reason}"
                turn.set_exception(WorkerFault(text, over=lambda: bool(self._children)))


def _modules(registered: Registered, modules: Sequence[str]) -> Sequence[str]:
    """Return what a child imports: the handler's own module where that is enough.

    Raises:
        HandlerError: no child can import or call the handler.
    """
    check_process(registered)
    function = registered.handler.function
    if registered.handler in handlers_in(getattr(function, "__globals__", {})):
        return (function.__module__,)
    return tuple(modules) or (function.__module__,)
