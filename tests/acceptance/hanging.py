"""Handlers with a child that hangs before any Python runs in it, as on a lock that was held at the
fork; it shares every descriptor with its parent, and no hook of the worker's has run in it."""

import ctypes
import os
from typing import Any

from worker import handler

LIBRARY = ctypes.PyDLL(None)


def hung(payload: dict[str, Any]) -> dict[str, int]:
    """Wait for a child, where the payload wants one."""
    if payload.get("bad"):
        child = LIBRARY.fork()
        while child == 0:
            LIBRARY.pause()
        os.waitpid(child, 0)
    return {"pid": os.getpid()}


@handler("hung-thread", concurrency=2, timeout=0.2, hard_timeout=0.4)
def in_thread(payload: dict[str, Any]) -> dict[str, int]:
    return hung(payload)


@handler("hung-process", concurrency=1, process=True, timeout=0.2, hard_timeout=0.4)
def in_process(payload: dict[str, Any]) -> dict[str, int]:
    return hung(payload)
