"""The local server is as the facts say, and a run leaves nothing on somebody's server."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import ROOT, clean_environment
from tests.conformance.asking import ask_all
from tests.conformance.cleaning import FIRST_WORD, checked_prefix, clean
from tests.conformance.facts import Answer, CannotAsk, Table
from tests.conformance.ground import COLLECTION, Ground
from tests.conformance.page import page
from tests.conformance.sites import Lane, Login, Site, own_site, site_of
from tests.conformance.subjects import FACTS
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue

DEADLINE = 60.0
BOSS, WORKER = Login("boss", "b"), Login("worker", "w")
RUN, RUN_OF_WORKERS = f"{FIRST_WORD}0123abcd", f"{FIRST_WORD}4567cdef"


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """Somebody's server: strict, with an admin and an ordinary user."""
    options = ServerOptions(users={"boss": "b"}, plain_users={"worker": "w"})
    async with LocalServer(options) as running:
        yield running


@pytest.fixture
async def boss(server: LocalServer) -> AsyncIterator[NativeClient]:
    client = NativeClient(ConnectionOptions(url=server.ws_url, username="boss", password="b"))
    await client.connect(timeout=DEADLINE)
    yield client
    await client.disconnect()


def site(server: LocalServer, **changes: Any) -> Site:
    given: dict[str, Any] = {"second": WORKER, "http_url": server.http_url, "pace": 0.0}
    return Site((server.ws_url,), BOSS, **(given | changes))


def native(server: LocalServer) -> Lane:
    return Lane("native", server.ws_url)


async def of_run(client: NativeClient) -> list[str]:
    """Return what there is that a run of this suite has made."""
    starts = {"$regex": f"^{FIRST_WORD}"}
    found = []
    for collection, query in (
        ("mq", {"name": starts}),
        ("workitems", {"wiq": starts}),
        ("fs.files", {}),
        ("agents", {}),
        ("users", {"name": starts}),
        (COLLECTION, {"run": starts}),
        ("openiap_workers", {}),
        ("openiap_worker_state", {"namespace": starts}),
    ):
        found += [f"{collection}: {one}" for one in await client.query(collection, query)]
    found += [
        str(one["name"])
        for one in await client.list_collections()
        if str(one["name"]).startswith("conform")
    ]
    return found


@contextlib.asynccontextmanager
async def suite(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m tests.conformance``, and end it in any case."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.conformance", *arguments),
        cwd=ROOT,
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


def asking(server: LocalServer, *more: str) -> list[str]:
    login = ["--username", "boss", "--password", "b", "--second-user", "worker:w"]
    return ["--url", server.ws_url, *login, "--rate", "0", *more]


@pytest.mark.dear
@pytest.mark.timeout(1_800)
async def test_every_fact_holds_over_every_client_and_transport() -> None:
    """Those that start workers are asked with each client and over each transport once."""
    async with own_site() as local:
        lanes = local.lanes("native", "official")
        assert [lane.name for lane in lanes] == [
            *("native ws", "native grpc", "official ws", "official grpc")
        ]
        quick, heavy = ([fact for fact in FACTS if fact.heavy is kind] for kind in (False, True))
        answers, of_workers = await asyncio.gather(
            ask_all(local, quick, lanes, RUN), ask_all(local, heavy, lanes[::3], RUN_OF_WORKERS)
        )
        assert len(quick) > 80
        assert len(of_workers) == 2 * len(heavy) >= 20
        answers += of_workers
        assert [one for one in answers if one.verdict not in ("holds", "no call")] == []
        holding = {one.fact.name for one in answers if one.verdict == "holds"}
        assert holding == {fact.name for fact in FACTS}
        assert await clean(local, RUN) == await clean(local, RUN_OF_WORKERS) == []


@pytest.mark.dear
async def test_a_run_writes_its_page_and_leaves_nothing(tmp_path: Path) -> None:
    async with suite("--only", "queues", "--page", str(tmp_path / "page.md")) as process:
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    text = (tmp_path / "page.md").read_text()
    assert "## What differs\n\nNothing." in text
    assert "## What could not be asked\n\nNothing." in text
    assert "| native ws | native grpc | official ws | official grpc |" in text


async def test_a_kinder_server_is_told_apart() -> None:
    options = ServerOptions(users={"boss": "b"}, plain_users={"worker": "w"}, strict=False)
    async with LocalServer(options) as kind:
        words = ("no_query", "watch_recursing", "upsert_forgets", "update_without_rights")
        facts = [fact for fact in FACTS if fact.name.endswith(words)]
        answers = await ask_all(site(kind), facts, [native(kind)], RUN)
    assert [one.verdict for one in answers] == ["differs"] * len(words)


