"""Functions for messages and changes: called with what comes, told apart from items, drained."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from worker import Client, Message, Producer, State, handler, on_change, on_message
from worker.app.application import Application
from worker.errors import HandlerError
from worker.openiap.types import QueueEvent
from worker.testing import LocalOpenIAP, WorkerTest


class Order(BaseModel):
    number: str
    amount: Decimal


@handler("items-beside")
async def work(payload: dict[str, Any]) -> None: ...


@pytest.fixture(params=["official", "native"])
def openiap_client(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


async def until(condition: Any, within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


def number(daemon: Any, listener: Any, result: str) -> float:
    """Read a listener's number from the metrics."""
    assert daemon._parts is not None
    for metric in daemon._parts.listening.collect():
        for sample in metric.samples:
            if sample.labels == {"listener": listener.name, "result": result}:
                return float(sample.value)
    raise AssertionError(listener.name)


async def test_messages_and_changes_reach_functions_with_typed_data(
    local_openiap: LocalOpenIAP,
) -> None:
    seen: list[Any] = []

    @on_message("letters")
    async def letter(order: Order, client: Client, state: State) -> dict[str, str]:
        seen.append(("letter", order.amount, await state.values.incr("n")))
        return {"answer": order.number}

    @on_message(exchange="prices", algorithm="topic", routingkey="eur.*")
    def price(data: Any, event: QueueEvent) -> None:
        seen.append(("price", data, event.routingkey))

    @on_message(topics=["orders.*.paid", "orders.#"])
    async def paid(message: Message, order: Order) -> None:
        seen.append((message.topic, order.number, message.metadata))

    @on_change("invoices-beside", paths=["$[?(@.state == 'paid')]"])
    def changed(invoice: dict[str, Any]) -> None:
        seen.append(("change", invoice["n"]))

    daemon = await local_openiap.start_worker(work, letter, price, paid, changed)
    client = local_openiap.client
    order = {"number": "4711", "amount": "1.50"}
    assert await client.rpc(order, "letters", timeout=30) == {"answer": "4711"}
    await client.queue_message("up", exchangename="prices", routingkey="eur.usd")
    await client.queue_message("up", exchangename="prices", routingkey="gbp.usd")
    producer = Producer(local_openiap.producer.sender, client=client)
    await producer.publish("orders.7.paid", order, metadata={"by": "Ada"})
    await producer.publish("orders", order)
    await producer.publish("nobody.listens", 1)
    await client.insert_one("invoices-beside", {"state": "new", "n": 1})
    await client.insert_one("invoices-beside", {"state": "paid", "n": 2})
    await until(lambda: len(seen) >= 5)
    assert sorted(map(str, seen)) == sorted(
        map(
            str,
            [
                ("letter", Decimal("1.50"), 1),
                ("price", "up", "eur.usd"),
                ("orders.7.paid", "4711", {"by": "Ada"}),
                ("orders", "4711", {}),
                ("change", 2),
            ],
        )
    )
    assert number(daemon, paid, "done") == 2
    assert daemon.counts()["items-beside"].popped == 0


async def test_what_does_not_fit_or_fails_costs_that_message_alone(
    local_openiap: LocalOpenIAP,
) -> None:
    seen: list[str] = []

    @on_message("letters")
    def letter(order: Order) -> None:
        if order.number == "bad":
            raise LookupError(order.number)
        seen.append(order.number)

    daemon = await local_openiap.start_worker(work, letter)
    for content in ({"number": 1}, {"number": "bad", "amount": 1}, {"number": "good", "amount": 1}):
        await local_openiap.client.queue_message(content, "letters")
    results = ("done", "failed", "misfit")
    await until(lambda: [number(daemon, letter, one) for one in results] == [1, 1, 1])
    assert seen == ["good"]


