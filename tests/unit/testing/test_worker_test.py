"""``worker_test`` shows what the worker would have done, without a server."""

import asyncio
import threading
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from worker import (
    ApplicationError,
    Backoff,
    BusinessError,
    Client,
    DeadLetter,
    Item,
    Never,
    Retry,
    Skip,
    handler,
)
from worker.errors import HandlerError
from worker.openiap.errors import FileTransferError
from worker.testing import WorkerTest


class Invoice(BaseModel):
    number: str
    amount: Decimal
    due: date | None = None


class Booking(BaseModel):
    voucher: str


@dataclass
class Order:
    id: int


class Ledger:
    def __init__(self) -> None:
        self.booked: list[str] = []


@handler("invoices", timeout="5m")
async def book(invoice: Invoice, item: Item) -> Booking:
    item.log.info("booking", number=invoice.number)
    if invoice.amount <= 0:
        raise BusinessError("amount must be positive", code="BAD_AMOUNT")
    return Booking(voucher=f"V-{invoice.number}-{item.attempt}")


@handler("orders", retry={TimeoutError: Backoff("1h", jitter=False), KeyError: Never})
def ship(order: Order, item: Item) -> dict[str, Any]:
    match order.id:
        case 1:
            raise TimeoutError("the carrier does not answer")
        case 2:
            raise KeyError("street")
        case 3:
            raise Retry(after="10m", reason="the stock is counted")
        case 4:
            raise Skip
        case 5:
            raise ApplicationError("broken", code="E5")
    return {"shipped": order.id, "left": item.attempts_left}


async def test_the_outcome_of_a_handler_that_returns(worker_test: WorkerTest) -> None:
    run = await worker_test(book, Invoice(number="4711", amount=Decimal("9.50")))
    assert run.outcome.kind == "successful"
    assert run.payload == {
        "number": "4711",
        "amount": "9.50",
        "due": None,
        "voucher": "V-4711-1",
    }
    assert run.returned == Booking(voucher="V-4711-1")
    assert run.called
    assert run.error is None
    (line,) = run.log
    assert line.level == "info"
    assert "booking" in line.text
    assert "number=4711" in line.text


async def test_a_payload_that_does_not_validate_never_reaches_the_handler(
    worker_test: WorkerTest,
) -> None:
    run = await worker_test(book, {"number": "4711", "amount": "much"})
    assert run.outcome.kind == "business"
    assert "amount" in run.outcome.message
    assert not run.called


async def test_errors_become_what_the_worker_makes_of_them(worker_test: WorkerTest) -> None:
    kinds = [(await worker_test(ship, Order(n))).outcome.kind for n in range(1, 7)]
    assert kinds == [
        "application",
        "failed",
        "application",
        "successful",
        "application",
        "successful",
    ]
    business = await worker_test(book, {"number": "1", "amount": 0})
    assert business.outcome.kind == "business"
    assert business.outcome.message == "[BAD_AMOUNT] amount must be positive"
    assert business.outcome.code == "BAD_AMOUNT"
    assert (await worker_test(ship, Order(5))).outcome.code == "E5"
    assert (await worker_test(ship, Order(4))).outcome.code == ""
    assert isinstance(business.error, BusinessError)


async def test_a_dead_letter_can_be_given(worker_test: WorkerTest) -> None:
    @handler("failed-invoices")
    async def sort(payload: dict[str, int], item: Item) -> dict[str, str]:
        assert item.dead_letter is not None
        assert "openiap_worker" not in item.payload
        return {"because": item.dead_letter.code, "of": item.dead_letter.id}

    letter = DeadLetter("a", "invoices", 3, "business", "no number", "NO_VAT", "")
    run = await worker_test(sort, {"n": 1}, origin=letter)
    assert run.payload == {"n": 1, "because": "NO_VAT", "of": "a"}


async def test_the_time_of_a_retry_is_shown(worker_test: WorkerTest) -> None:
    first = await worker_test(ship, Order(1))
    third = await worker_test(ship, Order(1), attempt=3)
    asked = await worker_test(ship, Order(3))
    assert first.retry_after == pytest.approx(3600, abs=30)
    assert third.retry_after == pytest.approx(3600, abs=30)  # Backoff's own default maximum
    assert asked.retry_after == pytest.approx(600, abs=30)
    assert (await worker_test(ship, Order(6))).retry_after is None


async def test_the_attempt_and_those_left_are_the_items(worker_test: WorkerTest) -> None:
    run = await worker_test(ship, Order(9), attempt=2, maxretries=5)
    assert run.payload == {"id": 9, "shipped": 9, "left": 3}
    assert (await worker_test(book, {"number": "1", "amount": 1}, attempt=4)).payload == {
        "number": "1",
        "amount": 1,
        "voucher": "V-1-4",
    }


