"""The blocks of handlers/README.md, each run as it stands."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.engine.conftest import (
    PASSWORD,
    USER,
    create_queue,
    until_finished,
    until_one,
)
from worker.app.application import Application
from worker.app.registry import load_modules
from worker.engine.maintenance.retention import rules_of

PAGE = Path(__file__).resolve().parents[3] / "handlers" / "README.md"
BLOCKS = {
    section.splitlines()[0]: block[1]
    for section in PAGE.read_text().split("\n## ")[1:]
    if (block := re.search(r"```python\n(.*?)```", section, re.DOTALL))
}

Load = Callable[[str], tuple[Application, ModuleType]]


@pytest.fixture
def load(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch, server, client_name) -> Load:
    """Import a section's block as a module, in a world where its settings are found."""
    monkeypatch.setenv("OPENIAP_URL", server.ws_url)
    monkeypatch.setenv("OPENIAP_USERNAME", USER)
    monkeypatch.setenv("OPENIAP_PASSWORD", PASSWORD)
    monkeypatch.setenv("OPENIAP_WORKER_CLIENT", client_name)
    monkeypatch.chdir(tmp_path)

    def imported(title: str) -> tuple[Application, ModuleType]:
        name = "page_" + re.sub(r"\W+", "_", f"{title}_{client_name}").lower()
        (tmp_path / f"{name}.py").write_text(BLOCKS[title])
        application = load_modules([name])
        return application, __import__(name)

    return imported


async def ended(client, start, application: Application, queue: str, *payloads, **more) -> list:
    """Push items to a queue and return them in order once they have ended."""
    for registered in application:
        if not await client.query("mq", {"name": registered.options.queue}):
            await create_queue(client, registered.options.queue, **more)
    for number, payload in enumerate(payloads):
        await client.push_workitem(queue, payload, name=str(number))
    await start(application)
    done = await until_finished(client, queue, len(payloads))
    return sorted(done, key=lambda d: int(d["name"]))


COMPARISON = PAGE.with_name("COMPARISON.md")


def test_the_comparison_counts_its_lines() -> None:
    text = COMPARISON.read_text()
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    for name, *numbers in rows:
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        for block in blocks:
            compile(block, name, "exec")
        counted = [sum(bool(line.strip()) for line in block.splitlines()) for block in blocks]
        assert [int(n) for n in numbers] == [*counted, sum(counted)], name


def test_every_section_with_code_has_a_test_here() -> None:
    here = Path(__file__).read_text()
    assert [title for title in BLOCKS if f'load("{title}")' not in here] == []


async def test_declaring(client, start, load, tmp_path) -> None:
    application, _ = load("Declaring")
    scan = tmp_path / "a.pdf"
    scan.write_bytes(b"1234")
    await create_queue(client, "scans")
    await client.push_workitem("scans", {"pages": 2}, name="0", files=[scan])
    await start(application)
    (done,) = await until_finished(client, "scans")
    assert done["payload"] == {"pages": 2, "bytes": 4}


async def test_retrying(client, start, load) -> None:
    application, _ = load("Retrying")
    states = [{"state": s} for s in ("fine", "down")]
    done = await ended(client, start, application, "calls", *states, {}, maxretries=1)
    assert [d["state"] for d in done] == ["successful", "failed", "failed"]
    assert done[1]["errormessage"] == "ConnectError: no route"
    assert done[2]["errormessage"] == "KeyError: 'state'"


async def test_made_once_made_for_each_item(client, start, load) -> None:
    application, _ = load("Made once, made for each item")
    texts = [{"text": t} for t in "ab"]
    done = await ended(client, start, application, "bookings", *texts)
    assert {d["state"] for d in done} == {"successful"}


async def test_middleware(client, start, load) -> None:
    application, _ = load("Middleware")
    payloads = [{"customer": "Ada"}, {"customer": "nobody"}]
    one, two = await ended(client, start, application, "offers", *payloads)
    assert one["payload"]["offer"] == "for Ada"
    assert two["errormessage"] == "[CUSTOMER] unknown customer"


async def test_events(client, start, load) -> None:
    application, module = load("Events")
    await ended(client, start, application, "events", {"n": 1}, {"n": 0}, maxretries=1)
    async with asyncio.timeout(60):
        while len(module.seen) < 3:
            await asyncio.sleep(0.01)
    assert sorted(module.seen) == [
        "failed events AssertionError: n must be positive",
        "start",
        "success events",
    ]


