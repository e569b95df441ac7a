"""Shared state in scripts: beside a producer, and in blocking code."""

import asyncio
import threading
from typing import Any

import pytest

from tests.integration.state.conftest import PASSWORD, USER
from worker import cached, connect, sync
from worker.localserver import LocalServer
from worker.producer.producer import NoProducer, Producer
from worker.testing.doubles import RecordingSender


@cached(ttl="5m")
def double(number: int) -> int:
    return number * 2


@pytest.fixture
def settings(server: LocalServer, kind: str) -> dict[str, Any]:
    return {
        "url": server.ws_url,
        "username": USER,
        "password": PASSWORD,
        "client": kind,
        "namespace": "test",
    }


async def test_a_producer_has_the_state_of_its_namespace(settings: dict[str, Any]) -> None:
    async with connect(**settings) as producer:
        assert producer.state.namespace == "test"
        assert await producer.state.values.incr("n") == 1
        assert await asyncio.to_thread(double, 21) == 42
        assert (await producer.state.values.scan("cached/")).keys
    with pytest.raises(NoProducer, match="This producer has no client"):
        _ = Producer(RecordingSender(None)).state


async def test_blocking_code_has_all_of_it(settings: dict[str, Any]) -> None:
    def script() -> None:
        seen: list[Any] = []
        three = threading.Event()
        with sync.connect(**settings) as openiap:
            state = openiap.state
            assert state.values.set("a", {"n": 1}, ttl="1h", nx=True)
            assert state.values.get("a").value == {"n": 1}
            assert (state.values.incr("n", 5), state.values.decr("n")) == (5, 4)
            assert sorted(state.values.scan().keys) == ["a", "n"]
            assert state.values.delete("a", "n") == 2
            assert state.counter("c").add(2) == state.counter("c").value() == 2
            assert [state.once("o"), state.once("o")] == [True, False]
            with state.lock("l", lease="5s") as held:
                assert held.number == 1
            room = state.stream("r")

            def note(event: Any) -> None:
                seen.append((event.data, len(room.history(0).events) > 0))
                if len(seen) == 3:
                    three.set()

            subscription = room.subscribe(note)
            for number in range(3):
                room.publish("n", number)
            assert three.wait(60)
            assert seen == [(0, True), (1, True), (2, True)]
            assert (subscription.room, subscription.missed) == ("r", 0)
            subscription.unsubscribe()
            assert double(4) == 8
        with pytest.raises(sync.Closed):
            state.values.get("a")

    async with asyncio.timeout(100):
        await asyncio.to_thread(script)
