"""What the type checkers must infer; ``acceptance/examples/test_typed.py`` has them read it."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, TypedDict, assert_type

from pydantic import BaseModel

from worker import (
    Client,
    Contracts,
    Event,
    Item,
    Origin,
    Producer,
    Pushed,
    Router,
    State,
    StreamEvent,
    TakenItem,
    batch,
    cached,
    connect,
    context,
    contracts_of,
    handler,
    on_error,
    on_message,
    sync,
)
from worker.app.declared import DeclaredHandler
from worker.openiap.errors import OpenIAPError
from worker.testing import Rehearsed, WorkerTest


class Invoice(BaseModel):
    number: str


class Booking(BaseModel):
    voucher: str


class Row(TypedDict):
    number: int


router = Router(prefix="billing-", concurrency=4)


@handler("invoices", concurrency=2)
async def book(invoice: Invoice, item: Item, client: Client) -> Booking:
    return Booking(voucher=invoice.number)


@handler("sync")
def book_in_thread(invoice: Invoice) -> Booking:
    return Booking(voucher=invoice.number)


@router.handler("rows")
async def row(row: Row) -> None: ...


@handler("by-fields")
async def by_fields(key: str, number: int) -> None: ...


@handler("dicts")
async def fields(payload: dict[str, Any]) -> dict[str, int]:
    return {}


@handler("item-first")
async def item_first(item: Item, invoice: Invoice) -> Booking:
    return Booking(voucher=invoice.number)


@handler("item-only")
async def item_only(item: Item) -> None: ...


@cached(ttl="5m")
async def rate_of(currency: str) -> float:
    return 1.0


@on_message(topics=["orders.*.paid"])
async def paid(order: Invoice, state: State) -> None: ...


@router.on_message("letters")
async def letter(order: Invoice) -> None: ...


@router.on_change("invoices", paths=["$"])
def changed(invoice: Invoice) -> None: ...


@on_error
async def trouble(event: Event) -> None:
    assert_type(event.message, str)


router.include(paid, book, letter)


async def shared(state: State, producer: Producer, client: Client, tests: WorkerTest) -> None:
    assert_type(await rate_of("EUR"), float)
    assert_type(await state.values.set("k", 1, nx=True), bool)
    assert_type((await state.values.get("k")).ttl, float | None)
    assert_type(await state.values.incr("n"), int)
    assert_type((await state.values.scan()).keys, tuple[str, ...])
    event = await producer.state.stream("r").publish("paid", {"n": 1})
    assert_type(event, StreamEvent)
    assert_type((await state.stream("r").history()).events, tuple[StreamEvent, ...])
    subscription = await state.stream("r").subscribe(lambda event: None)
    assert_type(subscription.room, str)
    assert_type(await producer.publish("orders.1.paid", {}), str)
    assert_type(await batch([client.count("a")]), list[int | OpenIAPError])
    assert_type((await tests.message(paid, {})).error, Exception | None)


def shared_in_blocking_code(openiap: sync.OpenIAP) -> None:
    assert_type(openiap.state.values.delete("k"), int)
    assert_type(openiap.state.stream("r").publish("paid").offset, int)
    assert_type(openiap.publish("orders.1.paid", {}), str)
    with openiap.state.lock("l") as held:
        assert_type(held.number, int)


async def taken(producer: Producer, openiap: sync.OpenIAP) -> None:
    async with producer.take("invoices", wait="30s", timeout=None) as item:
        assert_type(item, TakenItem)
        assert_type(item.payload_as(Invoice), Invoice)
        assert_type(item.state, Literal["", "successful", "failed", "new", "lost"])
        assert_type(await item.files["a"].path(), Path)
        assert_type(await item.push(book, Invoice(number="1"), delay="1h"), str)
        assert_type(await item.push(by_fields, {"key": "a"}), str)
        item.fail(ValueError("broken"))
    async for one in producer.items("invoices", wait=None):
        assert_type(one, TakenItem)
        async with one as same:
            assert_type(same, TakenItem)
    with openiap.take("invoices") as blocking:
        assert_type(blocking, sync.TakenItem)
        assert_type(blocking.files["a"].path(), Path)
        assert_type(blocking.push("archive", {"a": 1}), str)
        assert_type(blocking.push(by_fields, {"key": "a"}), str)
    for each in openiap.items("invoices"):
        assert_type(each, sync.TakenItem)
    with sync.connect() as connected:
        assert_type(connected, sync.OpenIAP)


async def calls(item: Item, client: Client, producer: Producer) -> None:
    assert_type(await book(Invoice(number="1"), item, client), Booking)
    assert_type(await book(invoice=Invoice(number="1"), item=item, client=client), Booking)
    assert_type(book_in_thread(Invoice(number="1")), Booking)

    pushed = await book.push(Invoice(number="1"), priority=1, delay="5m")
    assert_type(pushed, Pushed[Booking])
    assert_type(await pushed.result(timeout="1m"), Booking)
    assert_type(await book_in_thread.push(Invoice(number="1")), Pushed[Booking])
    assert_type(await book.push_many([Invoice(number="1")]), list[Pushed[Booking]])
    assert_type(await book.run(Invoice(number="1")), Booking)
    assert_type(await book_in_thread.run(Invoice(number="1")), Booking)
    assert_type(await row.push({"number": 1}), Pushed[None])
    assert_type(await (await fields.push({"a": 1})).result(), dict[str, int])
    assert_type(await item_first.push(Invoice(number="1")), Pushed[Booking])
    assert_type(await item_only.push({"a": 1}), Pushed[None])

    unique = await book.push(Invoice(number="1"), unique="1", unique_for="24h", unique_update=True)
    assert_type(unique, Pushed[Booking])
    assert_type(unique.existing, bool)
    assert_type(unique.updated, bool)

    await item.push(book, Invoice(number="1"), delay="1h")
    await item.push(book, Invoice(number="1"), unique="1", unique_for=60)
    await item.push("anywhere", {"a": 1})

    anything = await producer.push("anywhere", {"a": 1}, delay="5m", unique="1")
    assert_type(anything, Pushed[dict[str, Any]])
    assert_type(await book.push(Invoice(number="1"), via=producer), Pushed[Booking])
    assert_type(await producer.push(book, Invoice(number="1"), unique="1"), Pushed[Booking])
    assert_type(await producer.push(book_in_thread, Invoice(number="1")), Pushed[Booking])
    assert_type(await producer.push(item_first, Invoice(number="1")), Pushed[Booking])
    assert_type(await producer.push(item_only, {"a": 1}), Pushed[None])
    assert_type(await producer.push(row, Row(number=1), name="row 1"), Pushed[None])
    assert_type(await producer.push(queue="anywhere", payload={}), Pushed[dict[str, Any]])
    assert_type(await producer.push_many(book, [Invoice(number="1")]), list[Pushed[Booking]])
    assert_type(await producer.push_many("anywhere", [{}]), list[Pushed[dict[str, Any]]])


async def program() -> None:
    async with connect(contracts=Contracts(contracts_of([book]))) as producer:
        assert_type(await producer.push("anywhere", {}), Pushed[dict[str, Any]])
        assert_type(context.priority(), int)


async def tests(worker_test: WorkerTest, item: Item) -> None:
    run = await worker_test(book, Invoice(number="1"))
    assert_type(run, Rehearsed)
    assert_type(
        run.outcome.kind,
        Literal["successful", "business", "application", "failed", "released"],
    )
    assert_type(run.outcome.code, str)
    assert_type(run.outcome.errortype, Literal["", "business", "application"])
    assert_type(run.log[0].level, Literal["error", "warn", "info", "verbose", "debug", "trace"])
    assert_type(run.pushes[0].payload, dict[str, Any])
    assert_type(item.origin, Origin | None)
    if item.dead_letter:
        assert_type(item.dead_letter.kind, Literal["business", "application"])


def script() -> None:
    with sync.connect(url="ws://localhost:3000") as openiap:
        assert_type(openiap.push(book, Invoice(number="1")), sync.Pushed[Booking])
        assert_type(openiap.push(book, Invoice(number="1")).result(timeout=1), Booking)
        many = openiap.push_many(book, [Invoice(number="1")])
        assert_type(many, list[sync.Pushed[Booking]])
        assert_type(openiap.push(row, Row(number=1), unique="1").existing, bool)
        assert_type(openiap.push(row, Row(number=1)), sync.Pushed[None])
        assert_type(openiap.push("anywhere", {"a": 1}), sync.Pushed[dict[str, Any]])


Declared = DeclaredHandler[Callable[[Invoice], Coroutine[Any, Any, Booking]]]
