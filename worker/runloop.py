"""The loop of a process that runs for long and does much: a worker, a server."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypeVar

T = TypeVar("T")

COLLECT_EVERY: Final = 10_000
"""Containers more than before, from which Python looks for circles among them. An item in flight is
hundreds of containers and no circle; looking every 700, which is Python's default, and at all that
was ever imported, costs a tenth of a busy worker's CPU and stops its loop for 36 ms at a time."""


def run_long(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end: on uvloop, where there is one.

    What was loaded until now is never looked at again by the collector. For the whole process.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if find_spec("uvloop") is not None:
        # By name: the package does not exist for Windows, so it cannot be imported above.
        factory = import_module("uvloop").new_event_loop
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
