"""State is given to handlers that ask for it, in the worker's namespace."""

import asyncio
from typing import Any

import pytest

from tests.integration.engine.conftest import create_queue, until_finished
from worker import State, handler
from worker.app.registry import Registry
from worker.engine.execution.process import ProcessExecutor
from worker.errors import HandlerError
from worker.state.cells import COLLECTION
from worker.testing.worker_test import WorkerTest


@handler("numbered")
async def numbered(payload: dict, state: State) -> dict:
    async with state.lock("ledger") as held:
        return {
            "number": await state.counter("vouchers").add(),
            "fence": held.number,
            "first": await state.once("first"),
            "namespace": state.namespace,
        }


async def test_a_handler_locks_counts_and_guards(client, start) -> None:
    await create_queue(client, "numbered")
    await start(numbered, namespace="test")
    for _ in range(3):
        await client.push_workitem("numbered", {})
    assert "sweep" in {task.get_name() for task in asyncio.all_tasks()}
    done = [item["payload"] for item in await until_finished(client, "numbered", 3)]
    assert sorted(one["number"] for one in done) == [1, 2, 3]
    assert sorted(one["fence"] for one in done) == [1, 2, 3]
    assert [one["first"] for one in done].count(True) == 1
    assert {one["namespace"] for one in done} == {"test"}
    cells = await client.query(COLLECTION, {"_type": "cell"})
    assert {one["namespace"] for one in cells} == {"test"}


async def test_a_process_handler_is_refused() -> None:
    @handler("q", process=True)
    def work(payload: dict, state: State) -> None: ...

    (registered,) = Registry([work])
    with pytest.raises(HandlerError) as refused:
        ProcessExecutor(registered, slots=1)
    assert str(refused.value).endswith(
        "parameter state of type State cannot be filled with process=True; a process has no"
        " connection to OpenIAP and no lifespan."
    )


async def test_here_and_now_a_client_makes_one(client) -> None:
    with pytest.raises(HandlerError, match=r"asks for a State: run\(…, client=CLIENT\)"):
        await numbered.run({})
    assert (await numbered.run({}, client=client))["number"] == 1
    given = await numbered.run({}, client=client, resources={State: State(client, "own")})
    assert given["namespace"] == "own"


async def test_without_a_server_a_test_may_give_one(worker_test: WorkerTest) -> None:
    class Fake:
        async def once(self, key: str) -> bool:
            return True

    @handler("q")
    async def work(payload: dict, state: State) -> dict[str, Any]:
        return {"first": await state.once("a")}

    tested = await worker_test(work, {}, resources={State: Fake()})
    assert tested.returned == {"first": True}
