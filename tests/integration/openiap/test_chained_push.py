"""Chain targets of a push: they arrive, before the item can be popped, or the push is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.engine.conftest import PASSWORD, USER, create_queue, settings_for
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.api.chained_push import ChainTargets, push_chained
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, QueueNotFound
from worker.openiap.factory import make_client
from worker.openiap.workitem import SUCCESSFUL, JsonObject, Workitem


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    options = ServerOptions(port=0, grpc_port=0, users={USER: PASSWORD}, strict=True)
    async with LocalServer(options) as running:
        yield running


@pytest.fixture(params=["official", "native"])
async def client(
    request: pytest.FixtureRequest, server: LocalServer, tmp_path: Path
) -> AsyncIterator[Client]:
    found = make_client(settings_for(server.ws_url, tmp_path / "s", client=request.param))
    await found.connect()
    for name in ("first", "next", "rest"):
        await create_queue(found, name)
    yield found
    await found.disconnect()


async def test_the_targets_of_a_push_arrive(client: Client, tmp_path: Path) -> None:
    scan = tmp_path / "scan.txt"
    scan.write_bytes(b"scan")
    targets = {"success_wiq": "next", "failed_wiq": "rest"}
    pushed = await client.push_workitem(
        "first", {"n": 1}, name="one", priority=1, files=[scan], **targets
    )
    assert (pushed.success_wiq, pushed.failed_wiq, pushed.state) == ("next", "rest", "new")
    popped = await client.pop_workitem("first")
    assert popped is not None
    assert (popped.id, popped.name, popped.payload) == (pushed.id, "one", {"n": 1})
    assert [file.filename for file in popped.files] == ["scan.txt"]
    popped.state = SUCCESSFUL
    await client.update_workitem(popped)
    copy = await client.pop_workitem("next")
    assert copy is not None
    assert (copy.payload, copy.id != pushed.id) == ({"n": 1}, True)


async def test_a_target_that_is_not_there_is_refused(client: Client) -> None:
    with pytest.raises(QueueNotFound, match="success_wiq = queue nowhere does not exist"):
        await client.push_workitem("first", {}, success_wiq="nowhere")
    with pytest.raises(QueueNotFound):
        await client.push_workitem("nowhere", {}, success_wiq="next")
    assert await client.count("workitems") == 0


async def test_who_may_not_write_documents_is_told_what_to_do() -> None:
    async def query(query: JsonObject, wanted: JsonObject) -> list[JsonObject]:
        return [{"_id": "1", "name": query["name"]}]

    async def insert(document: JsonObject) -> None:
        raise AccessDenied("no rights", operation="insert_one")

    item, targets = Workitem(wiq="first"), ChainTargets(success_wiq="next")
    with pytest.raises(AccessDenied, match="set them on the queue first"):
        await push_chained(targets, item, (), query, insert)


async def test_a_work_item_reads_as_a_mapping(client: Client) -> None:
    await client.push_workitem("first", {"n": 1})
    item = await client.pop_workitem("first")
    assert item is not None
    assert item["payload"] == {"n": 1}
    assert item.get("_id") == item["id"] == item.id
    assert item.get("nothing") is None
    assert dict(item)["wiq"] == "first"
    assert {"size", "text", "came"}.isdisjoint(item)
    assert item == Workitem(**dict(item))
