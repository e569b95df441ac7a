"""A handler that needs the disk, and one that does not."""

import asyncio
import os
from typing import Any

from worker import Item, handler


@handler("reports", concurrency=4)
async def reports(payload: dict[str, Any], item: Item) -> dict[str, int]:
    """Attach something that is larger than the disk."""
    await item.attach(b"report " * 30_000, "report.txt")
    await asyncio.sleep(0.1)
    return {"by": os.getpid()}


@handler("plain", concurrency=4)
async def plain(payload: dict[str, Any]) -> dict[str, int]:
    """Attach nothing."""
    return {"by": os.getpid()}
