"""Messages on topics reach who listens, once; many calls go out at once, each with its result."""

import asyncio
from typing import Any

import pytest

from tests.cases import each
from tests.integration.state.conftest import PASSWORD, USER, MakeClient
from worker import batch, connect, sync
from worker.localserver import LocalServer
from worker.localserver.operations.messages import topic_fits
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey, OpenIAPError
from worker.producer.topics import EXCHANGE, Message, checked_topic, fits

SECONDS = 60


@pytest.fixture
def settings(server: LocalServer, kind: str) -> dict[str, Any]:
    return {
        "url": server.ws_url,
        "username": USER,
        "password": PASSWORD,
        "client": kind,
        "reconnect_min": 0.05,
        "reconnect_max": 0.2,
    }


@each(
    ("pattern", "topic", "wanted"),
    [
        ("orders.*.paid", "orders.7.paid", True),
        ("orders.*.paid", "orders.paid", False),
        ("orders.*.paid", "orders.7.8.paid", False),
        ("orders.#", "orders", True),
        ("orders.#", "orders.7.paid", True),
        ("orders.#", "orders7", False),
        ("#.paid", "paid", True),
        ("#.paid", "orders.7.paid", True),
        ("#.paid", "orders.paid.late", False),
        ("#", "a.b.c", True),
        ("*", "a.b", False),
        ("a.#.b.*", "a.x.y.b.c", True),
        ("a.#.b.*", "a.b.b", True),
        ("a.#.b.*", "a.b", False),
        ("a", "b", False),
    ],
)
def test_patterns_fit_as_in_amqp(pattern: str, topic: str, wanted: bool) -> None:
    assert fits(pattern, topic) is wanted
    assert topic_fits(pattern, topic) is wanted, "the local server says the same"


async def test_a_message_comes_once_to_each_that_listens(
    settings: dict[str, Any], client: Client
) -> None:
    seen: list[Message] = []
    other: list[str] = []
    async with connect(**settings) as one, connect(**settings) as two:
        await one.publish("orders.1.paid", "nobody listens yet")
        first = await one.subscribe(["orders.*.paid", "orders.#", "#"], seen.append)
        second = await two.subscribe(["orders.#"], lambda message: other.append(message.topic))
        id = await two.publish("orders.7.paid", {"n": 1.5}, metadata={"by": "Ada"})
        await client.queue_message("odd", exchangename=EXCHANGE, routingkey="orders.x")
        await two.publish("bills.1", None)
        await two.publish("orders.last", None)
        async with asyncio.timeout(SECONDS):
            while len(seen) < 3 or len(other) < 2:
                await asyncio.sleep(0.01)
        # OpenIAP's own client may swap what comes close together.
        heard = {message.topic: message for message in seen}
        assert sorted(heard) == ["bills.1", "orders.7.paid", "orders.last"]
        assert len(seen) == 3
        paid = heard["orders.7.paid"]
        assert (paid.data, paid.metadata, paid.id) == ({"n": 1.5}, {"by": "Ada"}, id)
        assert sorted(other) == ["orders.7.paid", "orders.last"]
        for subscription in (first, second):
            await subscription.unsubscribe()
            await subscription.unsubscribe()
        await two.publish("orders.8.paid", "nobody listens any more")


async def test_a_subscription_outlives_a_cut(settings: dict[str, Any], server: LocalServer) -> None:
    seen: list[Any] = []
    async with connect(**settings) as producer, asyncio.timeout(SECONDS):
        await producer.subscribe(["#"], lambda message: seen.append(message.data))
        await server.drop_connections()
        while not seen:
            try:
                await producer.publish("n", 1)
            except OpenIAPError:
                continue
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("", "has 0 bytes"),
        ("a..b", "has an empty word"),
        ("a.*", r"has \* or #"),
        ("x" * 256, "256"),
        ("x\ud800", "has half a character; allowed: whole ones"),
    ],
)
def test_what_is_no_topic_is_refused(topic: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_topic(topic)


async def test_patterns_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    async with connect(**settings) as producer:
        with pytest.raises(TypeError, match="allowed: a list of patterns"):
            await producer.subscribe("orders.#", print)
        with pytest.raises(ValueError, match=r"'a\.b\*': \* and # are whole words"):
            await producer.subscribe(["a.b*"], print)
        with pytest.raises(ValueError, match="none; allowed: one pattern or more"):
            await producer.subscribe([], print)
        with pytest.raises(TypeError, match="subscribe: None; allowed: a function that takes the"):
            await producer.subscribe(["a"], None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"publish: data: .*allowed: what has a JSON form"):
            await producer.publish("a", float("nan"))
        with pytest.raises(TypeError, match="metadata = 'x'; allowed: a dict, or None"):
            await producer.publish("a", 1, metadata="x")  # type: ignore[arg-type]


async def test_many_calls_have_their_results_in_order(make: MakeClient) -> None:
    client = await make()
    await client.insert_one("n", {"_id": "3"})
    inserted = await batch(client.insert_one("n", {"_id": str(n)}) for n in range(50))
    assert isinstance(inserted[3], DuplicateKey)
    del inserted[3]
    assert [one["_id"] for one in inserted if isinstance(one, dict)] == [
        str(n) for n in range(50) if n != 3
    ]
    assert await batch([]) == []
    with pytest.raises(ValueError, match="at_once = 0; allowed: 1 to 10,000"):
        await batch([], at_once=0)
    with pytest.raises(TypeError, match="batch: call 1 is of type int; allowed: awaitables"):
        await batch([client.count("n"), 5])  # type: ignore[list-item]


async def test_many_calls_are_in_flight_at_once_but_not_too_many() -> None:
    flying = most = 0

    async def call(number: int) -> int:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        for _ in range(20 - number):  # the last one ends first
            await asyncio.sleep(0)
        flying -= 1
        if number == 20:
            raise LookupError("twenty")
        return number

    assert await batch(call(number) for number in range(20)) == list(range(20))
    most = 0
    with pytest.raises(LookupError, match="twenty"):
        await batch((call(number) for number in range(21)), at_once=4)
    assert (most, flying) == (4, 0)


async def test_blocking_code_has_topics_and_batches(settings: dict[str, Any]) -> None:
    def script() -> None:
        import threading

        came = threading.Event()
        with sync.connect(**settings) as openiap:
            subscription = openiap.subscribe(["orders.#"], lambda message: came.set())
            openiap.publish("orders.1", {"n": 1})
            assert came.wait(SECONDS)
            assert subscription.patterns == ("orders.#",)
            subscription.unsubscribe()
            made = openiap.batch([lambda c, n=n: c.insert_one("n", {"_id": n}) for n in "aba"])
            assert isinstance(made[1], dict)
            # Both are in flight: which of them the server takes first is its own affair.
            assert {type(made[0]), type(made[2])} == {dict, DuplicateKey}

    await asyncio.wait_for(asyncio.to_thread(script), 100)
