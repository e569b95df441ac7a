"""Values whose end is known go by themselves where the database has an index for it, and what is
left of a value is never an older one."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.state.conftest import PASSWORD, USER
from tests.integration.state.test_sweep import Fleet
from worker import State
from worker.engine.maintenance.sweep import INDEX, Sweep
from worker.localserver import LocalServer, ServerOptions
from worker.localserver.operations.sweep import Sweep as Expiry
from worker.openiap.client import Client
from worker.openiap.fields import moment_of
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.state.cells import COLLECTION, EXPIRES, KEPT, LATE, Cells
from worker.telemetry.log import Log

NAMESPACE = "test"


@pytest.fixture
async def clock() -> list[float]:
    return [datetime.now(UTC).timestamp()]


@pytest.fixture
async def server(clock: list[float]) -> AsyncIterator[LocalServer]:
    options = ServerOptions(
        users={USER: PASSWORD},
        plain_users={"plain": PASSWORD},
        sweep_interval=3600,
        clock=lambda: clock[0],
    )
    async with LocalServer(options) as running:
        yield running


def sweep_of(client: Client) -> Sweep:
    return Sweep(
        ["q"],
        client=client,
        fleet=Fleet(),
        namespace=NAMESPACE,
        log=Log("error"),
        chance=random.Random(1),
    )


async def versions(client: Client, key: str) -> list[dict[str, Any]]:
    return await client.query(COLLECTION, {"name": key}, orderby={"_id": 1})


async def test_what_is_over_goes_without_a_sweep_once_the_index_is_there(
    client: Client, server: LocalServer, clock: list[float]
) -> None:
    values = State(client, NAMESPACE).values
    await sweep_of(client).sweep()
    (index,) = [one for one in await client.get_indexes(COLLECTION) if one["name"] == INDEX]
    assert (index["key"], index["expireAfterSeconds"]) == ({EXPIRES: 1}, 0)
    await sweep_of(client).sweep()  # another worker's: it is there already
    await values.set("session", 1, ttl="1m")
    await values.set("session", 2, ttl="2m")
    await values.incr("calls")
    await values.set("kept", 1)
    expiry = Expiry(server._services)
    clock[0] += 180
    await expiry.round()
    assert len(await versions(client, "session")) == 2
    assert not (await State(client, NAMESPACE).values.get("session")).found
    clock[0] += KEPT
    await expiry.round()
    assert await versions(client, "session") == []
    assert (await values.get("kept")).value == 1
    assert (await values.get("calls")).value == 1
    assert await State(client, NAMESPACE).values.set("session", 3, ttl="1m", nx=True)


async def test_no_version_goes_before_an_older_one(client: Client) -> None:
    values = State(client, NAMESPACE).values
    await values.set("shorter", 1, ttl="1d")
    await values.set("shorter", 2, ttl="1s")
    await values.delete("shorter")
    await values.set("later", 1)
    await values.set("later", 2, ttl="1s")
    await values.set("counted", 1, ttl="1h")
    await values.incr("counted")
    ends = [moment_of(one.get(EXPIRES)) for one in await versions(client, "shorter")]
    first = ends[0]
    assert first is not None
    assert first - datetime.now(UTC) > timedelta(hours=23)
    assert ends == [first, first, first]
    assert [one.get(EXPIRES) for one in await versions(client, "later")] == [None, None]
    one, two = (moment_of(found.get(EXPIRES)) for found in await versions(client, "counted"))
    assert one is not None
    assert two is not None
    assert abs(one - two) < timedelta(seconds=30)


async def test_who_was_frozen_before_the_first_version_does_not_put_itself_beside_later_ones(
    client: Client,
) -> None:
    moment = [0.0]
    cells = Cells(client, NAMESPACE, clock=lambda: moment[0])
    looked = cells.now()
    there = await cells.create("value", "k", {"json": "1"})
    assert there is not None
    assert await cells.replace(there, {"json": "2"}) is not None
    # The database has let the first one go; then a process wakes that saw none at all.
    await client.delete_one(COLLECTION, (await versions(client, "k"))[0]["_id"])
    moment[0] += LATE + 1
    assert await cells.create("value", "k", {"json": "0"}, since=looked) is None
    (left,) = await versions(client, "k")
    assert left["content"] == {"json": "2"}


async def test_a_user_who_may_not_make_the_index_sweeps_all_the_same(
    server: LocalServer, clock: list[float]
) -> None:
    plain = NativeClient(ConnectionOptions(url=server.ws_url, username="plain", password=PASSWORD))
    await plain.connect(timeout=60)
    await State(plain, NAMESPACE).values.set("session", 1, ttl="1m")
    await sweep_of(plain).sweep()
    for _ in range(2):
        clock[0] += KEPT + 120
        await sweep_of(plain).sweep()
    assert await versions(plain, "session") == []
    await plain.disconnect()
