"""The scaler answers KEDA and everybody else for queues that it does not work."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from tests.integration.cli.commands import PASSWORD, USER, running, signed_environment
from tests.integration.cli.keda import Keda
from worker import handler
from worker.cli.scaler import fleet_queues
from worker.cli.scaler.scaler import Scaler
from worker.engine.daemon import Daemon
from worker.engine.maintenance.scale_endpoint import PATIENCE
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue
from worker.settings import Settings
from worker.testing.reserved_ports import reserved_ports

DEADLINE = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers grow old at once here, so that nobody waits for new ones."""
    monkeypatch.setattr(fleet_queues, "FRESH", 0.05)
    monkeypatch.setattr(fleet_queues, "MOST_PER_MINUTE", 1_000_000)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    options = ServerOptions(port=0, users={USER: PASSWORD}, data=tmp_path / "data.db")
    async with LocalServer(options) as running_server:
        yield running_server


@pytest.fixture
async def client(server: LocalServer) -> AsyncIterator[NativeClient]:
    made = NativeClient(ConnectionOptions(url=server.ws_url, username=USER, password=PASSWORD))
    await made.connect(timeout=DEADLINE)
    for name in ("invoices", "orders"):
        await made.add_workitem_queue(WorkItemQueue(name=name))
    yield made
    await made.disconnect()


def settings_for(server: LocalServer, tmp_path: Path, **more: object) -> Settings:
    given = {
        "url": server.ws_url,
        "username": USER,
        "password": PASSWORD,
        "state_dir": tmp_path / "state",
        "reconnect_min": 0.05,
        "reconnect_max": 0.1,
        "client": "native",
        **more,
    }
    return Settings.model_validate(given)


@asynccontextmanager
async def scaling(
    server: LocalServer, tmp_path: Path, *queues: str
) -> AsyncIterator[tuple[Scaler, str]]:
    """Run a scaler; gives it and the address of its pages, once it is ready."""
    scaler = Scaler(
        settings_for(server, tmp_path, health_port=0), queues, grpc_port=0, version="test"
    )
    task = asyncio.create_task(scaler.run(signals=False))
    try:
        async with asyncio.timeout(DEADLINE):
            while scaler.telemetry.health is None or not scaler.telemetry.health.port:
                await asyncio.sleep(0.01)
        pages = f"http://127.0.0.1:{scaler.telemetry.health.port}"
        await until(lambda: status(f"{pages}/readyz"), 200)
        first = queues[0] if queues else "invoices"
        await until(lambda: status(f"{pages}/scale?queue={first}"), 200)
        yield scaler, pages
    finally:
        scaler.stop()
        await asyncio.wait_for(task, DEADLINE)


async def status(url: str) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
        return (await http.get(url)).status_code