async def test_they_are_registered_again_after_a_cut(local_openiap: LocalOpenIAP) -> None:
    seen: list[int] = []

    @on_message("letters")
    async def letter(data: int) -> None:
        seen.append(data)

    await local_openiap.start_worker(work, letter)
    await local_openiap.client.queue_message(1, "letters")
    await until(lambda: seen == [1])
    await local_openiap.cut_links()
    async with asyncio.timeout(60):
        while 2 not in seen:
            await local_openiap.client.queue_message(2, "letters")
            await asyncio.sleep(0.05)


async def test_the_drain_waits_for_calls_and_takes_nothing_new(
    local_openiap: LocalOpenIAP,
) -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), []

    @on_message("letters")
    async def letter(data: int) -> None:
        begun.set()
        await go.wait()
        ended.append(data)

    daemon = await local_openiap.start_worker(work, letter)
    await local_openiap.client.queue_message(1, "letters")
    await asyncio.wait_for(begun.wait(), 60)
    stopping = asyncio.create_task(daemon.stop())
    await until(lambda: daemon._listening is not None and not daemon._listening._ends)
    await local_openiap.client.queue_message(2, "letters")
    assert not stopping.done()
    go.set()
    await asyncio.wait_for(stopping, 60)
    assert ended == [1]


async def test_they_are_tested_without_a_server(worker_test: WorkerTest) -> None:
    @on_message(topics=["orders.*.paid"])
    async def paid(order: Order, message: Message, state: State, producer: Producer) -> str:
        await state.values.set(order.number, message.topic)
        await producer.push("shipments", {"order": order.number})
        return "thanks"

    @on_change("invoices")
    def changed(invoice: dict[str, Any]) -> None:
        raise LookupError(invoice["n"])

    heard = await worker_test.message(
        paid, Order(number="1", amount=Decimal(2)), topic="orders.1.paid"
    )
    assert (heard.returned, heard.error) == ("thanks", None)
    assert [(push.queue, push.payload) for push in heard.pushes] == [("shipments", {"order": "1"})]
    assert (await worker_test.state.values.get("1")).value == "orders.1.paid"
    misfit = await worker_test.message(paid, {"number": "1"}, topic="orders.1.paid")
    assert str(misfit.error) == "amount: Field required"
    assert isinstance((await worker_test.message(changed, {"n": 1})).error, LookupError)
    with pytest.raises(ValueError, match=r"topic = 'x'; allowed: one that fits orders\.\*\.paid"):
        await worker_test.message(paid, {}, topic="x")
    with pytest.raises(TypeError, match="is no listener"):
        await worker_test.message(work, {})  # type: ignore[arg-type]


def test_what_cannot_be_listened_to_is_refused() -> None:
    def function(data: Any) -> None: ...

    with pytest.raises(HandlerError, match="nothing to listen to; allowed: one of a queue"):
        on_message()(function)
    odd: Any = "silly"
    with pytest.raises(HandlerError, match="algorithm = 'silly'; allowed: 'direct', 'fanout', "):
        on_message(exchange="e", algorithm=odd)(function)
    with pytest.raises(HandlerError, match="queue and topics to listen to"):
        on_message("q", topics=["a"])(function)
    with pytest.raises(HandlerError, match=r"on_message: topics: 'a\.\.b' has an empty word"):
        on_message(topics=["a..b"])(function)
    with pytest.raises(HandlerError, match="concurrency = 0; allowed: 1 and more"):
        on_message("q", concurrency=0)(function)
    with pytest.raises(HandlerError, match="allowed: a list of JSONPaths"):
        on_change("c", paths="$")(function)
    application = Application.of(on_message("q")(function), work)
    assert [one.queue for one in application.listeners] == ["q"]


async def test_a_listener_that_cannot_be_called_stops_the_start(
    local_openiap: LocalOpenIAP,
) -> None:
    @on_message("q")
    def two(data: int, other: int) -> None: ...

    with pytest.raises(HandlerError, match="parameter other cannot be filled, as another one"):
        await local_openiap.start_worker(work, two)

    @on_message("q")
    def one(data: int) -> None: ...

    @on_message("Q")
    def another(data: int) -> None: ...

    with pytest.raises(HandlerError, match="Message queue Q has two listeners"):
        await local_openiap.start_worker(work, one, another)
