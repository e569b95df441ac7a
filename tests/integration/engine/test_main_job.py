"""The main job: what a client pushes is worked and written back."""

import asyncio
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker import BusinessError, Client, Item, Retry, Skip, handler
from worker.item.metadata import taken_out
from worker.openiap.workitem import Workitem


class Invoice(BaseModel):
    number: str
    amount: float


class Booking(BaseModel):
    voucher: str


async def test_an_item_is_worked_and_its_result_is_merged(client, start) -> None:
    @handler("invoices")
    async def book(invoice: Invoice, item: Item) -> Booking:
        assert item.attempt == 1
        assert item.attempts_left == 2
        return Booking(voucher=f"V-{invoice.number}")

    await create_queue(client, "invoices")
    await client.push_workitem("invoices", {"number": "7", "amount": 1.5}, name="seven")
    await start(book)
    (done,) = await until_finished(client, "invoices")
    assert done["state"] == "successful"
    assert done["payload"] == {"number": "7", "amount": 1.5, "voucher": "V-7"}


async def test_a_sync_handler_runs_in_a_thread(client, start) -> None:
    @handler("q")
    def work(payload: dict) -> dict:
        return {"thread": threading.current_thread() is not threading.main_thread()}

    await create_queue(client, "q")
    await client.push_workitem("q", {"a": 1})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["payload"] == {"a": 1, "thread": True}


async def test_a_push_to_an_idle_worker_is_worked_long_before_the_poll(client, start) -> None:
    @handler("q")
    async def work(payload: dict) -> None: ...

    await create_queue(client, "q")
    await start(work, poll_interval=3600.0)
    await client.push_workitem("q", {})
    await until_finished(client, "q")


async def test_errors_end_as_the_rules_say(client, start) -> None:
    runs: Counter[str] = Counter()

    @handler("q")
    async def work(payload: dict, item: Item) -> dict | None:
        kind = payload["kind"]
        runs[kind] += 1
        if kind == "business":
            raise BusinessError("no such customer", code="UNKNOWN")
        if kind == "always":
            raise RuntimeError("boom")
        if kind == "once" and item.attempt == 1:
            raise RuntimeError("first time")
        if kind == "retry" and item.attempt == 1:
            raise Retry(reason="not yet")
        if kind == "skip":
            raise Skip()
        if kind == "result":
            return {1, object()}  # type: ignore[return-value]
        return {"ok": True}

    await create_queue(client, "q")
    kinds = ["fine", "business", "always", "once", "retry", "skip", "result"]
    for kind in kinds:
        await client.push_workitem("q", {"kind": kind}, name=kind)
    daemon = await start(work)
    done = {d["name"]: d for d in await until_finished(client, "q", len(kinds))}
    states = {name: (d["state"], d.get("errortype", "") or "") for name, d in done.items()}
    assert states["fine"] == ("successful", "")
    assert states["business"] == ("failed", "business")
    assert states["always"] == ("failed", "application")
    assert states["once"][0] == "successful"
    assert states["retry"][0] == "successful"
    assert states["skip"][0] == "successful"
    assert states["result"] == ("failed", "application")
    assert done["business"]["errormessage"] == "[UNKNOWN] no such customer"
    assert "RuntimeError: boom" in done["always"]["errormessage"]
    assert 'raise RuntimeError("boom")' in done["always"]["errorsource"]
    assert runs == {
        "fine": 1,
        "business": 1,
        "always": 3,
        "once": 2,
        "retry": 2,
        "skip": 1,
        "result": 1,
    }
    await until_idle(daemon)
    counts = daemon.counts()["q"]
    assert (counts.successful, counts.failed, counts.in_flight) == (4, 3, 0)