async def until(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    found: object = None
    try:
        async with asyncio.timeout(DEADLINE):
            while found != wanted:
                found = await ask()
    except TimeoutError:
        pytest.fail(f"it stayed {found!r}, and was to become {wanted!r}")


async def test_a_deployment_goes_from_zero_to_many_and_back(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    """What waits alone brings workers; their speed is known from what they did, once none lives."""

    @handler("invoices", concurrency=3)
    async def work(payload: dict[str, object]) -> None:
        await asyncio.sleep(0.3)

    async with (
        scaling(server, tmp_path) as (scaler, pages),
        Keda(scaler.grpc_port, queue="invoices", target="1") as keda,
    ):
        assert await keda.spec() == [("wished", 1, 1.0)]
        assert await keda.metrics() == {"wished": (0, 0.0)}
        assert await keda.replicas() == 0
        for number in range(30):
            await client.push_workitem("invoices", {"number": number})
        await until(keda.replicas, 1)  # nobody knows yet how fast a worker is
        settings = settings_for(server, tmp_path, once=True)
        assert await Daemon(settings, [work]).run(signals=False) == 0
        await until(keda.replicas, 0)

    async with (
        scaling(server, tmp_path) as (scaler, pages),
        Keda(scaler.grpc_port, queue="invoices", target="2") as keda,
    ):
        for number in range(30):
            await client.push_workitem("invoices", {"number": number})
        async with httpx.AsyncClient(trust_env=False) as http:
            await until(keda.is_active, True)
            told = (await http.get(f"{pages}/scale?queue=invoices&target=2")).json()
        assert told["waiting"] == 30
        assert 1 / 0.6 < told["per_second"] < 1 / 0.29, "one at a time, since no worker told more"
        assert told["wished"] == await keda.replicas()
        assert 4 <= told["wished"] <= 60, told


async def test_answers_are_those_of_a_worker(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    for number in range(6):
        await client.push_workitem("orders", {"number": number})
    await client.pop_workitem("orders")

    async with (
        scaling(server, tmp_path, "orders") as (_, pages),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        told = (await http.get(f"{pages}/scale?per_second=0.05&slots=2")).json()
        metrics = (await http.get(f"{pages}/metrics")).text
    assert 0 <= told.pop("oldest_waiting_seconds") < DEADLINE
    assert 0 <= told.pop("oldest_running_seconds") < DEADLINE
    assert 0 <= told.pop("age_seconds") < DEADLINE
    assert told == {
        "queue": "orders",
        "waiting": 5,
        "running": 1,
        "per_second": 0.05,
        "slots": 2,
        "target_seconds": 60.0,
        "wished": 2,
        "paused": None,
    }
    assert 'openiap_worker_queue_waiting{queue="orders"} 5.0' in metrics


async def test_metadata_of_a_trigger_tell_what_a_worker_does(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    for number in range(60):
        await client.push_workitem("invoices", {"number": number})
    async with scaling(server, tmp_path, "invoices", "orders") as (scaler, _):
        given = {"queue": "invoices", "target": "10", "perSecond": "2", "slots": "4"}
        async with Keda(scaler.grpc_port, scalerAddress="x:1", **given) as keda:
            await until(keda.metrics, {"wished": (3, 3.0)})


async def test_slots_are_those_of_the_worker_last_heard_of(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    await client.push_workitem("invoices", {})
    for name, slots in (("earlier", 9), ("last", 4)):
        told = {"_id": name, "_type": "worker", "slots": {"invoices": slots}, "namespace": ""}
        await client.insert_one("openiap_workers", told)
        await asyncio.sleep(0.01)  # the server's stamps have whole milliseconds
    elsewhere = {"_type": "worker", "slots": {"invoices": 99}, "namespace": "other"}
    await client.insert_one("openiap_workers", elsewhere)
    async with (
        scaling(server, tmp_path, "invoices") as (_, pages),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert (await http.get(f"{pages}/scale")).json()["slots"] == 4


@pytest.mark.parametrize(
    ("metadata", "metric", "code", "text"),
    [
        ({"queue": "nowhere"}, "wished", "NOT_FOUND", "queue nowhere does not exist"),
        ({}, "wished", "NOT_FOUND", "queue = NAME is missing"),
        ({"queue": "orders", "target": "-1"}, "wished", "INVALID_ARGUMENT", "target is seconds"),
        ({"queue": "orders", "perSecond": "no"}, "wished", "INVALID_ARGUMENT", "per_second is"),
        ({"queue": "orders", "slots": "0"}, "wished", "INVALID_ARGUMENT", "slots is a whole"),
        ({"queue": "orders"}, "age", "INVALID_ARGUMENT", "no metric 'age'; there is: wished"),
    ],
)
async def test_what_cannot_be_told_is_an_error_and_no_number(
    server: LocalServer,
    client: NativeClient,
    tmp_path: Path,
    metadata: dict[str, str],
    metric: str,
    code: str,
    text: str,
) -> None:
    async with scaling(server, tmp_path) as (scaler, _), Keda(scaler.grpc_port, **metadata) as keda:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await keda.metrics(metric)
    assert refused.value.code().name == code
    assert text in str(refused.value.details())


async def test_while_the_server_is_away_every_answer_is_an_error(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    await client.push_workitem("invoices", {})
    async with (
        scaling(server, tmp_path, "invoices") as (scaler, pages),
        Keda(scaler.grpc_port, queue="invoices") as keda,
    ):
        await until(keda.replicas, 1)
        stream = keda.stream()
        assert (await stream.read()).result is True
        await server.stop()
        with reserved_ports("127.0.0.1", server.port):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await asyncio.wait_for(stream.read(), 60)  # not while old numbers are true
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await keda.metrics()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert await status(f"{pages}/scale?queue=invoices") == 503
            assert await status(f"{pages}/readyz") == 503
            assert await status(f"{pages}/livez") == 200
            assert await keda.spec() == [("wished", 1, 1.0)], "that asks nobody"
            again = LocalServer(
                ServerOptions(port=server.port, users={USER: PASSWORD}, data=tmp_path / "data.db")
            )
            await again.start()
        try:
            await until(lambda: status(f"{pages}/scale?queue=invoices"), 200)
            await until(keda.replicas, 1)
        finally:
            await again.stop()


@pytest.mark.dear
async def test_a_server_that_answers_nothing_costs_two_seconds_and_is_an_error(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    await client.push_workitem("invoices", {})
    async with (
        scaling(server, tmp_path, "invoices") as (scaler, pages),
        Keda(scaler.grpc_port, queue="invoices") as keda,
    ):
        await until(keda.replicas, 1)
        server.faults.silent = True
        await asyncio.sleep(0.1)  # what was told a moment ago is no longer fresh
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await keda.metrics()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await status(f"{pages}/scale?queue=invoices") == 503
        assert time.monotonic() - began < 2 * PATIENCE + 10, "and not 30 s each"
        server.faults.silent = False
        await until(lambda: status(f"{pages}/scale?queue=invoices"), 200)


async def test_a_stream_tells_when_work_comes_and_when_it_is_done(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    async with (
        scaling(server, tmp_path, "invoices") as (scaler, _),
        Keda(scaler.grpc_port, queue="invoices") as keda,
    ):
        stream = keda.stream()
        assert (await asyncio.wait_for(stream.read(), DEADLINE)).result is False
        pushed = await client.push_workitem("invoices", {})
        assert (await asyncio.wait_for(stream.read(), DEADLINE)).result is True
        await client.delete_workitem(pushed.id)
        assert (await asyncio.wait_for(stream.read(), DEADLINE)).result is False
        scaler.stop()
        assert await asyncio.wait_for(stream.read(), DEADLINE) is grpc.aio.EOF


async def test_a_named_queue_that_does_not_exist_keeps_it_from_being_ready(
    server: LocalServer, client: NativeClient, tmp_path: Path
) -> None:
    async with scaling(server, tmp_path, "invoices") as (scaler, pages):
        scaler._queues._given = ("invoices", "later")
        scaler._queues.trigger()
        await until(lambda: status(f"{pages}/readyz"), 503)
        await client.add_workitem_queue(WorkItemQueue(name="later"))
        scaler._queues.trigger()
        await until(lambda: status(f"{pages}/readyz"), 200)


async def test_messages_stay_bounded_however_many_queues_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    for count in (1, 5, 6, 60, 600):
        names = [f"q{number}" for number in range(count)]
        queues = fleet_queues.FleetQueues(names, pool=None, namespace="", log=None)  # type: ignore[arg-type]
        per_minute = count * 4 * 60 / queues.fresh()
        assert per_minute <= 240
        assert queues.fresh() == max(5.0, count)


def test_as_a_process_it_says_where_it_answers_and_ends_when_asked(
    server_url: str, tmp_path: Path
) -> None:
    environment = signed_environment(server_url, tmp_path)
    arguments = ("scaler", "--all", "--port", "0", "--grpc-port", "0")
    with running(*arguments, folder=tmp_path, **environment) as scaler:
        line = scaler.wait_for("KEDA's external scaler answers")
        assert re.search(r"127\.0\.0\.1:\d+", line)
        scaler.wait_for("signed in to OpenIAP")
        assert scaler.stop() == 0


def test_wrong_credentials_and_wrong_use_are_told(server_url: str, tmp_path: Path) -> None:
    environment = {**signed_environment(server_url, tmp_path), "OPENIAP_PASSWORD": "wrong"}
    arguments = ("scaler", "--all", "--port", "0", "--grpc-port", "0")
    with running(*arguments, folder=tmp_path, **environment) as scaler:
        scaler.wait_for("Check OPENIAP_USERNAME and OPENIAP_PASSWORD.")
        assert scaler.process.wait(DEADLINE) == 1
    with running("scaler", folder=tmp_path, **environment) as scaler:
        scaler.wait_for("Give --queue NAME, once for each queue, or --all.")
        assert scaler.process.wait(DEADLINE) == 2
