"""Pushing from elsewhere: typed pushes, many at once, results, the blocking client."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
    until_finished,
)
from worker import (
    BusinessError,
    ContractError,
    Item,
    ItemFailed,
    NoProducer,
    ResultTimeout,
    connect,
    handler,
    in_namespace,
    sync,
)
from worker.context import namespace, priority
from worker.item.metadata import taken_out
from worker.openiap.errors import QueueNotFound


class Invoice(BaseModel):
    number: str
    amount: float = Field(gt=-1000)


class Booking(BaseModel):
    voucher: str


@handler("invoices")
async def book(invoice: Invoice, item: Item) -> Booking:
    if invoice.amount <= 0:
        raise BusinessError("amount must be positive", code="BAD_AMOUNT")
    return Booking(voucher=f"V-{invoice.number}")


@handler("scans", files=["*.pdf"])
async def scan(payload: dict, item: Item) -> dict:
    return {"size": await item.files["a.pdf"].size()}


async def test_a_push_is_waited_for_and_gives_what_the_handler_returned(
    client, settings, start
) -> None:
    await create_queue(client, "invoices")
    await start(book)
    async with connect(settings) as producer:
        pushed = await book.push(Invoice(number="7", amount=3), priority=1, name="seven")
        assert await pushed.result(timeout="1m") == Booking(voucher="V-7")
        refused = await book.push(Invoice(number="8", amount=-3))
        with pytest.raises(ItemFailed) as at:
            await refused.result(timeout=60)
        with pytest.raises(ContractError, match="amount: Input should be greater than"):
            await producer.push(book, {"number": "9", "amount": -5000})  # type: ignore[arg-type]
        by_handler = await producer.push(book, Invoice(number="9", amount=1), name="nine")
        assert await by_handler.result(timeout="1m") == Booking(voucher="V-9")
        by_name = await producer.push(queue="invoices", payload={"number": "10", "amount": 1})
        assert (await by_name.result(timeout="1m"))["voucher"] == "V-10"
        many = await producer.push_many(book, [Invoice(number=n, amount=1) for n in "ab"])
        assert [await one.result(timeout="1m") for one in many] == [
            Booking(voucher="V-a"),
            Booking(voucher="V-b"),
        ]
    assert (at.value.code, at.value.errortype) == ("BAD_AMOUNT", "business")
    assert at.value.message == "amount must be positive"
    (seven,) = await client.query("workitems", {"_id": pushed.id})
    assert (seven["name"], seven["priority"]) == ("seven", 1)


async def test_a_payload_that_does_not_fit_is_refused_before_it_is_pushed(
    client, settings, tmp_path: Path
) -> None:
    await create_queue(client, "invoices")
    await create_queue(client, "scans")
    async with connect(settings) as producer:
        with pytest.raises(ContractError) as at:
            await book.push({"number": "7", "amount": -5000})  # type: ignore[arg-type]
        assert str(at.value) == (
            f"The payload does not fit {book.name}:"
            " amount: Input should be greater than -1000 (given -5000)."
        )
        with pytest.raises(ContractError) as at:
            await scan.push({})
        assert str(at.value) == f"{scan.name} needs a file *.pdf; the item has: none."
        with pytest.raises(QueueNotFound):
            await producer.push("nowhere", {})
        with pytest.raises(ValueError, match="give delay or at, not both"):
            await book.push(Invoice(number="1", amount=1), delay=1, at=datetime.now(UTC))
    assert await client.count("workitems", {"wiq": {"$in": ["invoices", "scans"]}}) == 0


async def test_an_item_without_its_file_is_a_business_error(client, start, tmp_path) -> None:
    await create_queue(client, "scans")
    await client.push_workitem("scans", {}, name="without")
    path = tmp_path / "a.pdf"
    path.write_bytes(b"12345")
    async with connect(start.settings):
        pushed = await scan.push({}, files=[path])
        await start(scan)
        assert (await pushed.result(timeout=60))["size"] == 5
    done = {d["name"]: d for d in await until_finished(client, "scans", 2)}
    assert done["without"]["errortype"] == "business"
    assert done["without"]["errormessage"] == f"Item of {scan.name} has no file *.pdf"


async def test_many_are_pushed_in_order_and_can_be_delayed(client, settings) -> None:
    await create_queue(client, "invoices")
    invoices = [Invoice(number=str(n), amount=n + 1) for n in range(1200)]
    async with connect(settings):
        pushed = await book.push_many(invoices, delay="1h", priority=3)
    assert len({one.id for one in pushed}) == 1200
    found = await client.query("workitems", {"wiq": "invoices"}, top=2000)
    by_id = {d["_id"]: d for d in found}
    assert [by_id[one.id]["payload"]["number"] for one in pushed] == [str(n) for n in range(1200)]
    assert {d["priority"] for d in found} == {3}
    due = datetime.fromisoformat(by_id[pushed[0].id]["nextrun"].replace("Z", "+00:00"))
    assert timedelta(minutes=50) < due - datetime.now(UTC) < timedelta(minutes=70)


async def test_a_result_that_does_not_come_says_so(client, settings) -> None:
    await create_queue(client, "invoices")
    async with connect(settings) as producer:
        pushed = await producer.push("invoices", {"number": "1", "amount": 1})
        with pytest.raises(ResultTimeout) as at:
            await pushed.result(timeout="200ms")
        with pytest.raises(ResultTimeout) as gone:
            await producer.pushed("mistyped").result(timeout="50ms")
        with pytest.raises(ValueError, match="timeout: 'soon' is not a duration"):
            await pushed.result(timeout="soon")
    assert str(at.value) == f"item {pushed.id} of invoices has no outcome after 200ms (state new)"
    assert str(gone.value).startswith(
        "item mistyped has no outcome after 50ms: it was deleted, was"
    )


async def test_nobody_to_push_with_is_said(client) -> None:
    with pytest.raises(NoProducer) as at:
        await book.push(Invoice(number="1", amount=1))
    assert str(at.value).startswith("Nobody here can push: stand inside `async with worker.connect")


async def test_a_push_in_a_handler_goes_over_the_worker_and_inherits(client, start) -> None:
    seen: dict[str, object] = {}

    @handler("parents")
    async def parent(payload: dict) -> dict:
        first = await child.push({"n": 1})
        second = await asyncio.to_thread(lambda: (namespace(), priority()))
        return {"child": first.id, "seen": list(second)}

    @handler("children")
    def child(payload: dict, item: Item) -> dict:
        seen[str(payload["n"])] = (namespace(), priority(), dict(payload))
        if payload["n"] < 3:
            item.wait(child.push({"n": payload["n"] + 1}))
        return {}

    await create_queue(client, "parents")
    await create_queue(client, "children")
    await start(parent, child)
    async with connect(start.settings):
        with in_namespace("acme"):
            pushed = await parent.push({}, priority=1)
        result = await pushed.result(timeout=60)
    await until_finished(client, "children", 3)
    assert result["seen"] == ["acme", 1]
    assert seen == {str(n): ("acme", 1, {"n": n}) for n in (1, 2, 3)}
    (stored,) = await client.query("workitems", {"_id": result["child"]})
    assert stored["payload"]["openiap_worker"]["namespace"] == "acme"


async def test_a_handler_runs_here_and_now(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"123")
    assert await book.run(Invoice(number="9", amount=1)) == Booking(voucher="V-9")
    assert await scan.run({}, files={"a.pdf": path}) == {"size": 3}
    with pytest.raises(BusinessError, match="positive"):
        await book.run(Invoice(number="9", amount=0))


async def test_blocking_code_pushes_and_waits(client, settings, start) -> None:
    await create_queue(client, "invoices")
    await start(book)

    def script() -> tuple[Booking, list[str]]:
        with sync.connect(settings) as openiap:
            one = openiap.push(book, Invoice(number="1", amount=1))
            many = openiap.push_many(book, [Invoice(number=str(n), amount=1) for n in (2, 3)])
            openiap.push("invoices", {"number": "4", "amount": 1})
            return one.result(timeout=60), [p.result(timeout=60).voucher for p in many]

    assert await asyncio.to_thread(script) == (Booking(voucher="V-1"), ["V-2", "V-3"])


async def test_blocking_code_is_told_of_wrong_credentials_and_of_a_closed_client(settings) -> None:
    from pydantic import SecretStr

    from worker.openiap.errors import AccessDenied

    wrong = settings.model_copy(update={"password": SecretStr("wrong")})

    def script() -> None:
        with pytest.raises(AccessDenied), sync.connect(wrong):
            pass
        with pytest.raises(sync.Closed, match="not connected"):
            sync.connect(settings).push("invoices", {})

    await asyncio.to_thread(script)


@official_is_dear
async def test_process_handlers_push_once_over_their_pipe(client, start) -> None:
    for queue in ("once-process", "sums", "follow"):
        await create_queue(client, queue)
    await start(process_deeds.pushes_once, namespace="test")
    for number in range(2):
        await client.push_workitem("once-process", {})
        done = await until_finished(client, "once-process", number + 1)
    assert {(d["payload"]["same"], d["payload"]["existing"]) for d in done} == {(True, True)}
    assert {d["payload"]["updated"] for d in done} == {True}
    (waiting,) = await client.query("workitems", {"wiq": "sums"})
    assert taken_out(waiting["payload"])[0] == {"a": 3, "b": 4}
    async with asyncio.timeout(60):
        while not await client.count("workitems", {"wiq": "follow"}):
            await asyncio.sleep(0.02)
    assert await client.count("workitems", {"wiq": "follow"}) == 1


async def test_a_handler_s_pushes_are_unique_in_the_worker_s_namespace(client, start) -> None:
    @handler("parents")
    async def parent(payload: dict, item: Item) -> dict:
        pushed = await child.push({"n": payload["n"]}, unique="k")
        await item.push("later", {"n": payload["n"]}, unique="k")
        return {"child": pushed.id, "existing": pushed.existing}

    @handler("children")
    async def child(payload: dict) -> None: ...

    for queue in ("parents", "children", "later"):
        await create_queue(client, queue)
    await start(parent, namespace="test")
    for n in range(3):
        await client.push_workitem("parents", {"n": n})
    done = await until_finished(client, "parents", 3)
    assert len({d["payload"]["child"] for d in done}) == 1
    assert [d["payload"]["existing"] for d in done].count(False) == 1
    async with connect(start.settings.model_copy(update={"namespace": "test"})):
        again = await child.push({"n": 9}, unique="k")
    assert again.existing
    async with connect(start.settings):
        other = await child.push({"n": 9}, unique="k")
    assert not other.existing
    async with asyncio.timeout(60):
        while not await client.count("workitems", {"wiq": "later"}):
            await asyncio.sleep(0.02)
    assert await client.count("workitems", {"wiq": "later"}) == 1


async def test_blocking_code_pushes_once(client, settings) -> None:
    await create_queue(client, "invoices")

    def script() -> tuple[sync.Pushed[Booking], sync.Pushed[Booking]]:
        with sync.connect(settings) as openiap:
            first = openiap.push(book, Invoice(number="1", amount=1), unique="1")
            return first, openiap.push(book, Invoice(number="1", amount=2), unique="1")

    first, second = await asyncio.to_thread(script)
    assert (first.id, first.existing, second.existing) == (second.id, False, True)