async def test_a_payload_that_does_not_validate_never_reaches_the_handler(client, start) -> None:
    called = []

    @handler("q")
    async def work(invoice: Invoice) -> None:
        called.append(invoice)

    await create_queue(client, "q")
    await client.push_workitem("q", {"number": "1", "amount": "a lot"})
    await client.push_workitem("q", [1, 2])
    await client.push_workitem("q", 5)
    await start(work)
    done = await until_finished(client, "q", 3)
    messages = sorted(d["errormessage"] for d in done)
    assert all(d["state"] == "failed" and d["errortype"] == "business" for d in done)
    assert any("amount: Input should be a valid number" in m for m in messages)
    assert any("number: Field required" in m for m in messages)
    assert not called


async def test_files_go_in_and_out(client, start, tmp_path: Path) -> None:
    source = tmp_path / "numbers.csv"
    source.write_text("1\n2\n")
    big = tmp_path / "big.bin"
    big.write_bytes(random.Random(1).randbytes(700_000))
    seen: dict[str, object] = {}

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        seen["names"] = sorted(item.files)
        seen["size"] = await item.files["big.bin"].size()
        seen["same"] = await item.files["big.bin"].read_bytes() == big.read_bytes()
        total = sum(int(line) for line in (await item.files["numbers.csv"].read_text()).split())
        await item.attach(f"total {total}".encode(), "summary.txt")
        made = (await item.files["numbers.csv"].path()).parent / "made.txt"
        made.write_text("made")
        await item.attach(made)
        seen["folder"] = made.parent
        return {"total": total}

    await create_queue(client, "q")
    await client.push_workitem("q", {}, files=[source, big])
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful", done
    assert seen["same"] is True
    assert seen["size"] == 700_000
    files = {f["filename"]: f["_id"] for f in done["files"]}
    assert sorted(files) == ["big.bin", "made.txt", "numbers.csv", "summary.txt"]
    fetched = await client.download(files["summary.txt"], tmp_path / "back")
    assert fetched.read_text() == "total 3"
    async with asyncio.timeout(60):
        while Path(str(seen["folder"])).exists():
            await asyncio.sleep(0.01)


async def test_a_hostile_file_name_never_leaves_the_items_folder(
    client, start, tmp_path: Path
) -> None:
    source = tmp_path / "x"
    source.write_text("evil")
    stored = await client.upload(source, "x")
    await create_queue(client, "q")
    item = await client.push_workitem("q", {})
    (document,) = await client.query("workitems", {"_id": item.id})
    document["files"] = [{"name": "../../x", "filename": "../../x", "_id": stored}]
    await client.update_one("workitems", document)
    where: list[Path] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        (file,) = item.files.values()
        where.append(await file.path())

    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful", done
    assert where[0].name == "x"
    assert ".." not in where[0].parts
    assert "spool" in where[0].parts


async def test_a_chain_sees_the_input_and_the_result(client, start) -> None:
    @handler("first")
    async def first(payload: dict) -> dict:
        return {"first": payload["n"] + 1}

    @handler("second")
    async def second(payload: dict) -> dict:
        return {"second": payload["first"] + 1}

    second_id = await create_queue(client, "second")
    await create_queue(client, "first", success_wiq="second", success_wiqid=second_id)
    await client.push_workitem("first", {"n": 1})
    await start(first, second)
    (done,) = await until_finished(client, "second")
    assert taken_out(done["payload"])[0] == {"n": 1, "first": 2, "second": 3}


async def test_never_more_items_than_slots_are_taken(client, start) -> None:
    running = peak = 0
    gate = asyncio.Event()

    @handler("q", concurrency=3)
    async def work(payload: dict) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == 3:
            gate.set()
        await asyncio.wait_for(gate.wait(), 60)
        await asyncio.sleep(0.01)
        running -= 1

    await create_queue(client, "q")
    for n in range(9):
        await client.push_workitem("q", {"n": n})
    await start(work)
    await asyncio.wait_for(gate.wait(), 60)
    processing = await client.query("workitems", {"wiq": "q", "state": "processing"})
    assert len(processing) <= 3
    await until_finished(client, "q", 9)
    assert peak == 3


