"""Handlers with the payload's fields as parameters, and results that are no objects: through a real
server, in coroutines, threads and processes, along chains, and in ``worker_test``."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
    until_finished,
)
from worker import Item, ItemFailed, connect, handler
from worker.testing.worker_test import WorkerTest


@handler("booking")
async def book(key: str, payload: dict[str, Any]) -> str:
    return f"{key}-{payload['n']}"


@handler("numbers")
def numbers(upto: int, item: Item, start: int = 1) -> list[int] | None:
    return list(range(start, upto)) if upto else None


@handler("after")
async def after(result: str, key: str) -> dict[str, str]:
    return {"seen": f"{result} of {key}"}


@official_is_dear
async def test_fields_go_in_and_results_come_back_as_they_were(client, settings, start) -> None:
    for queue in ("booking", "numbers", "lengths"):
        await create_queue(client, queue, maxretries=1)
    await start(book, numbers, process_deeds.length)
    async with connect(settings) as producer:
        booked = await book.push({"key": "a", "payload": {"n": 7}})
        assert await booked.result(timeout="1m") == "a-7"
        assert await (await numbers.push({"upto": 4})).result("1m") == [1, 2, 3]
        assert await (await numbers.push({"upto": 0})).result("1m") is None
        assert await (await process_deeds.length.push({"text": "abc"})).result("1m") == 3
        by_name = await producer.push("booking", {"key": "a"})
        with pytest.raises(
            ItemFailed, match=r"test_payload_fields.book is invalid: payload: Field"
        ):
            await by_name.result("1m")
    (stored,) = await client.query("workitems", {"_id": booked.id})
    assert stored["payload"]["result"] == "a-7"
    assert stored["payload"]["key"] == "a"


async def test_the_next_queue_of_a_chain_sees_fields_and_result(client, settings, start) -> None:
    await create_queue(client, "after")
    await create_queue(client, "booking", success_wiq="after")
    await start(book, after)
    async with connect(settings):
        await (await book.push({"key": "a", "payload": {"n": 7}})).result("1m")
    (copy,) = await until_finished(client, "after")
    assert copy["payload"]["seen"] == "a-7 of a"


async def test_worker_test_shows_what_a_worker_would_store(tmp_path: Path) -> None:
    worker_test = WorkerTest(tmp_path)
    seen = await worker_test(book, {"key": "a", "payload": {"n": 1}})
    assert (seen.returned, seen.payload) == (
        "a-1",
        {"key": "a", "payload": {"n": 1}, "result": "a-1"},
    )
    refused = await worker_test(book, {"payload": {"n": 1}})
    assert not refused.called
    assert "key: Field required" in refused.outcome.message
