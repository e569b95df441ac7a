"""The blocks of Python on the pages, each run as it stands."""

import asyncio
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from tests.integration.engine.conftest import (
    CLIENTS,
    PASSWORD,
    USER,
    create_queue,
    until_finished,
    until_one,
)
from tests.pages import PAGES, blocks
from worker import BusinessError, Producer, State, handler
from worker.app.application import Application
from worker.app.registry import load_modules
from worker.engine.maintenance.retention import rules_of
from worker.item.metadata import taken_out
from worker.item.origin import DeadLetter, origin_of
from worker.producer.sender import ClientSender
from worker.testing import LocalOpenIAP, WorkerTest

pytestmark = pytest.mark.dear  # each is run: as long as the pages are

ALL = blocks("python")
BLOCKS = {name: block.text for name, block in ALL.items()}
ELSEWHERE = {
    "comparison: openiap-worker 2": "behind the first one, whose names it uses",
    "testing: The fixtures": "tests/acceptance/examples/test_testing_page.py",
}
OTHER_LIBRARIES = ("robocorp-workitems", "Celery", "taskiq", "Temporal (Python SDK)")

BANK = """
from decimal import Decimal

async def book_at_bank(number: str, amount: Decimal) -> tuple[str, bytes]:
    return f"V-{number}", b"receipt"
"""

Load = Callable[[str], tuple[Application, ModuleType]]


@pytest.fixture
def client_name(request: pytest.FixtureRequest) -> str:
    """Each block with one of the clients: what it shows has tests of its own, with both."""
    return CLIENTS[zlib.crc32(request.node.name.encode()) % len(CLIENTS)]


