"""What is not given up halfway: a function in a thread, and a result on its way to the server."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from worker.openiap.threads import DaemonThreads

T = TypeVar("T")


async def in_thread(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Call a function in a thread of its own: one that is stuck takes none of the loop's threads,
    which the worker needs, and does not keep the process from ending."""
    threads, context = DaemonThreads("step"), copy_context()

    def call() -> T:
        try:
            return context.run(function, *args)
        except StopIteration as error:  # no future takes it: it would be waited for without end
            raise RuntimeError("the step raised StopIteration") from error

    try:
        return await threads.run(call)
    finally:
        threads.close()


async def to_the_end(
    work: Coroutine[Any, Any, T], bound: asyncio.Timeout | None = None
) -> tuple[T, asyncio.CancelledError | None]:
    """Wait for what is not to be given up halfway.

    Args:
        bound: a time limit, which is not waited for.

    Returns:
        What the work returns, and the cancellation that came meanwhile, for who is to raise it.

    Raises:
        CancelledError: it was cancelled, and there is no result.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task), None
    except asyncio.CancelledError as cancelled:
        if not task.done() and (bound is None or not bound.expired()):
            await asyncio.wait({task})
        if not task.done() or task.cancelled() or task.exception() is not None:
            raise
        return task.result(), cancelled