async def test_files_come_in_and_attachments_go_out(
    worker_test: WorkerTest, tmp_path: Path
) -> None:
    @handler("scans")
    async def read(item: Item) -> dict[str, int]:
        scan, list_ = item.files["scan.pdf"], item.files["list.csv"]
        path = await scan.path()
        size = await scan.size()
        path.write_bytes(b"spoiled")
        await item.attach((await list_.read_text()).upper().encode(), "list.txt")
        await item.attach(path, "copy.pdf")
        return {"size": size}

    original = tmp_path / "original.pdf"
    original.write_bytes(b"%PDF")
    run = await worker_test(read, files={"scan.pdf": original, "list.csv": b"a;b"})
    assert run.payload == {"size": 4}
    assert dict(run.attachments) == {"list.txt": b"A;B", "copy.pdf": b"spoiled"}
    assert run.attachments.path("list.txt").read_bytes() == b"A;B"
    assert original.read_bytes() == b"%PDF"  # a handler gets a copy
    with pytest.raises(KeyError, match=r"'x' was not attached; attached: copy.pdf, list.txt"):
        run.attachments.path("x")


async def test_attachments_of_a_handler_that_fails_are_not_stored(worker_test: WorkerTest) -> None:
    @handler("halves")
    async def half(item: Item) -> None:
        await item.attach(b"1", "half.txt")
        raise BusinessError("no")

    assert dict((await worker_test(half)).attachments) == {}


async def test_resources_are_given_by_type(worker_test: WorkerTest) -> None:
    @handler("books")
    async def write(note: dict[str, str], ledger: Ledger) -> None:
        ledger.booked.append(note["text"])

    mine, other = Ledger(), Ledger()
    worker_test.resources[Ledger] = mine
    await worker_test(write, {"text": "a"})
    await worker_test(write, {"text": "b"}, resources={Ledger: other})
    assert (mine.booked, other.booked) == (["a"], ["b"])


async def test_a_client_is_refused_by_name_unless_one_is_given(worker_test: WorkerTest) -> None:
    @handler("counts")
    async def count(client: Client) -> dict[str, int]:
        client.info("this is fine")
        return {"found": await client.count("entities")}

    class Counting:
        def info(self, *args: object) -> None: ...

        async def count(self, collection: str) -> int:
            return len(collection)

    run = await worker_test(count)
    assert run.outcome.message == (
        "NoServerError: client.count: worker_test has no server; give it a client,"
        " worker_test(..., client=local_openiap.client) or one of your own"
    )
    given = await worker_test(count, client=Counting())  # type: ignore[arg-type]
    assert given.payload == {"found": 8}


async def test_a_timeout_is_the_handlers_own(worker_test: WorkerTest) -> None:
    @handler("slow", timeout="50ms")
    async def slow() -> None:
        await asyncio.sleep(600)

    run = await worker_test(slow)
    assert run.outcome.kind == "application"
    assert "50ms" in run.outcome.message


async def test_a_stop_hands_the_item_back(worker_test: WorkerTest) -> None:
    @handler("long")
    def long(item: Item) -> None:
        end = time.monotonic() + 60
        while not item.stopping and time.monotonic() < end:
            time.sleep(0.01)
        raise Retry(reason="stopped")

    @handler("longer")
    async def longer() -> None:
        await asyncio.sleep(600)

    assert (await worker_test(longer, stop_after="50ms")).outcome.kind == "released"
    assert (await worker_test(long, stop_after="50ms")).outcome.kind in ("released", "application")


async def test_a_result_that_is_no_json_object_fails(worker_test: WorkerTest) -> None:
    @handler("odd")
    async def odd() -> object:
        return {"when": object()}

    run = await worker_test(odd)
    assert run.outcome.kind == "failed"
    assert "object has no JSON form" in run.outcome.message


async def test_wrong_use_is_refused_by_name(worker_test: WorkerTest) -> None:
    async def plain() -> None: ...

    @handler("q")
    async def ledger(ledger: Ledger) -> None: ...

    with pytest.raises(TypeError, match=r"worker_test: .*plain is no handler; mark it with @h"):
        await worker_test(plain)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the payload is a list; allowed: a dict, a pydantic model"):
        await worker_test(book, [1])
    with pytest.raises(TypeError, match="the payload has no JSON form: "):
        await worker_test(book, {"x": object()})
    with pytest.raises(ValueError, match="worker_test: attempt = 0; allowed: 1 and more"):
        await worker_test(book, attempt=0)
    with pytest.raises(FileNotFoundError, match=r"worker_test: file a\.txt: there is no file /no"):
        await worker_test(book, files={"a.txt": "/nowhere"})
    with pytest.raises(FileTransferError, match="is not safe"):
        await worker_test(book, files={"..": b""})
    with pytest.raises(HandlerError, match=r"parameter ledger \(of type Ledger\) cannot be filled"):
        await worker_test(ledger)


async def test_a_cancelled_test_ends_its_handler(worker_test: WorkerTest) -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    @handler("endless")
    async def endless() -> None:
        running.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    test = asyncio.create_task(worker_test(endless))
    await asyncio.wait_for(running.wait(), 60)
    test.cancel()
    with pytest.raises(asyncio.CancelledError):
        await test
    await asyncio.wait_for(ended.wait(), 60)


