"""A few threads for functions that block the thread that calls them.

Of the official library: connecting, registering a queue and sending a message have no ``*_async``
form that returns at once. The threads are daemons: one that is stuck must not keep the process
alive, which the loop's own threads would.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_THREADS: Final = 4
Job = tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]


class DaemonThreads:
    """Runs blocking functions away from the loop; threads start as they are needed."""

    def __init__(self, name: str = "openiap") -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False

    async def run(self, function: Callable[[], T]) -> T:
        """Run ``function`` on a thread and return its result.

        A caller that stops waiting leaves the function running; its result is dropped.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        def done(value: Any, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, value, error)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return

        self.submit(function, done)
        return await future

    def submit(
        self, function: Callable[[], Any], done: Callable[[Any, BaseException | None], None]
    ) -> None:
        """Run ``function`` on a thread; ``done`` is told there how it went."""
        with self._lock:
            self._jobs.put((function, done))
            if self._idle < self._jobs.qsize() and self._threads < MAX_THREADS:
                self._threads += 1
                threading.Thread(
                    target=self._work, name=f"{self._name}-{self._threads}", daemon=True
                ).start()

    def close(self) -> None:
        """Let the threads end once they are done with what they were given; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                return
            function, done = job
            try:
                value = function()
            except BaseException as error:  # whoever waits is told whatever it was
                done(None, error)
            else:
                done(value, None)
            del job, function, done
