"""The state that code can use which is given none: that of the worker, or of the connection, which
it runs in."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from worker.errors import WorkerError
from worker.state.state import State


class NoState(WorkerError):
    """Code that needs shared state, where nobody provides one."""


@dataclass(frozen=True, slots=True)
class CurrentState:
    """State, and how blocking code waits for what it does."""

    state: State
    wait: Callable[[Coroutine[Any, Any, Any]], Any]


current_state: Final[ContextVar[CurrentState | None]] = ContextVar("current_state", default=None)
"""Set around handlers, carried into their threads, and inside of ``connect``."""


def state_here(who: str) -> CurrentState:
    """Return the current state.

    Raises:
        NoState: there is none.
    """
    found = current_state.get()
    if found is None:
        raise NoState(
            f"{who} needs shared state: call it in a handler (not a process handler), or inside of"
            " worker.connect() or worker.sync.connect()"
        )
    return found


def waiting_for(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return how code in other threads than a loop's waits for what that loop does."""

    def wait(work: Coroutine[Any, Any, Any]) -> Any:
        if asyncio._get_running_loop() is loop:
            work.close()
            raise NoState(
                "a cached def function would block the event loop: make it an async def, or call it"
                " by asyncio.to_thread"
            )
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    return wait