async def test_the_payload_is_shown_as_it_would_be_stored(worker_test: WorkerTest) -> None:
    @handler("sums")
    async def add(payload: dict[str, int]) -> dict[str, object]:
        return {"sum": Decimal("1.50"), "on": date(2026, 11, 25), "parts": (1, 2)}

    run = await worker_test(add, {})
    assert run.outcome.payload == {"sum": "1.50", "on": "2026-11-25", "parts": [1, 2]}
    assert run.returned == {"sum": Decimal("1.50"), "on": date(2026, 11, 25), "parts": (1, 2)}


async def test_steps_and_sleeps_are_seen_and_given(worker_test: WorkerTest) -> None:
    runs: list[str] = []

    async def charge(invoice: Invoice) -> Booking:
        runs.append("charge")
        return Booking(voucher=f"V-{invoice.number}")

    @handler("invoices")
    async def book(invoice: Invoice, item: Item) -> Booking:
        booking = await item.step("charge", charge, invoice)
        await item.sleep("3d")
        await item.step("note", lambda: runs.append("note"))
        return booking

    payload = {"number": "1", "amount": "5"}
    first = await worker_test(book, payload)
    assert first.outcome.kind == "released"
    assert first.outcome.message.startswith("sleeps until ")
    assert first.sleeps_until is not None
    assert dict(first.steps) == {"charge": {"voucher": "V-1"}}
    assert runs == ["charge"]

    second = await worker_test(book, payload, steps=first.steps, slept=True)
    assert second.returned == Booking(voucher="V-1")
    assert (second.sleeps_until, runs) == (None, ["charge", "note"])
    assert list(second.steps) == ["charge", "note"]


async def test_what_would_be_lost_in_a_step_is_refused(worker_test: WorkerTest) -> None:
    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        function = {
            "push": lambda: item.push("next", {}),
            "attach": lambda: item.attach(b"x", "x"),
            "sleep": lambda: item.sleep("1h"),
            "wait": lambda: item.wait_for("scan"),
        }[payload["how"]]
        await item.step("outer", function)

    for how, said in (
        ("push", "item.push inside of step 'outer' would be lost"),
        ("attach", "item.attach inside of step 'outer' would be lost"),
        ("sleep", "Step 'outer' sleeps; sleep outside of steps"),
        ("wait", "Step 'outer' waits for signal 'scan'; wait outside of steps"),
    ):
        run = await worker_test(book, {"how": how})
        assert run.outcome.kind == "failed"
        assert said in run.outcome.message


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (b"bytes", "The result of step 'work' cannot be kept: "),
        (object(), "The result of step 'work' cannot be kept: "),
        (float("nan"), "nan has no JSON form"),
        ("x" * 1_100_000, "Store large results as a file or document"),
    ],
)
async def test_a_result_that_cannot_be_kept_ends_the_item(
    worker_test: WorkerTest, result: object, said: str
) -> None:
    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        await item.step("work", lambda: result)

    run = await worker_test(book, {})
    assert run.outcome.kind == "failed"
    assert said in run.outcome.message


async def test_a_type_that_has_no_json_form_is_refused_before_the_step_runs(
    worker_test: WorkerTest,
) -> None:
    runs: list[int] = []

    class Connection:
        pass

    def connect() -> Connection:
        runs.append(1)
        return Connection()

    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        await item.step("connect", connect)

    run = await worker_test(book, {})
    assert "returns Connection, which has no JSON form" in run.outcome.message
    assert (run.outcome.kind, runs) == ("failed", [])


async def test_a_type_can_be_named(worker_test: WorkerTest) -> None:
    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        found = await item.step("work", lambda: {"voucher": "V-1"}, type=Booking)
        assert found == Booking(voucher="V-1")

    run = await worker_test(book, {})
    assert run.error is None


async def test_a_model_that_nothing_announces_is_refused_and_kept(worker_test: WorkerTest) -> None:
    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        await item.step("work", lambda: [Booking(voucher="V-1")])

    run = await worker_test(book, {})
    assert run.outcome.kind == "failed"
    assert "<lambda> returned a Booking and does not say so" in run.outcome.message
    assert dict(run.steps) == {"work": [{"voucher": "V-1"}]}


async def test_what_a_thread_does_for_a_step_is_kept_where_the_worker_stops_meanwhile(
    worker_test: WorkerTest,
) -> None:
    began, go = threading.Event(), threading.Event()

    def charge() -> str:
        began.set()
        go.wait(60)
        return "V-1"

    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        asyncio.get_running_loop().call_later(0.3, go.set)  # the stop comes before
        await item.step("charge", charge)
        await item.step("never", charge)

    run = await worker_test(book, {}, stop_after=0.1)
    assert began.is_set()
    assert (run.outcome.kind, dict(run.steps)) == ("released", {"charge": "V-1"})


async def test_a_thread_that_takes_longer_than_its_step_may_is_not_waited_for(
    worker_test: WorkerTest,
) -> None:
    go = threading.Event()

    @handler("invoices")
    async def book(payload: dict[str, Any], item: Item) -> None:
        await item.step("slow", lambda: go.wait(60), timeout="20ms")

    run = await worker_test(book, {})
    go.set()
    assert "Step 'slow' took longer than 20ms" in run.outcome.message
    assert dict(run.steps) == {}
