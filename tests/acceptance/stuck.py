"""A handler whose bad items wait for an answer that never comes, in a thread that nothing ends."""

import os
import socket
from typing import Any

from worker import handler

A, B = socket.socketpair()


@handler("stuck", concurrency=2, timeout=0.2, hard_timeout=0.4)
def stuck(payload: dict[str, Any]) -> dict[str, int]:
    if payload.get("bad"):
        A.recv(1)
    return {"pid": os.getpid()}
