"""A bad item hurts only itself."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import START_DEADLINE
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import PATIENT, Stage

EVIDENCE = {
    "loop": "4s",
    "memory": "256",
    "crash": "SIGSEGV",
    "exit": "3",
}
QUEUES = {"loop": ["loop"], "bad": ["memory", "crash", "exit"]}


async def test_bad_items_fail_with_the_evidence_and_the_worker_goes_on(tmp_path: Path) -> None:
    async with Stage(tmp_path) as stage, stage.outsider() as outsider:
        worker = stage.worker("a", "loop", "bad", **PATIENT)
        documents = []
        for queue in QUEUES:
            await outsider.queue(queue, maxretries=1)
        await worker.started()
        for queue, kinds in QUEUES.items():
            payloads = [{"how": how} for kind in kinds for how in (kind, "well")]
            pushed = await outsider.push(queue, payloads)
            books = await stage.settled(queue, pushed)
            assert books.runs == (1,) * len(pushed)
            found = {one["_id"]: one for one in await outsider.items(queue)}
            documents += [(found[item], how) for item, how in zip(pushed, payloads, strict=True)]
        assert worker.alive
    rows: list[list[object]] = []
    for document, payload in documents:
        if payload["how"] == "well":
            assert document["state"] == "successful"
            continue
        assert document["state"] == "failed"
        assert EVIDENCE[payload["how"]] in document["errormessage"], document["errormessage"]
        rows.append([payload["how"], document["state"], document["errormessage"].splitlines()[0]])
    write_section("Bad items", table(["what it does", "state", "error on the item"], rows))


@pytest.mark.dear
@both_clients
async def test_an_item_in_flight_in_three_worker_deaths_is_failed(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=100)
        (deadly,) = await outsider.push("items", [{"deadly": True}])
        worker = stage.worker("a", "items", max_deaths=3)
        for _ in range(3):
            await worker.start()
            assert await worker.ended(START_DEADLINE) == -9
        await worker.started()
        books = await stage.settled("items", [deadly])
        (document,) = await outsider.items("items")
        well = await outsider.push("items", [{}])
        assert (await stage.settled("items", well)).successful == 1
        await asyncio.sleep(0)
        assert worker.alive
    assert document["state"] == "failed"
    assert "3 worker deaths" in document["errormessage"]
    assert books.runs == (3,)
