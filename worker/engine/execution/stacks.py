"""Where a handler is: the Python stack of a task or a thread, without the worker's own frames.

The text has the form of a traceback's frames, outermost first, and is masked like
everything that goes onto an item.
"""

import asyncio
import sys
import traceback
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any, Final

from worker.forks import awaited_here
from worker.item.error_text import MAX_SOURCE
from worker.item.masking import shortened
from worker.package_path import OWN_CODE

UNKNOWN: Final = "  (its stack is not known)\n"


def stack_of_task(task: "asyncio.Task[Any]") -> str:
    """Return where a suspended task is, from its outermost coroutine to what it waits for."""
    frames: list[FrameType] = []
    step: Any = task.get_coro()
    while step is not None:
        frame = _first(step, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            break
        frames.append(frame)
        if frame.f_code is awaited_here.__code__:
            step = frame.f_locals["steps"]
        else:
            step = _first(step, "cr_await", "gi_yieldfrom", "ag_await")
    return _text(traceback.StackSummary.extract((f, f.f_lineno) for f in frames))


def stack_of_thread(ident: int | None) -> str:
    """Return where a thread of this process is right now."""
    frame = None if ident is None else sys._current_frames().get(ident)
    if frame is None:
        return UNKNOWN
    summary = traceback.StackSummary.extract(traceback.walk_stack(frame))
    summary.reverse()
    return _text(summary)


def stack_of_error(trace: TracebackType | None) -> str:
    """Return the frames of a traceback."""
    return _text(traceback.extract_tb(trace))


def stack_of_frames(frames: Iterable[tuple[str, int, str]]) -> str:
    """Return the text for frames known by file, line and function, outermost first."""
    return _text([traceback.FrameSummary(*frame) for frame in frames])


def _first(step: Any, *names: str) -> Any:
    for name in names:
        found = getattr(step, name, None)
        if found is not None:
            return found
    return None


def _text(frames: Iterable[traceback.FrameSummary]) -> str:
    handlers = _trimmed(list(frames))
    if not handlers:
        return UNKNOWN
    return shortened("".join(traceback.format_list(handlers)), MAX_SOURCE)


def _trimmed(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Drop the worker's frames, and what called the worker: the thread's or interpreter's start."""
    own = [frame.filename.startswith(OWN_CODE) for frame in frames]
    start = own.index(True) if True in own else 0
    return [f for f, is_own in zip(frames[start:], own[start:], strict=True) if not is_own]