async def test_a_probe_without_what_it_needs_says_why(server: LocalServer) -> None:
    table = Table("made up")

    async def probe(on: Ground) -> Any:
        raise CannotAsk("the moon is away")

    async def broken(on: Ground) -> Any:
        return dict[str, int]()["key"]

    table.fact("It depends.", 1)(probe)
    table.fact("It takes a second user.", 1, "second")(probe)
    table.fact("It takes an admin.", 1, "admin")(probe)
    table.fact("It breaks.", 1)(broken)
    alone = site(server, second=None)
    plain = Site(alone.urls, WORKER, pace=0.0)
    answers = await ask_all(plain, table.facts, [native(server)], RUN)
    assert [one.reason for one in answers] == [
        "the moon is away",
        "no second user (--second-user)",
        "the first user is no admin",
        "",
    ]
    assert answers[3].got == "KeyError: KeyError('key')"


@pytest.mark.dear
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_run_that_is_stopped_leaves_nothing(
    server: LocalServer, boss: NativeClient, number: signal.Signals
) -> None:
    async with suite(*asking(server, "--client", "native")) as process:
        await something_is_made(boss)
        process.send_signal(number)
        said, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 130, said.decode()
    assert await of_run(boss) == []


@pytest.mark.dear
async def test_what_a_crash_left_is_removed_by_its_prefix_and_nothing_else(
    server: LocalServer, boss: NativeClient
) -> None:
    foreign = await boss.add_workitem_queue(WorkItemQueue(name="theirs-conform-"))
    await boss.push_workitem(foreign.name, {})
    await boss.insert_one(COLLECTION, {"run": "theirs"})
    await boss.insert_one("agents", {"_type": "package", "id": "theirs"})
    async with suite(*asking(server, "--client", "native")) as process:
        await something_is_made(boss)
        process.kill()
        said, _ = await process.communicate()
    prefix = said.decode().split()[-1]
    assert prefix.startswith(FIRST_WORD)
    async with suite(*asking(server, "--clean", prefix)) as process:
        said, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert (process.returncode, said.decode()) == (0, "Nothing is left.\n")
    assert [one.partition(":")[0] for one in await of_run(boss)] == ["agents"]
    assert await boss.count("mq", {"name": foreign.name}) == 1
    assert await boss.count("workitems", {"wiq": foreign.name}) == 1
    assert await boss.count(COLLECTION, {"run": "theirs"}) == 1


async def something_is_made(client: NativeClient) -> None:
    """Wait until a run has made queues, items and documents."""
    async with asyncio.timeout(DEADLINE):
        starts = {"$regex": f"^{FIRST_WORD}"}
        for collection, key in (("workitems", "wiq"), (COLLECTION, "run")):
            while not await client.count(collection, {key: starts}):
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("prefix", ["", "c", "conform", "conform-.*", "invoices", "conform-A"])
def test_only_prefixes_of_this_suite_are_removed(prefix: str) -> None:
    with pytest.raises(ValueError, match="is none of this suite's"):
        checked_prefix(prefix)


def test_two_urls_of_one_transport_are_refused() -> None:
    with pytest.raises(ValueError, match="once for gRPC at most"):
        site_of(["ws://a:1", "wss://b"], BOSS, None, "", 20.0)
    found = site_of(["grpc://a:2", "https://a"], BOSS, None, "", 20.0)
    assert (found.urls, found.http_url) == (("wss://a", "grpc://a:2"), "https://a")


def test_the_page_tells_what_differs_and_what_could_not_be_asked() -> None:
    async def probe(on: Ground) -> Any:
        return None

    table = Table("items")
    table.fact("It is | so.", [1])(probe)
    table.fact("It may be.", 1)(probe)
    table.fact("It is there.", True, local=(False, "it is not"))(probe)
    one, two, three = table.facts
    text = page(
        [
            Answer(one, "native ws", "holds"),
            Answer(one, "official ws", "differs", [2]),
            Answer(two, "native ws", "not asked", reason="no second user"),
            Answer(three, "native ws", "holds"),
            Answer(three, "official ws", "no call"),
        ],
        {"server": "OpenIAP 1"},
        datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )
    assert "| taken | 2026-01-02 03:04 UTC |" in text
    assert "- **It is | so.**\n  - expected: `[1]`\n  - official ws: `[2]`" in text
    assert "- It may be. (native ws): no second user." in text
    assert "- It is there. There, it is not." in text
    assert "| It is \\| so. | seen on 1.5.10 | yes | **no** |" in text
    assert "| It may be. | seen on 1.5.10 | ? |  |" in text


def test_facts_have_names_of_their_own() -> None:
    names = [fact.name for fact in FACTS]
    assert len(set(names)) == len(names)
    assert {fact.sentence for fact in FACTS if not fact.sentence.endswith(".")} == set()