async def test_an_item_deleted_while_it_runs_is_let_go(client, start) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    @handler("q")
    async def work(payload: dict) -> None:
        started.set()
        await asyncio.wait_for(gate.wait(), 60)

    await create_queue(client, "q")
    item = await client.push_workitem("q", {"n": 1})
    daemon = await start(work)
    await asyncio.wait_for(started.wait(), 60)
    await client.delete_workitem(item.id)
    gate.set()
    await client.push_workitem("q", {"n": 2})
    await until_finished(client, "q", 1)
    await until_idle(daemon)
    assert daemon.counts()["q"].gone == 1


async def test_a_handler_uses_the_client_it_asks_for(client, start) -> None:
    @handler("q")
    async def work(payload: dict, door: Client) -> dict:
        return {"count": await door.count("workitems", {"wiq": "q"})}

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["payload"] == {"count": 1}


async def test_once_works_what_is_there_and_ends(client, settings) -> None:
    from worker.engine.daemon import Daemon

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        if payload.get("fail") and item.attempt == 1:
            raise RuntimeError("once more")

    await create_queue(client, "q")
    for n in range(20):
        await client.push_workitem("q", {"n": n, "fail": n % 5 == 0})
    daemon = Daemon(settings.model_copy(update={"once": True}), [work])
    async with asyncio.timeout(100):
        assert await daemon.run(signals=False) == 0
    found = await client.query("workitems", {"wiq": "q"}, top=100)
    assert Counter(d["state"] for d in found) == {"successful": 20}


async def test_stopping_waits_for_what_runs_and_hands_back_the_rest(client, start) -> None:
    finish = asyncio.Event()
    at_work: list[str] = []

    @handler("q", concurrency=2)
    async def work(payload: dict, item: Item) -> None:
        at_work.append(item.name)
        if item.name == "short":
            await finish.wait()
        else:
            await asyncio.Event().wait()

    await create_queue(client, "q")
    await client.push_workitem("q", {}, name="short")
    await client.push_workitem("q", {}, name="long")
    daemon = await start(work, drain_timeout=60)
    async with asyncio.timeout(60):
        while len(at_work) < 2:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(daemon.stop())
        await asyncio.sleep(0.3)  # into the drain
        finish.set()
        await until_finished(client, "q")
        assert not stopping.done(), "it waits for the other one, too"
        daemon.hurry()  # the drain is over
        await stopping
    found = {d["name"]: d for d in await client.query("workitems", {"wiq": "q"})}
    assert found["short"]["state"] == "successful"
    assert found["long"]["state"] == "new"
    assert found["long"]["retries"] == 0


async def test_items_of_other_users_in_the_payload_stay_data(client, start) -> None:
    """Hostile keys in a payload are data and nothing else."""

    @handler("q")
    async def work(payload: dict) -> dict:
        return {"seen": payload["__class__"]}

    await create_queue(client, "q")
    await client.push_workitem("q", {"__class__": "x", "item": 1, "_id": "y"})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["payload"]["seen"] == "x"


def test_the_wire_item_has_no_surprising_defaults() -> None:
    assert Workitem().priority == 2


@pytest.mark.parametrize("count", [50])
async def test_many_items_are_each_worked_once(client, start, count: int) -> None:
    runs: Counter[int] = Counter()

    @handler("q", concurrency=16)
    async def work(payload: dict) -> None:
        runs[payload["n"]] += 1

    await create_queue(client, "q")
    for n in range(count):
        await client.push_workitem("q", {"n": n})
    await start(work)
    await until_finished(client, "q", count)
    assert runs == dict.fromkeys(range(count), 1)


async def test_without_a_state_directory_the_worker_works_and_is_not_ready(
    client, start, tmp_path: Path
) -> None:
    """A full or read-only disk costs safety and not the service."""

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        await item.attach(b"kept", "kept.txt")

    (tmp_path / "file").write_text("in the way")
    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(work, state_dir=tmp_path / "file" / "state", health_port=0)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    health = daemon.telemetry.health
    assert health is not None
    assert "no state directory" in health.reasons()["state"]
