"""Process handlers of the tests: a module that a child can import."""

import time
from typing import Any

from pydantic import BaseModel

from worker import BusinessError, Item, context, handler


class Number(BaseModel):
    """What ``typed`` takes."""

    number: int


@handler("typed", process=True, concurrency=1)
def typed(payload: Number) -> None:
    """Take a number."""


@handler("slices", process=True, concurrency=1)
def sliced(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Fail once in the middle, and go on from the checkpoint."""
    before = item.checkpointed
    item.wait(item.progress(0.5, "half"))
    if before is None:
        item.wait(item.checkpoint({"page": 3}, now=True))
        raise RuntimeError("died at page 3")
    item.wait(item.push("next", {"from": before["page"]}))
    item.wait(item.push(sliced, {"again": True}, delay="1h"))
    return {"began_at": before["page"]}


@handler("asks", process=True, concurrency=1)
async def asks(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Push at once and wait for the other's result."""
    pushed = await sums.push({"a": 1, "b": 2})
    return {"sum": (await pushed.result(timeout=60))["sum"]}


@handler("once-process", process=True, concurrency=1)
async def pushes_once(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Push one key twice at once, and one after the end."""
    first = await sums.push({"a": 1, "b": 2}, unique="sum", delay="1h")
    second = await sums.push({"a": 3, "b": 4}, unique="sum", unique_update=True, delay="1h")
    await item.push("follow", {"n": 1}, unique="follow", unique_for="24h")
    same = first.id == second.id
    return {"same": same, "existing": second.existing, "updated": second.updated}


@handler("sums")
async def sums(payload: dict[str, Any]) -> dict[str, Any]:
    """Add."""
    return {"sum": payload["a"] + payload["b"]}


@handler("breaks", process=True, concurrency=1, evidence=True)
def breaks(payload: dict[str, Any], item: Item) -> None:
    """Fail with evidence."""
    secret_token = "hunter2"
    item.log.info("about to divide", by=0)
    divisor = payload["by"]
    assert secret_token
    item.log.info("divided", result=1 / divisor)


@handler("rest-in-a-child", process=True, concurrency=1)
def sorted_out(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Say what the item died of."""
    assert item.dead_letter is not None
    assert "openiap_worker" not in {**payload, **item.payload}
    return {"of": item.dead_letter.id, "because": item.dead_letter.message}


@handler("endless", process=True, concurrency=1)
def endless(payload: dict[str, Any], item: Item) -> None:
    """Go on until it is asked to end."""
    while not item.stopping:
        time.sleep(0.01)
    raise RuntimeError("asked to end")


class OutOfStock(BusinessError):
    """Its constructor takes other things than its message."""

    def __init__(self, what: str, left: object) -> None:
        super().__init__(f"no {what}", code="OUT", data={"left": left})


@handler("stock-processes", process=True, concurrency=1)
def take(what: str, left: int) -> int:
    """Fail with that error."""
    raise OutOfStock(what, left)


@handler("lengths", process=True, concurrency=1)
def length(text: str) -> int:
    """Take a field, and give a number."""
    return len(text)


@handler("who", process=True, concurrency=1)
def who() -> dict[str, Any]:
    """Tell what code here knows of its item."""
    return {"worker": context.worker_id(), "priority": context.priority()}


@handler("forgets", process=True, concurrency=1, store=False)
def forgets() -> str:
    """Give what nobody keeps."""
    return "forgotten"
