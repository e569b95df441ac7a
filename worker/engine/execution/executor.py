"""The one place that chooses how a handler is run."""

from collections.abc import Callable, Sequence
from pathlib import Path

from worker.app.registry import Registered
from worker.engine.execution.call import Executor
from worker.engine.execution.coroutine import CoroutineExecutor
from worker.engine.execution.process import ProcessExecutor
from worker.engine.execution.thread import ThreadExecutor


def make_executor(
    registered: Registered,
    *,
    slots: int,
    modules: Sequence[str] = (),
    folder: Path | None = None,
    trace_url: str = "",
    lost_changed: Callable[[], None] = lambda: None,
) -> Executor:
    """Make the executor of a handler.

    Args:
        registered: the handler.
        slots: how many of its items run at once.
        modules, folder: what ``load_modules`` was given; a child imports these where the handler
            does not stand in the module that defines its function.
        trace_url: where the spans of a child go.
        lost_changed: called on the loop whenever ``lost()`` may have changed.

    Raises:
        HandlerError: the handler cannot be run in the way that it asks for.
    """
    execution = registered.handler.options.execution
    if execution == "async":
        return CoroutineExecutor(registered, lost_changed=lost_changed)
    if execution == "thread":
        return ThreadExecutor(registered, slots=slots, lost_changed=lost_changed)
    return ProcessExecutor(
        registered,
        slots=slots,
        modules=modules,
        folder=folder,
        trace_url=trace_url,
        lost_changed=lost_changed,
    )