@pytest.fixture
def load(tmp_path: Path, monkeypatch, server, client_name) -> Load:
    """Import a block as a module, in a world where its settings are found."""
    monkeypatch.setenv("OPENIAP_URL", server.ws_url)
    monkeypatch.setenv("OPENIAP_USERNAME", USER)
    monkeypatch.setenv("OPENIAP_PASSWORD", PASSWORD)
    monkeypatch.setenv("OPENIAP_WORKER_CLIENT", client_name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def imported(block: str) -> tuple[Application, ModuleType]:
        name = "page_" + re.sub(r"\W+", "_", f"{block}_{client_name}").lower()
        (tmp_path / f"{name}.py").write_text(BLOCKS[block])
        handles = re.search(r"@(\w+\.)?handler\(", BLOCKS[block])
        application = load_modules([name]) if handles else Application()
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


def test_the_comparison_counts_its_lines() -> None:
    text = PAGES["comparison"].read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    for name, *numbers in rows:
        section = [block.text for block in ALL.values() if block.section == name]
        for block in section:
            compile(block, name, "exec")
        counted = [sum(bool(line.strip()) for line in block.splitlines()) for block in section]
        assert [int(n) for n in numbers] == [*counted, sum(counted)], name


def test_every_block_has_a_test_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    left = {name for name in ALL if f'load("{name}")' not in here and name not in ELSEWHERE}
    assert left == {name for name, block in ALL.items() if block.section in OTHER_LIBRARIES}


async def test_the_first_block(client, start, load) -> None:
    application, _ = load("README")
    payloads = [{"number": "1", "amount": "5"}, {"number": "2", "amount": 0}]
    one, two = await ended(client, start, application, "invoices", *payloads)
    assert one["payload"]["voucher"] == "V-1"
    assert (two["state"], two["errormessage"]) == ("failed", "[BAD_AMOUNT] amount must be positive")


@pytest.mark.parametrize("page", ["README", "first-hour"])
async def test_the_first_handler(client, start, load, page: str) -> None:
    names = {
        "README": lambda: load("README: Your first handler"),
        "first-hour": lambda: load("first-hour: A server, a handler, two items"),
    }
    application, _ = names[page]()
    payloads = [{"name": "Ada"}, {"nome": "Bob"}]
    ada, bob = await ended(client, start, application, "greetings", *payloads)
    assert ada["payload"]["text"] == "Hello, Ada!"
    assert (bob["state"], "name" in bob["errormessage"]) == ("failed", True)


async def test_a_handler_and_a_program_that_pushes(client, start, load) -> None:
    application, module = load("README: Your first handler 2")
    await create_queue(client, "orders")
    await start(application)
    async with asyncio.timeout(100):
        assert await module.program() == 42


async def test_files(client, start, load, tmp_path) -> None:
    application, _ = load("files")
    (tmp_path / "a.txt").write_text("two words")
    await create_queue(client, "scans-page")
    await client.push_workitem("scans-page", {}, name="0", files=[tmp_path / "a.txt"])
    await start(application)
    (done,) = await until_finished(client, "scans-page")
    assert done["payload"]["words"] == 2
    assert [file["name"] for file in done["files"]] == ["a.txt", "a.txt-words.txt"]


async def test_a_def_handler_reads_and_attaches_a_file(client, start, load, tmp_path) -> None:
    application, _ = load("blocking: Def handlers")
    (tmp_path / "a.csv").write_text("n,m\n1,2\n3,4\n")
    await create_queue(client, "sums-page")
    await client.push_workitem("sums-page", {"column": "m"}, name="0", files=[tmp_path / "a.csv"])
    await start(application)
    (done,) = await until_finished(client, "sums-page")
    assert done["payload"]["total"] == 6
    assert [file["name"] for file in done["files"]] == ["a.csv", "column.csv"]


async def test_the_job_of_the_comparison(client, start, load, tmp_path, monkeypatch) -> None:
    (tmp_path / "bank.py").write_text(BANK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bank", raising=False)
    together = ["comparison: openiap-worker", "comparison: openiap-worker 2"]
    monkeypatch.setitem(BLOCKS, together[0], "".join(ALL[name].text for name in together))
    application, module = load("comparison: openiap-worker")
    for queue in ("invoices", "archive"):
        await create_queue(client, queue)
    await start(application)
    async with asyncio.timeout(100):
        booking = await module.hand_in(module.Invoice(number="1", amount=5))
    assert booking.voucher == "V-1"
    (archived,) = await until_finished(client, "archive")
    assert archived["payload"] == {"voucher": "V-1"}


async def test_declaring(client, start, load, tmp_path) -> None:
    application, _ = load("handlers: Declaring")
    scan = tmp_path / "a.pdf"
    scan.write_bytes(b"1234")
    await create_queue(client, "scans")
    await client.push_workitem("scans", {"pages": 2}, name="0", files=[scan])
    await start(application)
    (done,) = await until_finished(client, "scans")
    assert done["payload"] == {"pages": 2, "bytes": 4}


async def test_names_and_aliases(client, start, load) -> None:
    application, _ = load("values: Names and aliases")
    payloads = [{"orderNumber": "A"}, {"order": "B"}]
    one, two = await ended(client, start, application, "parcels-page", *payloads)
    assert one["payload"] == {"orderNumber": "A", "weight": 900}
    assert (two["state"], two["payload"]["orderNumber"]) == ("successful", "B")


async def test_retrying(client, start, load) -> None:
    application, _ = load("errors: Retrying")
    states = [{"state": s} for s in ("fine", "down")]
    done = await ended(client, start, application, "calls", *states, {}, maxretries=1)
    assert [d["state"] for d in done] == ["successful", "failed", "failed"]
    assert done[1]["errormessage"] == "ConnectError: no route"
    assert done[2]["errormessage"] == "KeyError: 'state'"


async def test_made_once_made_for_each_item(client, start, load) -> None:
    application, _ = load("lifespans: Made once, made for each item")
    texts = [{"text": t} for t in "ab"]
    done = await ended(client, start, application, "bookings", *texts)
    assert {d["state"] for d in done} == {"successful"}


async def test_middleware(client, start, load) -> None:
    application, _ = load("lifespans: Middleware")
    payloads = [{"customer": "Ada"}, {"customer": "nobody"}]
    one, two = await ended(client, start, application, "offers", *payloads)
    assert one["payload"]["offer"] == "for Ada"
    assert two["errormessage"] == "[CUSTOMER] unknown customer"


async def test_events(client, start, load) -> None:
    application, module = load("lifespans: Events")
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
    application, _ = load("handlers: Routers")
    queues = sorted(one.options.queue for one in application)
    assert queues == ["billing-invoices", "billing-reminders-letters"]
    (done,) = await ended(client, start, application, "billing-reminders-letters", {})
    assert done["payload"]["queue"] == "billing-reminders-letters"
    assert {one.options.tags for one in application} == {("billing",)}
    assert {one.options.concurrency for one in application} == {2}


async def test_progress_and_checkpoints(client, start, load) -> None:
    application, _ = load("progress")
    payload = {"pages": 9, "fails_at": 5}
    (done,) = await ended(client, start, application, "imports", payload)
    assert taken_out(done["payload"])[0] == {**payload, "began_at": 5}


async def test_groups(client, start, load, tmp_path) -> None:
    application, module = load("groups")
    given = {"title": "T", "pages": 15}
    (done,) = await ended(client, start, application, "books", given)
    (bound,) = await until_finished(client, "bindery")
    assert bound["_id"] == f"{done['payload']['group']}fffff"
    widths = [found and found["width"] for found in bound["payload"]["results"]]
    assert widths == [100 + n if n != 13 else None for n in range(15)]
    assert (bound["payload"]["width"], bound["payload"]["missing"]) == (114, 1)
    tried = await WorkerTest(tmp_path / "test")(module.book, given)
    assert tried.groups[0].result == {**tried.groups[0].result, "title": "T", "width": 114}


async def test_waiting_for_groups(client, start, load) -> None:
    _, program = load("groups: Looking and waiting")
    application, _ = load("groups: Looking and waiting 2")

    @handler("thumbs-page")
    async def thumb(payload: dict) -> int:
        return int(payload["n"])

    await create_queue(client, "thumbs-page")
    await start(Application.of(*application, thumb))
    async with asyncio.timeout(100):
        progress, numbers = await program.thumbs()
    assert (progress.done, progress.over, numbers) == (3, True, [0, 1, 2])
    for queue in ("chapters-page", "words-page"):
        await create_queue(client, queue)
    await client.push_workitem("chapters-page", {"texts": ["one two", "three"]})
    (done,) = await until_finished(client, "chapters-page")
    assert done["payload"]["words"] == 3


async def test_long_work(client, start, load, tmp_path) -> None:
    application, module = load("long-work: An order that is charged, delivered or refunded")
    await create_queue(client, "orders")
    await client.push_workitem("orders", {"number": "1", "cents": 0}, name="0")
    pushed = await client.push_workitem("orders", {"number": "2", "cents": 5}, name="1")
    await start(application)
    (failed,) = await until_finished(client, "orders")
    assert failed["errormessage"].startswith("[BAD_AMOUNT]")
    asleep = await until_one(
        client, {"_id": pushed.id, "state": "new", "openiap_worker_waits.why": {"$exists": True}}
    )
    assert asleep["openiap_worker_waits"]["why"].startswith("waits for scan since 20")
    assert list(module.BOOKS.values()) == ["charged 5"]
    voucher = module.Voucher(number="V-2", cents=5)
    order = {"number": "2", "cents": 5}
    done = await WorkerTest(tmp_path / "test")(
        module.handle_order, order, steps={"charge": voucher}, slept=True
    )
    assert done.signals == {"scan #1": None, "scan #2": None}
    assert done.payload == {**order, "refunded": "V-2"}
    assert list(module.BOOKS.values()) == ["charged 5", "reminded", "refunded 5"]


async def test_an_order_is_delivered_or_refunded(load, tmp_path, client_name) -> None:
    _, module = load("long-work: An order that is charged, delivered or refunded")
    module.BOOKS.clear()
    async with LocalOpenIAP(tmp_path / "server", client=client_name) as openiap:
        await openiap.start_worker(module.handle_order)
        scanned = await openiap.push(module.handle_order, {"number": "1", "cents": 5})
        lost = await openiap.push(module.handle_order, {"number": "2", "cents": 5})
        pushed = openiap.clock()
        await openiap.waiting(scanned)
        await openiap.waiting(lost)
        await openiap.advance("8d")
        await openiap.waiting(scanned)
        await openiap.signal(scanned, "scan", module.Scan(place="dock"))
        assert (await openiap.ended(scanned, jump=False)).payload["delivered"] == "dock"
        assert (await openiap.ended(lost)).payload["refunded"] == "V-2"
        assert 14 <= (openiap.clock() - pushed) / 86_400 < 15.1
    told = list(module.BOOKS.values())
    assert sorted(told) == ["charged 5", "charged 5", "refunded 5", "reminded", "reminded"]


async def test_a_purchase_is_approved(load, tmp_path, client_name) -> None:
    _, module = load("signals: A purchase that somebody approves")
    async with LocalOpenIAP(tmp_path / "server", client=client_name) as openiap:
        await module.test_a_purchase_is_approved(openiap)


async def test_follow_up_items(client, start, load) -> None:
    application, _ = load("follow-ups: Follow-up items")
    (done,) = await ended(client, start, application, "orders", {"order": "A"})
    (shipped,) = await until_finished(client, "shipments")
    assert shipped["_id"] == done["payload"]["shipment"]
    assert shipped["payload"]["label"] == "L-A"
    await until_one(client, {"wiq": "reviews", "state": "new"})


async def test_dead_letters(client, start, load) -> None:
    @handler("orders")
    async def refuse(payload: dict) -> None:
        raise BusinessError("no number", code="NO_VAT")

    _, module = load("follow-ups: Dead letters")
    await create_queue(client, "orders-failed")
    await create_queue(client, "orders", failed_wiq="orders-failed")
    await client.push_workitem("orders", {"n": 1})
    await start(Application.of(refuse, module.look))
    assert (await until_finished(client, "orders"))[0]["state"] == "failed"
    (letter,) = await until_finished(client, "orders-failed")
    assert (letter["state"], letter["payload"]["n"]) == ("successful", 1)
    origin = origin_of(letter["payload"]["openiap_worker"]["origin"], letter["_id"])
    assert isinstance(origin, DeadLetter)
    assert origin.code == "NO_VAT"


async def test_errors_and_evidence(client, start, load) -> None:
    application, _ = load("errors: Errors and evidence")
    (done,) = await ended(client, start, application, "claims", {"amount": 2000})
    assert [file["name"] for file in done["files"]] == ["evidence-attempt-1.txt"]
    assert 'code LIMIT, data {"limit":1000.0}' in done["errorsource"]


async def test_pushing_from_elsewhere(client, start, load) -> None:
    application, module = load("pushing: Pushing from elsewhere")
    await create_queue(client, "invoices-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await module.program() == ["V-1", "BAD_AMOUNT", "invoices-page", "V-5"]


async def test_fields_as_parameters(client, start, load) -> None:
    application, module = load("handlers: Fields as parameters")
    await create_queue(client, "bookings-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await module.program() == "V-1: 5 x 1"


async def test_later_by_its_id(client, start, load) -> None:
    application, module = load("pushing: Later, by its id")
    await create_queue(client, "exports-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await module.program() == ["acme.csv", "cancelled", "CANCELLED"]


async def test_errors_that_come_back(client, start, load) -> None:
    application, module = load("errors: Errors that come back")
    await create_queue(client, "stock-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await module.program() == ["STOCK", {"left": 3}, "OutOfStock", {"left": 3}]


async def test_items_that_are_not_wanted_any_more(client, start, load) -> None:
    application, _ = load("pushing: Expiry, priority, results nobody keeps")
    await create_queue(client, "alarms-page")
    (done,) = await ended(client, start, application, "quotes-page", {"symbol": "A"})
    assert done["payload"] == {"symbol": "A"}
    (alarm,) = await until_finished(client, "alarms-page")
    assert (alarm["priority"], alarm["payload"]["rang"]) == (1, "A")


async def test_a_tenant_s_own_queues(client, start, load) -> None:
    application, _ = load("pushing: Whose work it is 2")
    (done,) = await ended(client, start, application, "acme-orders", {"customer": "1"})
    assert done["payload"] == {"customer": "1", "for": "everybody"}


async def test_pushes_that_run_here_and_now(load) -> None:
    _, module = load("testing: Pushes that run here and now")
    assert await module.program() == {"number": "1", "said": "sent to globex"}


async def test_blocking_code(client, start, load) -> None:
    application, module = load("blocking: Scripts, notebooks, Django")
    await create_queue(client, "rows-page")
    await start(application)
    async with asyncio.timeout(100):
        assert await asyncio.to_thread(module.script) == 42


async def test_one_item_is_taken(client, load) -> None:
    _, module = load("pulling: One item")
    await create_queue(client, "bills-page")
    for amount in (5, 0):
        await client.push_workitem("bills-page", {"number": "1", "amount": amount})
    async with asyncio.timeout(100):
        assert {await module.book_one(), await module.book_one()} == {"successful", "failed"}
    one, two = await until_finished(client, "bills-page", 2)
    assert {one["payload"].get("voucher"), two["payload"].get("voucher")} == {"V-1", None}


async def test_items_are_taken_one_after_another(client, load) -> None:
    _, module = load("pulling: One after another")
    await create_queue(client, "bills-page")
    for amount in (5, 0, 6):
        await client.push_workitem("bills-page", {"amount": amount})
    async with asyncio.timeout(100):
        assert await module.book_all() == 11


async def test_a_robot_takes_items(client, load) -> None:
    _, module = load("pulling: Blocking code")
    await create_queue(client, "bills-page")
    for amount in (5, 0):
        await client.push_workitem("bills-page", {"number": "1", "amount": amount})
    async with asyncio.timeout(100):
        assert sorted(await asyncio.to_thread(module.robot)) == ["failed", "successful"]


async def test_the_whole_api_from_anywhere(client, load) -> None:
    _, module = load("clients: OpenIAP's whole API, from anywhere")
    await client.insert_one("people", {"name": "Ada", "box": "B-12"})
    async with asyncio.timeout(60):
        assert await module.sort_one_letter() == "B-12"


async def test_unique_pushes(client, start, load) -> None:
    application, module = load("pushing: Unique pushes")
    for queue in ("reminders-page", "letters-page"):
        await create_queue(client, queue)
    assert await module.program() == [True, False, True, True]
    await start(application)
    (done,) = await until_finished(client, "reminders-page")
    assert done["payload"] == {"invoice": "4711", "days": 21, "reminded": "4711"}
    await until_one(client, {"wiq": "letters-page", "state": "new"})


async def test_shared_state(client, start, load) -> None:
    application, _ = load("state")
    payloads = [{"to": "a"}, {"to": "a"}, {"to": "b"}]
    done = await ended(client, start, application, "vouchers-page", *payloads)
    found = [d["payload"] for d in done]
    assert sorted(one["number"] for one in found) == [1, 2, 3]
    assert sorted(one["fence"] for one in found) == [1, 2, 3]
    assert sorted(one["to"] for one in found if one["first_mail"]) == ["a", "b"]
    assert {one["text"] for one in found} == {"Dear a", "Dear b"}


async def test_streams(load) -> None:
    _, module = load("state: Streams")
    async with asyncio.timeout(60):
        assert await module.follow() == [6, 7]


async def test_functions_that_listen(client, start, load, capsys) -> None:
    application, _ = load("messages: Functions that listen")
    await create_queue(client, "orders-page-2")
    await start(application)
    order = {"number": "4711", "amount": "1.5"}
    assert await client.rpc(order, "prices-page", timeout=60) == {"price": "1.5"}
    await Producer(ClientSender(client), client=client).publish("orders.7.paid", order)
    await client.insert_one("invoices-page", {"state": "sent", "number": "8"})
    shown = ""
    async with asyncio.timeout(60):
        while not (await State(client).values.get("orders.7.paid")).found or "8" not in shown:
            shown += capsys.readouterr().out
            await asyncio.sleep(0.05)


async def test_topics(load) -> None:
    _, module = load("messages: Topics")
    async with asyncio.timeout(60):
        assert await module.tell() == ["orders.7.paid 2 Ada"]


async def test_many_calls_at_once(client, load) -> None:
    _, module = load("messages: Many calls at once")
    await client.insert_one("bills-page", {"number": "b"})
    async with asyncio.timeout(60):
        assert await module.missing(["a", "b", "c"]) == ["a", "c"]


async def test_keys_and_rates(client, start, load) -> None:
    application, _ = load("ordering")
    payloads = [{"customer": "ab"[n % 2], "number": n} for n in range(6)]
    done = await ended(client, start, application, "orders-page", *payloads)
    assert [d["payload"]["taken"] for d in done] == list(range(6))
    assert {d["retries"] for d in done} == {0}


async def test_schedules(client, start, load) -> None:
    application, _ = load("schedules")
    await create_queue(client, "reports-page")
    await start(application)
    done = (await until_finished(client, "reports-page"))[0]  # another one comes each 10 s
    assert (done["name"], done["payload"]["kind"]) == ("pulse", "pulse")
    (one,) = application
    daily = next(found for found in one.options.schedules if found.name == "report")
    assert (await daily.payload_at(datetime(2026, 6, 1, 4, tzinfo=UTC))).day == "2026-06-01"


async def test_retention(load) -> None:
    application, _ = load("handlers: Retention")
    days = [(rule.state, rule.keep / 86400) for rule in rules_of(application)]
    assert days == [("successful", 30), ("failed", 90)]


async def test_whose_work_it_is(client, start, load) -> None:
    application, module = load("pushing: Whose work it is")
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
    application, module = load("contracts")
    await create_queue(client, "tickets")
    assert await module.program() == "tickets"
    assert [one.options.queue for one in application] == ["tickets"]


async def test_a_group_of_errors_is_retried_from_python(
    client, load, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    await create_queue(client, "invoices")
    for number in (1, 2):
        await client.push_workitem("invoices", {"n": number})
        popped = await client.pop_workitem("invoices")
        message = f"order {number} is gone"
        broken = replace(popped, state="failed", errormessage=message, errortype="business")
        await client.update_workitem(broken)
    _, page = load("seeing: From Python")
    await page.retry_the_largest_group()
    assert capsys.readouterr().out.split() == ["2", "2"]
    assert {one["state"] for one in await client.query("workitems", {})} == {"new"}


async def test_workers_are_steered_from_python(client, start, load, capsys) -> None:
    application, _ = load("README")
    await ended(client, start, application, "invoices", {"number": "1", "amount": "5"})
    _, page = load("steering: For programs")
    await page.calm_down("invoices")
    said = capsys.readouterr().out
    assert "0 ['concurrency of invoices:" in said


async def test_the_errors_of_an_item_are_read_from_its_timeline(
    client, load, tmp_path, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    await create_queue(client, "invoices")
    await client.push_workitem("invoices", {})
    popped = await client.pop_workitem("invoices")
    broken = replace(popped, state="failed", errormessage="it is gone", errortype="business")
    await client.update_workitem(broken)
    _, page = load("timeline: From Python")
    assert await page.last_errors(popped.id) == ["it is gone"]


async def test_traces_go_on_to_other_services(client, start, load, monkeypatch) -> None:
    seen: list[str] = []

    async def post(self: object, url: str, **more: dict[str, dict[str, str]]) -> None:
        seen.append(more["headers"]["traceparent"])

    monkeypatch.setattr("httpx.AsyncClient.post", post)
    application, _ = load("observing: Traces")
    place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = {"openiap_worker": {"traceparent": place}, "to": "me"}
    (done,) = await ended(client, start, application, "orders", given)
    assert (done["state"], seen) == ("successful", [place])


async def test_headers(client, start, load) -> None:
    application, _ = load("observing: Headers")
    for queue in ("printing", "archive"):
        await create_queue(client, queue)
    given = {"openiap_worker": {"headers": {"order": "4711"}}, "text": "Dear"}
    await ended(client, start, application, "letters", given)
    printing = await until_one(client, {"wiq": "printing"})
    archive = await until_one(client, {"wiq": "archive"})
    assert printing["payload"]["openiap_worker"]["headers"] == {"order": "4711"}
    kept = {"order": "4711", "kept": "10y"}
    assert archive["payload"]["openiap_worker"]["headers"] == kept


async def test_a_breaker_opens_for_a_system_that_is_away(client, start, load, monkeypatch) -> None:
    application, _ = load("pausing: Breakers")

    async def post(self, url: str, **more: object) -> httpx.Response:
        return httpx.Response(503, request=httpx.Request("POST", url))

    monkeypatch.setattr("httpx.AsyncClient.post", post)
    await create_queue(client, "invoices", maxretries=1)
    await client.push_workitem("invoices", {"n": 1})
    await start(application)
    async with asyncio.timeout(60):
        while True:
            (queue,) = await client.query("mq", {"name": "invoices"})
            payments = queue.get("openiap_worker_breakers", {}).get("payments", {})
            if payments.get("state") == "open":
                break
            await asyncio.sleep(0.02)
    assert payments["pause"] == 300
    item = await until_one(client, {"wiq": "invoices", "state": "new"})
    assert item["retries"] == 0
