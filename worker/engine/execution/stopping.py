"""Errors that are raised in another thread, at its next instruction, where CPython can."""

import ctypes
import threading
from typing import Final

CHECKS: Final = 1000
"""Turns of a loop, at each of which CPython looks for errors of this kind."""


class _TakenBack(BaseException):
    pass


def raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise an error in a thread.

    Args:
        thread: its identity (``threading.get_ident()``).
        error: takes the place of one that was not raised yet.
    """
    api = getattr(ctypes, "pythonapi", None)
    if api is not None:
        api.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def take_back() -> None:
    """Take back what was to be raised in this thread and was not yet.

    Setting nothing would do that, too; but CPython would go on looking for it at every instruction,
    and 3.11 loops for ever in whatever thread is profiled or traced meanwhile. Only an error that
    is raised ends that, so another one is, and goes no further.
    """
    try:
        raise_in(threading.get_ident(), _TakenBack)
        for _ in range(CHECKS):
            pass
    except _TakenBack:
        return
