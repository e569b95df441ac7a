"""Handlers of the suite's workers: they do what an item says, for the queues in the environment."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from worker import BusinessError, Item, Retry, handler

QUEUES: Final = "CONFORMANCE_QUEUES"
SUITE: Final = "CONFORMANCE_SUITE"
"""The process that started this one."""
ME: Final = os.environ.get("OPENIAP_WORKER_WORKER_ID", "")


async def do(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Do what the payload says; ``begun`` and ``until`` are local files."""
    if "begun" in payload:
        Path(payload["begun"]).touch()
    while "until" in payload and not Path(payload["until"]).exists():
        await asyncio.sleep(0.05)
    what = payload.get("do")
    if what == "business":
        raise BusinessError("this item is bad", code="BAD")
    if what == "fail":
        raise RuntimeError("this attempt fails")
    if what == "later" and item.attempt == 1:
        raise Retry(after=float(payload["after"]), reason="not now")
    if what == "file":
        text = (await item.files["in.txt"].path()).read_text()
        out = Path(payload["folder"]) / "out.txt"
        out.write_text(text.upper())
        await item.attach(out)
    return {"by": ME, "attempt": item.attempt}


def end_with(parent: int) -> None:
    """End when the suite is gone: one that was killed leaves no worker behind."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if SUITE in os.environ:
    threading.Thread(target=end_with, args=(int(os.environ[SUITE]),), daemon=True).start()
_named = os.environ.get(QUEUES, "conformance").split(",")
first = handler(_named[0], concurrency=2)(do)
last = handler(_named[-1], concurrency=2)(do) if _named[1:] else None