async def test_routers(client, start, load) -> None:
    application, _ = load("Routers")
    queues = sorted(one.options.queue for one in application)
    assert queues == ["billing-invoices", "billing-reminders-letters"]
    (done,) = await ended(client, start, application, "billing-reminders-letters", {})
    assert done["payload"]["queue"] == "billing-reminders-letters"
    assert {one.options.tags for one in application} == {("billing",)}
    assert {one.options.concurrency for one in application} == {2, 8}


async def test_progress_and_checkpoints(client, start, load) -> None:
    application, _ = load("Progress and checkpoints")
    payload = {"pages": 9, "fails_at": 5}
    (done,) = await ended(client, start, application, "imports", payload)
    assert done["payload"] == {**payload, "began_at": 5}


async def test_follow_up_items(client, start, load) -> None:
    application, _ = load("Follow-up items")
    (done,) = await ended(client, start, application, "orders", {"order": "A"})
    (shipped,) = await until_finished(client, "shipments")
    assert shipped["_id"] == done["payload"]["shipment"]
    assert shipped["payload"]["label"] == "L-A"
    await until_one(client, {"wiq": "reviews", "state": "new"})


async def test_errors_and_evidence(client, start, load) -> None:
    application, _ = load("Errors and evidence")
    (done,) = await ended(client, start, application, "claims", {"amount": 2000})
    assert [file["name"] for file in done["files"]] == ["evidence-attempt-1.txt"]
    assert 'code LIMIT, data {"limit":1000.0}' in done["errorsource"]


async def test_pushing_from_elsewhere(client, start, load) -> None:
    application, module = load("Pushing from elsewhere")
    await create_queue(client, "invoices-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await module.program() == ["V-1", "BAD_AMOUNT", "invoices-page", "V-5"]


async def test_blocking_code(client, start, load) -> None:
    application, module = load("Blocking code")
    await create_queue(client, "rows-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await asyncio.to_thread(module.script) == 42


async def test_unique_pushes(client, start, load) -> None:
    application, module = load("Unique pushes")
    for queue in ("reminders-page", "letters-page"):
        await create_queue(client, queue)
    assert await module.program() == [True, False, True, True]
    await start(application)
    (done,) = await until_finished(client, "reminders-page")
    assert done["payload"] == {"invoice": "4711", "days": 21, "reminded": "4711"}
    await until_one(client, {"wiq": "letters-page", "state": "new"})


async def test_shared_state(client, start, load) -> None:
    application, _ = load("Shared state")
    payloads = [{"to": "a"}, {"to": "a"}, {"to": "b"}]
    done = await ended(client, start, application, "vouchers-page", *payloads)
    found = [d["payload"] for d in done]
    assert sorted(one["number"] for one in found) == [1, 2, 3]
    assert sorted(one["fence"] for one in found) == [1, 2, 3]
    assert sorted(one["to"] for one in found if one["first_mail"]) == ["a", "b"]


async def test_keys_and_rates(client, start, load) -> None:
    application, _ = load("Keys and rates")
    payloads = [{"customer": "ab"[n % 2], "number": n} for n in range(6)]
    done = await ended(client, start, application, "orders-page", *payloads)
    assert [d["payload"]["taken"] for d in done] == list(range(6))
    assert {d["retries"] for d in done} == {0}


async def test_schedules(client, start, load) -> None:
    application, _ = load("Schedules")
    await create_queue(client, "reports-page")
    await start(application)
    done = (await until_finished(client, "reports-page"))[0]  # another one comes each 10 s
    assert (done["name"], done["payload"]["kind"]) == ("pulse", "pulse")
    (one,) = application
    daily = next(found for found in one.options.schedules if found.name == "report")
    assert (await daily.payload_at(datetime(2026, 6, 1, 4, tzinfo=UTC))).day == "2026-06-01"


async def test_retention(load) -> None:
    application, _ = load("Retention")
    days = [(rule.state, rule.keep / 86400) for rule in rules_of(application)]
    assert days == [("successful", 30), ("failed", 90)]


async def test_whose_work_it_is(client, start, load) -> None:
    application, module = load("Whose work it is")
    for one in application:
        await create_queue(client, one.options.queue)
    from worker import connect

    await start(application)
    async with connect():
        pushed = await module.parent.push({}, namespace="acme", priority=1)
        result = await pushed.result(timeout=60)
    (child,) = await until_finished(client, "children-page")
    assert result["namespace"] == "acme"
    assert (child["payload"]["namespace"], child["payload"]["priority"]) == ("acme", 1)
    assert child["payload"]["of"] == child["_id"] == result["child"]


async def test_contracts(client, start, load) -> None:
    application, module = load("Contracts")
    await create_queue(client, "tickets")
    assert await module.program() == "tickets"
    assert [one.options.queue for one in application] == ["tickets"]
