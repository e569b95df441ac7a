"""A cached result is computed by one, whoever asks at once, and by another when that one dies."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from tests.integration.state.conftest import MakeClient
from tests.integration.state.holder import slow
from worker import State, cached, handler
from worker.openiap.client import Client
from worker.state.current import CurrentState, NoState, current_state, waiting_for
from worker.testing import WorkerTest


class Rate(BaseModel):
    currency: str
    value: Decimal


@pytest.fixture
def use() -> Any:
    def use(state: State) -> None:
        current_state.set(CurrentState(state, waiting_for(asyncio.get_running_loop())))

    return use


async def test_one_computes_and_all_get_the_same(make: MakeClient, use: Any) -> None:
    computed = []

    async def rate_of(currency: str, state: State | None = None) -> Rate:
        computed.append(currency)
        await asyncio.sleep(0.5)
        return Rate(currency=currency, value=Decimal("1.10"))

    # Each as another process has it: what lines callers up in one process does not help here.
    states = [(State(await make(kind)), cached("5m")(rate_of)) for kind in ("native", "official")]

    async def ask(place: tuple[State, Any], currency: str) -> Rate:
        state, function = place
        use(state)
        found: Rate = await function(currency, state)
        return found

    found = await asyncio.gather(*(ask(state, "EUR") for state in states * 4))
    assert computed == ["EUR"]
    assert set(map(str, found)) == {"currency='EUR' value=Decimal('1.10')"}
    assert (await ask(states[0], "USD")).currency == "USD"
    assert computed == ["EUR", "USD"]


async def test_plain_functions_too_and_another_computes_after_an_error(
    client: Client, use: Any
) -> None:
    use(State(client))
    computed = []

    @cached(ttl="5m", key=lambda number: f"n{number}")
    def squared(number: int) -> int:
        computed.append(number)
        if len(computed) == 1:
            raise ConnectionError("away")
        return number**2

    asked = [asyncio.to_thread(squared, 3) for _ in range(4)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(map(str, found)) == ["9", "9", "9", "away"]
    assert len(computed) == 2
    with pytest.raises(NoState, match=r"make it an async def, or call it by asyncio\.to_thread"):
        squared(4)


@pytest.mark.dear
async def test_another_computes_when_the_first_dies(process: Any, client: Client, use: Any) -> None:
    dying = await process()
    dying.tell("cached x 1000")
    assert await dying.answer() == "computing"
    use(State(client, "test"))
    waiting: asyncio.Task[str] = asyncio.create_task(slow("x", 0))
    done, _ = await asyncio.wait({waiting}, timeout=1.5)
    assert not done, "it waits while the other computes"
    await dying.end()
    async with asyncio.timeout(60):
        assert await waiting == "x!"


async def test_a_result_or_arguments_without_json_are_refused(client: Client, use: Any) -> None:
    use(State(client))

    @cached(ttl="5m")
    async def odd(value: object) -> Any:
        return object()

    with pytest.raises(TypeError, match="its arguments have no JSON form"):
        await odd(object())
    with pytest.raises(TypeError, match="its result has no JSON form"):
        await odd(1)


async def test_without_state_it_says_so() -> None:
    @cached(ttl="5m")
    async def lonely() -> int:
        return 1

    with pytest.raises(NoState, match="needs shared state: call it in a handler"):
        await lonely()


async def test_handlers_use_it_in_a_test_without_a_server(worker_test: WorkerTest) -> None:
    computed = []

    @cached(ttl="5m")
    def following(number: int) -> int:
        computed.append(number)
        return number + 1

    @handler("numbers")
    def count(payload: dict[str, int], state: State) -> dict[str, int]:
        return {"next": following(payload["n"])}

    for _ in range(2):
        run = await worker_test(count, {"n": 1})
        assert run.payload == {"n": 1, "next": 2}
    assert computed == [1]
    assert (await worker_test.state.values.scan("cached/")).keys
