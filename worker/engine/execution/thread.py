"""``def`` handlers: in threads of their own, never more of them than slots.

1. The threads are daemons: one that is stuck never keeps the process from ending.
2. A thread whose run was given up gets an exception raised in it, so that a Python loop ends and a
   late handler does not go on working an item that is someone else's by now; a thread inside
   native code or a system call sees it when that returns.
3. Until it really ends it is counted by ``lost`` and holds its place; after that a fresh one may
   take it.
"""

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from worker.app.callables import awaited
from worker.app.registry import Registered
from worker.engine.execution.attempt import Attempt, Attempts, Reason
from worker.engine.execution.call import HandlerCall
from worker.engine.execution.limits import Limits
from worker.engine.execution.raised import as_raised
from worker.engine.execution.stacks import UNKNOWN, stack_of_thread
from worker.engine.execution.stopping import raise_in
from worker.engine.faults import no_thread
from worker.errors import TimeLimitExceeded, WorkerFault
from worker.forks import Origin

T = TypeVar("T")

FATE: Final = "its thread cannot be stopped from outside and was abandoned"


class Abandoned(BaseException):
    """Raised inside a handler whose run was given up; nobody waits for it any more."""


class ThreadExecutor:
    """Runs one ``def`` handler in up to ``slots`` threads."""

    def __init__(
        self,
        registered: Registered,
        *,
        slots: int,
        lost_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._limits = Limits.of(registered)
        self._slots = slots
        self._attempts = Attempts()
        self._inbox: SimpleQueue[_ThreadAttempt | None] = SimpleQueue()
        self._threads: set[_HandlerThread] = set()
        self._lost: set[_HandlerThread] = set()
        self._lost_changed = lost_changed
        self._stopped = False

    async def start(self) -> None:
        """Threads are made when there is work for them."""

    async def run(self, call: HandlerCall) -> Any:
        """Run the handler once; the contract stands in ``Executor.run``."""
        attempt = _ThreadAttempt(call, self._limits, asyncio.get_running_loop(), self._abandon)
        if len(self._attempts) >= len(self._threads):
            self._grow(attempt.loop)
        attempt.arm()
        self._inbox.put(attempt)
        return await self._attempts.run(attempt)

    def lost(self) -> int:
        """Return how many abandoned threads still run."""
        return sum(thread.is_alive() for thread in self._lost)

    def resize(self, slots: int) -> None:
        """More threads are made when there is work for them; too many end once they are idle."""
        self._slots = slots
        for _ in range(len(self._threads) - slots):
            self._inbox.put(None)

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are; see ``Executor.stacks``."""
        return await self._attempts.stacks()

    def cut_short(self, item_id: str) -> bool:
        """Ask the handler of an item to end now; see ``Executor.cut_short``."""
        return self._attempts.cut_short(item_id)

    async def stop(self, timeout: float) -> None:
        """Ask what runs to end, wait ``timeout`` seconds, abandon the rest."""
        await self._attempts.end(timeout)
        self._stopped = True
        for _ in self._threads:
            self._inbox.put(None)

    def _grow(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._threads) + self.lost() >= self._slots:
            return
        thread = _HandlerThread(self._inbox, self._limits.name, loop, self._ended)
        try:
            thread.start()
        except RuntimeError as error:
            raise no_thread(f"handler {self._limits.name}") from error
        self._threads.add(thread)

    def _abandon(self, thread: "_HandlerThread") -> None:
        self._threads.discard(thread)
        self._lost.add(thread)
        self._lost_changed()

    def _ended(self, thread: "_HandlerThread") -> None:
        self._threads.discard(thread)
        was_lost = thread in self._lost
        self._lost.discard(thread)
        if self._stopped:
            return
        if len(self._attempts) > len(self._threads):
            with suppress(WorkerFault):  # what waits has the threads that there are
                self._grow(thread.loop)
        if was_lost:
            self._lost_changed()


class _HandlerThread(threading.Thread):
    def __init__(
        self,
        inbox: "SimpleQueue[_ThreadAttempt | None]",
        name: str,
        loop: asyncio.AbstractEventLoop,
        ended: "Callable[[_HandlerThread], None]",
    ) -> None:
        super().__init__(name=f"handler {name}", daemon=True)
        self._inbox = inbox
        self._ended = ended
        self.loop = loop

    def run(self) -> None:
        try:
            while (attempt := self._inbox.get()) is not None:
                if attempt.begin(self) and not attempt.execute():
                    return
                del attempt  # an idle thread must not keep the last item alive
        except Abandoned:
            return  # it struck between the handler's end and here
        finally:
            _call_on_loop(self.loop, self._ended, self)


class _Bridge:
    """``item.wait`` in a thread: the coroutine runs on the worker's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._lock = threading.Lock()
        self._pending: set[concurrent.futures.Future[Any]] = set()
        self._closed = False
        self._origin = Origin()

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        if self._origin.left:
            work.close()
            raise RuntimeError("a forked child cannot ask the worker: its item is the worker's")
        with self._lock:
            if self._closed:
                work.close()
                raise TimeLimitExceeded(f"{self._name} was given up")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._pending.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise TimeLimitExceeded(f"{self._name} was given up") from None
        finally:
            with self._lock:
                self._pending.discard(future)

    def close(self) -> None:
        """Cancel what is waited for, and refuse what comes."""
        with self._lock:
            self._closed = True
            pending = tuple(self._pending)
        for future in pending:
            future.cancel()


class _ThreadAttempt(Attempt):
    __slots__ = ("_abandon", "_bridge", "_given_up", "_lock", "_thread")

    def __init__(
        self,
        call: HandlerCall,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        abandon: Callable[[_HandlerThread], None],
    ) -> None:
        super().__init__(call, limits, loop)
        self._abandon = abandon
        self._bridge = _Bridge(loop, limits.name)
        call.item.wait_through(self._bridge)
        self._lock = threading.Lock()
        self._given_up = False
        self._thread: _HandlerThread | None = None

    def begin(self, thread: _HandlerThread) -> bool:
        """In the thread: take this attempt; False if it was given up while it waited."""
        with self._lock:
            if self._given_up:
                return False
            self._thread = thread
            return True

    def execute(self) -> bool:
        """In the thread: run the handler; False if it was given up meanwhile."""
        call, origin = self.call, Origin()
        end: Callable[[Any], None] = self.succeed
        value: Any = None
        try:
            arguments = call.registered.signature.arguments(
                call.payload, call.item, call.client, call.resources
            )
            value = self.context.run(call.registered.handler.function, **arguments)
            if inspect.isawaitable(value):
                value = self.context.run(self._bridge, awaited(value))
        except BaseException as error:  # SystemExit too: it ends the item, not the thread
            origin.end_copy(error)
            end, value = self.fail, as_raised(error, self.limits.name)
        origin.end_copy()
        with self._lock:
            if self._given_up:
                return False
            self._thread = None
        _call_on_loop(self.loop, end, value)
        return True

    async def stack(self) -> str:
        with self._lock:
            thread = self._thread
        return UNKNOWN if thread is None else stack_of_thread(thread.ident)

    def give_up(self, reason: Reason) -> None:
        if self.ended:
            return
        self.call.item.stop()
        with self._lock:
            thread = self._thread
            self._given_up = True
            stack = UNKNOWN if thread is None else stack_of_thread(thread.ident)
            if thread is not None and thread.ident is not None:
                raise_in(thread.ident, Abandoned)
        self._bridge.close()
        if reason == "timeout":
            fate = FATE if thread is not None else "no thread was free for it"
            self.fail(self.limits.given_up(stack, fate))
        else:
            self.fail(asyncio.CancelledError())
        if thread is not None:
            self._abandon(thread)


def _call_on_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], value: Any
) -> None:
    try:
        loop.call_soon_threadsafe(function, value)
    except RuntimeError:
        return  # the loop is closed: the worker has ended without this thread
