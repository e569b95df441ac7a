"""How handlers are tested: the page "Testing", run.

Everything here is what a project's own tests would hold; the fixtures come with the package.
"""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from worker import Backoff, BusinessError, Item, handler
from worker.testing import LocalOpenIAP, WorkerTest, assert_idempotent


class Invoice(BaseModel):
    number: str
    amount: Decimal


class Booking(BaseModel):
    voucher: str


class Books:
    """Where vouchers are kept; the application's lifespan would provide a real one."""

    def __init__(self) -> None:
        self.vouchers: dict[str, Decimal] = {}
        self.closed = 0

    async def book(self, number: str, amount: Decimal) -> None:
        if self.closed > 0:
            self.closed -= 1
            raise ConnectionError("the books are closed")
        self.vouchers[number] = amount


@handler("invoices", retry={ConnectionError: Backoff("1h", max="4h", jitter=False)})
async def book_invoice(invoice: Invoice, item: Item, books: Books) -> Booking:
    if invoice.amount <= 0:
        raise BusinessError("amount must be positive", code="BAD_AMOUNT")
    await item.progress(0.5, "booking")
    await books.book(invoice.number, invoice.amount)
    scan = await item.files["scan.pdf"].read_bytes()
    await item.attach(b"booked " + scan, "receipt.pdf")
    await item.push("letters", {"to": invoice.number})
    return Booking(voucher=f"V-{invoice.number}")


INVOICE = Invoice(number="4711", amount=Decimal(10))
FILES = {"scan.pdf": b"%PDF"}


async def test_an_invoice_is_booked(worker_test: WorkerTest) -> None:
    books = Books()
    run = await worker_test(book_invoice, INVOICE, files=FILES, resources={Books: books})

    assert run.outcome.kind == "successful"
    assert run.payload == {"number": "4711", "amount": "10", "voucher": "V-4711"}
    assert run.attachments["receipt.pdf"] == b"booked %PDF"
    assert [push.queue for push in run.pushes] == ["letters"]
    assert [progress.text for progress in run.progress] == ["booking"]
    assert books.vouchers == {"4711": 10}


async def test_a_wrong_amount_is_a_business_error(worker_test: WorkerTest) -> None:
    run = await worker_test(book_invoice, {"number": "1", "amount": 0}, resources={Books: Books()})
    assert (run.outcome.kind, run.outcome.message) == (
        "business",
        "[BAD_AMOUNT] amount must be positive",
    )


async def test_closed_books_are_tried_again_in_an_hour(worker_test: WorkerTest) -> None:
    books = Books()
    books.closed = 1
    run = await worker_test(book_invoice, INVOICE, resources={Books: books}, attempt=2)
    assert run.outcome.kind == "application"
    assert run.retry_after is not None
    assert 7190 < run.retry_after <= 7200  # twice the first hour


async def test_booking_twice_is_booking_once() -> None:
    books = Books()
    await assert_idempotent(
        book_invoice,
        INVOICE,
        files=FILES,
        resources={Books: books},
        state=lambda: books.vouchers,
    )


async def test_seven_hours_in_a_moment(local_openiap: LocalOpenIAP) -> None:
    books = Books()
    books.closed = 3  # 1 h, 2 h and 4 h later they open
    local_openiap.queue("invoices", maxretries=5)
    local_openiap.queue("letters")
    await local_openiap.start_worker(book_invoice, resources={Books: books})
    id = await local_openiap.push(book_invoice, INVOICE, files=FILES)
    item = await local_openiap.ended(id)
    assert (item.state, item.attempts) == ("successful", 4)
    assert local_openiap.clock.ahead == pytest.approx(7 * 3600, abs=60)
    assert local_openiap.file(id, "receipt.pdf") == b"booked %PDF"


@pytest.mark.dear
async def test_nothing_is_lost_when_the_server_is_restarted(local_openiap: LocalOpenIAP) -> None:
    @handler("numbers")
    async def double(payload: dict[str, Any]) -> dict[str, Any]:
        return {"n": payload["n"] * 2}

    await local_openiap.start_worker(double)
    local_openiap.lose_replies("updatedocument", 2)
    ids = [await local_openiap.push(double, {"n": n}) for n in range(10)]
    await local_openiap.cut_links()
    await local_openiap.restart()
    items = {item.id: item.payload["n"] for item in await local_openiap.settled()}
    assert [items[id] for id in ids] == [n * 2 for n in range(10)]
