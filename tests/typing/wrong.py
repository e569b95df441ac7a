"""Calls that the type checkers must refuse: each line that ends in ``# wrong``, and no other."""

from typing import Literal, TypedDict

from pydantic import BaseModel

import worker
from worker import Item, Producer, handler, sync
from worker.testing import WorkerTest


class Invoice(BaseModel):
    number: str


class Booking(BaseModel):
    voucher: str


class Row(TypedDict):
    number: int


@handler("invoices")
async def book(invoice: Invoice, item: Item) -> Booking:
    return Booking(voucher=invoice.number)


@handler("rows")
def rows(row: Row) -> None: ...


worker.hendler  # wrong


@handler("other", concurency=3)  # wrong
async def misspelt(invoice: Invoice) -> None: ...


async def calls(item: Item, producer: Producer) -> None:
    await book.push(Booking(voucher="1"))  # wrong
    await book.push({"number": "1"})  # wrong
    await book.push(Invoice(number="1"), prio=1)  # wrong
    await book.push(Invoice(number="1"), priority="high")  # wrong
    await book.push(Invoice(number="1"), unique=1)  # wrong
    await book.push_many([Invoice(number="1")], unique="1")  # wrong
    await book.push()  # wrong
    await book.push_many(Invoice(number="1"))  # wrong
    await rows.push({"number": "one"})  # wrong
    await book.run(Booking(voucher="1"))  # wrong
    result = await (await book.push(Invoice(number="1"))).result()
    result.vouchr  # wrong
    await book(Booking(voucher="1"), item)  # wrong
    await book(Invoice(number="1"))  # wrong
    await item.push(book, Booking(voucher="1"))  # wrong
    await item.push(7, {})  # wrong
    await item.push(book, Invoice(number="1"), files=["a.pdf"])  # wrong
    await producer.push("anywhere", {}, prio=1)  # wrong
    await producer.push_many("anywhere", [{}], unique="1")  # wrong
    await producer.push(book, Booking(voucher="1"))  # wrong
    await producer.push(7, {})  # wrong
    await producer.push(book, Invoice(number="1"), prio=1)  # wrong
    await producer.push(book, Invoice(number="1"), via=producer)  # wrong
    await producer.push_many(book, [{"number": "1"}])  # wrong
    await producer.push_many(book, [Invoice(number="1")], unique="1")  # wrong
    (await (await producer.push(book, Invoice(number="1"))).result()).vouchr  # wrong


async def tests(worker_test: WorkerTest) -> None:
    run = await worker_test(book, Invoice(number="1"))
    kind: Literal["successful", "failed"] = run.outcome.kind  # wrong
    run.outcom  # wrong
    run.outcome.cod  # wrong
    del kind


async def taken(producer: Producer) -> None:
    async with producer.take("invoices", wait=None) as item:
        item.push("archive", payload=1)  # wrong
        await item.push(book, Booking(voucher="1"))  # wrong
        item.fail(3)  # wrong
        item.payload_as(Row).numbr  # wrong
    with producer.take("invoices"):  # wrong
        pass


def script() -> None:
    with sync.connect() as openiap:
        openiap.push(book, Booking(voucher="1"))  # wrong
        openiap.push(book, Invoice(number="1")).result().vouchr  # wrong
        openiap.push(book, Invoice(number="1"), via=None)  # wrong
