"""/scale and /metrics tell what the server has, and ask it seldom."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from worker import handler
from worker.engine.daemon import Daemon
from worker.engine.maintenance import queue_load as load_module
from worker.engine.maintenance import scale_endpoint as scaling_module
from worker.engine.maintenance.autoscale import Load
from worker.engine.maintenance.queue_load import load_of
from worker.engine.maintenance.scale_endpoint import FRESH, ScaleEndpoint, scale_names
from worker.engine.maintenance.worked_queues import OwnQueues
from worker.item.new_item import NewItem
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.errors import NotConnected
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.values import iso
from worker.openiap.workitem import WorkItemQueue
from worker.producer.insert import KnownQueues, insert
from worker.settings import Settings
from worker.telemetry.counts import Counts
from worker.telemetry.prometheus import MetricsPage

T = TypeVar("T")
DEADLINE = 60.0


class OneLink:
    """A pool of one client that counts what is asked, and can be cut."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked = 0
        self.cut = False

    async def call(self, operation: Callable[[Client], Awaitable[T]]) -> T:
        self.asked += 1
        if self.cut:
            raise NotConnected("not connected to OpenIAP")
        return await operation(self.client)


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer here is about a server that is slow, and this one may be."""
    monkeypatch.setattr(scaling_module, "PATIENCE", DEADLINE)
    monkeypatch.setattr(load_module, "CALL_TIMEOUT", DEADLINE)


@pytest.fixture
async def link() -> AsyncIterator[OneLink]:
    async with LocalServer(ServerOptions(users={"tester": "secret"})) as server:
        client = NativeClient(
            ConnectionOptions(url=server.ws_url, username="tester", password="secret")
        )
        await client.connect(timeout=DEADLINE)
        await client.add_workitem_queue(WorkItemQueue(name="slow"))
        yield OneLink(client)
        await client.disconnect()


async def ask(scaling: ScaleEndpoint, **query: str) -> tuple[int, dict[str, Any]]:
    """Ask from a thread, as the listener does."""
    status, _, body = await asyncio.wait_for(asyncio.to_thread(scaling.answer, query), DEADLINE)
    return status, json.loads(body)


async def test_answer_tells_what_is_due_what_runs_and_how_long(link: OneLink) -> None:
    for number in range(5):
        await link.client.push_workitem("slow", {"number": number})
    later = datetime.now(UTC) + timedelta(hours=1)
    await link.client.push_workitem("slow", {}, nextrun=later)
    await link.client.pop_workitem("slow")
    counts = Counts()
    counts.finished("slow", "successful", "applied", 120.0)
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, counts.snapshot), pool=link)
    scaling.start()
    status, told = await ask(scaling)
    assert status == 200
    assert (told["waiting"], told["running"]) == (4, 1)
    assert 0 <= told["oldest_waiting_seconds"] < DEADLINE
    assert 0 <= told["oldest_running_seconds"] < DEADLINE
    assert told["per_second"] == round(2 / 120, 3)
    assert told["wished"] == 4, "four items of two minutes, two at once, in one minute"
    assert (await ask(scaling, target="240"))[1]["wished"] == 1
    await scaling.stop()


async def test_server_is_asked_once_however_many_ask_here(link: OneLink) -> None:
    clock = Clock()
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, Counts().snapshot), pool=link, clock=clock)
    scaling.start()
    await asyncio.gather(*(ask(scaling) for _ in range(20)))
    assert link.asked == 1
    clock.now += FRESH + 0.1
    await ask(scaling)
    assert link.asked == 2
    await scaling.stop()


async def test_how_fast_this_worker_is_is_told_as_it_is_now(link: OneLink) -> None:
    """An answer of the first second, when nothing was finished yet, does not hold for five."""
    for number in range(5):
        await link.client.push_workitem("slow", {"number": number})
    counts = Counts()
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, counts.snapshot), pool=link, clock=Clock())
    scaling.start()
    _, first = await ask(scaling)
    assert (first["per_second"], first["wished"]) == (None, 1)
    counts.finished("slow", "successful", "applied", 120.0)
    _, second = await ask(scaling)
    assert (second["per_second"], second["wished"]) == (round(2 / 120, 3), 5)
    assert link.asked == 1, "the server was not asked for that"
    await scaling.stop()


async def test_last_numbers_are_given_with_their_age_while_the_link_is_down(link: OneLink) -> None:
    clock = Clock()
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, Counts().snapshot), pool=link, clock=clock)
    scaling.start()
    link.cut = True
    assert (await ask(scaling))[0] == 503
    link.cut = False
    assert (await ask(scaling))[0] == 200
    link.cut = True
    clock.now += 30
    status, told = await ask(scaling)
    assert (status, told["age_seconds"]) == (200, 30.0)
    clock.now += 31
    assert (await ask(scaling))[0] == 503, "numbers of a minute ago are worse than none"
    await scaling.stop()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"queue": "other"}, 404),
        ({"target": "0"}, 400),
        ({"target": "nan"}, 400),
        ({"target": "soon"}, 400),
        ({"per_second": "inf"}, 400),
        ({"slots": "1.5"}, 400),
    ],
)
async def test_questions_without_an_answer_are_refused(
    link: OneLink, query: dict[str, str], status: int
) -> None:
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, Counts().snapshot), pool=link)
    scaling.start()
    assert (await ask(scaling, **query))[0] == status
    assert link.asked == 0
    await scaling.stop()


async def test_scrape_never_waits_and_has_the_next_numbers_fetched(link: OneLink) -> None:
    await link.client.push_workitem("slow", {})
    page = MetricsPage(Counts())
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, Counts().snapshot), pool=link)
    page.add(scaling)
    assert link.asked == 0, "registering asks nothing"
    scaling.start()
    first = await asyncio.to_thread(page.render)
    assert b"openiap_worker_queue_waiting{" not in first
    async with asyncio.timeout(DEADLINE):
        while b'openiap_worker_queue_waiting{queue="slow"} 1.0' not in page.render():
            await asyncio.sleep(0.01)
    for name in scale_names():
        assert f"\n{name}{{".encode() in page.render(), name
    await scaling.stop()
    await scaling.stop()


async def test_the_page_keeps_the_last_numbers_and_says_how_old_they_are(link: OneLink) -> None:
    """Whoever scrapes once a minute sees them as well."""
    clock = Clock()
    page = MetricsPage(Counts())
    scaling = ScaleEndpoint(OwnQueues({"slow": 2}, Counts().snapshot), pool=link, clock=clock)
    page.add(scaling)
    scaling.start()
    assert (await ask(scaling))[0] == 200
    link.cut = True
    clock.now += 600
    rendered = (await asyncio.to_thread(page.render)).decode()
    assert 'openiap_worker_queue_waiting{queue="slow"} 0.0' in rendered
    assert 'openiap_worker_queue_age_seconds{queue="slow"} 600.0' in rendered
    await scaling.stop()


@pytest.mark.parametrize("before", [None, 40])
async def test_an_item_that_was_put_in_as_a_document_is_as_old_as_it_is(
    link: OneLink, before: int | None
) -> None:
    """Such a one is due a minute before it was made; one pushed before it is older all the same."""
    now = datetime.now(UTC)
    if before is not None:
        pushed = await link.client.push_workitem("slow", {})
        then = iso(now - timedelta(seconds=before))
        change = {"$set": {"nextrun": then, "_created": then}}
        await link.client.update_document("workitems", {"_id": pushed.id}, change)
    queue = await KnownQueues(link.client).of("slow")
    item = NewItem("f" * 24, "slow", {}, wiqid=queue.wiqid, acl=queue.acl)
    await insert(link.client, item, id_field="unique")
    load = await load_of(link.client, "slow", now=datetime.now(UTC))
    assert load.waiting == (1 if before is None else 2)
    assert (before or 0) - 1 <= load.oldest_waiting < (before or 0) + 15


async def test_what_nobody_waits_for_has_no_age(link: OneLink) -> None:
    assert await load_of(link.client, "slow", now=datetime.now(UTC)) == Load()


class Racing:
    """A client between whose count and query an item comes, or goes."""

    def __init__(self, counted: int, found: list[dict[str, Any]]) -> None:
        self._counted = counted
        self._found = found

    async def count(self, collection: str, query: dict[str, Any], **_: Any) -> int:
        return self._counted

    async def query(self, collection: str, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return self._found


async def test_waiting_0_never_stands_beside_an_age() -> None:
    """The four calls are made one after the other, and items come and go between them."""
    now = datetime.now(UTC)
    then = iso(now - timedelta(minutes=5))
    item = {"nextrun": then, "_created": then, "lastrun": then}
    comes = await load_of(cast(Client, Racing(0, [item])), "slow", now=now)
    assert comes == Load(waiting=0, running=0, oldest_waiting=0.0, oldest_running=0.0)
    goes = await load_of(cast(Client, Racing(1, [])), "slow", now=now)
    assert goes == Load(waiting=1, running=1, oldest_waiting=0.0, oldest_running=0.0)


async def test_a_young_workers_first_scrape_has_the_numbers(tmp_path: Path) -> None:
    """They were fetched when it began, so that nobody sees a gap until the scrape after."""

    @handler("slow")
    async def work(payload: dict[str, Any]) -> None: ...

    users = {"tester": "secret"}
    async with LocalServer(ServerOptions(users=users)) as server:
        options = ConnectionOptions(url=server.ws_url, username="tester", password="secret")
        client = NativeClient(options)
        await client.connect(timeout=DEADLINE)
        await client.add_workitem_queue(WorkItemQueue(name="slow"))
        settings = Settings.model_validate(
            {
                "url": server.ws_url,
                "username": "tester",
                "password": "secret",
                "client": "native",
                "state_dir": tmp_path,
                "health_port": 0,
            }
        )
        daemon = Daemon(settings, [work])
        await daemon.start()
        assert daemon._parts is not None
        async with asyncio.timeout(DEADLINE):
            while not daemon._parts.scaling._seen:
                await asyncio.sleep(0.01)
        page = (await asyncio.to_thread(daemon.telemetry.metrics.render)).decode()
        await daemon.stop()
        await client.disconnect()
    assert 'openiap_worker_queue_waiting{queue="slow"} 0.0' in page
    assert 'openiap_worker_queue_age_seconds{queue="slow"} ' in page
