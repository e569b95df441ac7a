"""Handlers that know nothing of OpenTelemetry, and say what they see of the trace."""

import sys
from typing import Any

from worker import Item, context, handler


def seen(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Return what is seen here, beside what the earlier queues saw."""
    known = "opentelemetry" in sys.modules
    earlier = payload.get("seen", {})
    return {"seen": {**earlier, item.queue: context.traceparent()}, "opentelemetry": known}


@handler("first")
async def first(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    await item.push("later", {})
    return seen(payload, item)


@handler("second")
def second(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    return seen(payload, item)


@handler("third", process=True)
def third(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    return seen(payload, item)


@handler("later")
async def later(payload: dict[str, Any], item: Item) -> None:
    return None
