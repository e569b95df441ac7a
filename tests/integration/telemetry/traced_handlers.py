"""Handlers with spans of their own: on the loop, in a thread, in a process; and one that fails."""

from typing import Any

from opentelemetry import trace

from worker import Item, context, handler

tracer = trace.get_tracer("mine")


@handler("first")
async def first(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    with tracer.start_as_current_span("inside first"):
        await item.push("later", {"n": 1})
    return {"first": context.traceparent()}


@handler("second")
def second(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    with tracer.start_as_current_span("inside second"):
        return {"second": dict(item.headers)}


@handler("third", process=True)
def third(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    with tracer.start_as_current_span("inside third"):
        return {"third": context.traceparent(), "headers": dict(item.headers)}


@handler("later")
async def later(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    item.log.info("a line of mine")
    if item.attempt == 1:
        raise ConnectionError("not yet")
    return {"headers": dict(item.headers)}
