"""``replay``: an item is worked here, seen, and left as it is unless it is told otherwise."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.cli.commands import run_here
from tests.integration.testing.commands import Done, command
from worker.item.metadata import KEY
from worker.item.steps import Steps
from worker.testing import ItemView, LocalOpenIAP

WORK = """
from worker import BusinessError, Client, Item, Retry, handler

@handler("invoices", process={process})
async def book(payload: dict, item: Item) -> dict:
    item.log.info("booking", number=payload.get("number"))
    if payload.get("how") == "broken":
        secret_of_the_frame = 4711
        raise KeyError("no supplier")
    if payload.get("how") == "later":
        raise Retry(after="10m", reason="the books are closed")
    if payload.get("how") == "bad":
        raise BusinessError("no such customer", code="NO_CUSTOMER")
    text = "".join([await f.read_text() for f in item.files.values()])
    await item.attach(text.upper().encode(), "receipt.txt")
    return {{"voucher": f"V-{{item.attempt}}", "number": payload["number"] + 1}}

@handler("vouchers")
async def store(payload: dict, item: Item, client: Client) -> dict:
    stored = await client.insert_one("vouchers", {{"item": item.id}})
    pushed = await client.push_workitem("next", {{"of": item.id}})
    return {{"stored": len(stored["_id"]), "pushed": len(pushed.id),
            "there": await client.count("vouchers")}}

@handler("long")
async def long(payload: dict, item: Item) -> dict:
    charged = await item.step("charge", lambda: "V-now")
    text = await item.step("note", lambda: payload["note"])
    if payload.get("days"):
        await item.sleep("3d")
    return {{"charged": charged, "text": text}}

@handler("asking")
async def ask(client: Client) -> dict:
    return {{"answer": await client.rpc({{}}, "somebody")}}
"""


@pytest.fixture
def openiap_client() -> str:
    return "native"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "project"
    found.mkdir()
    (found / "work.py").write_text(WORK.format(process=False))
    return found


async def run(openiap: LocalOpenIAP, folder: Path, *arguments: str, typed: str = "") -> Done:
    """Replay in a process of its own where somebody debugs, else in a thread of this one."""
    words = ("replay", *arguments, "--handlers", "work")
    if typed or "--debugger" in arguments:
        return await command(openiap, folder, *words, typed=typed)
    environment = {**openiap.environment, "OPENIAP_WORKER_CLIENT": openiap.client_name}
    done = await asyncio.to_thread(run_here, *words, folder=folder, environment=environment)
    return Done(done.returncode, done.stdout, done.stderr)


def same(one: ItemView, other: ItemView) -> bool:
    return one.document == other.document


async def test_the_outcome_is_shown_as_a_difference(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    id = await local_openiap.push("invoices", {"number": 1}, files={"a.txt": b"abc"})
    before = local_openiap.item(id)
    done = await run(local_openiap, folder, id)
    assert done.code == 0, done.stderr
    for line in (
        "Outcome  successful, in ",
        '~ state: "new" → "successful"',
        "~ payload.number: 1 → 2",
        '+ payload.voucher: "V-1"',
        "+ file receipt.txt (3 B)",
        f"Nothing was sent. To send it: openiap-worker replay {id} --send",
    ):
        assert line in done.stdout.replace("3 Bytes", "3 B"), done.stdout
    assert "booking" in done.stderr
    assert same(local_openiap.item(id), before)


@pytest.mark.parametrize("openiap_client", ["native", "official"])
async def test_a_failed_item_is_played_again_and_sent_when_told(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    id = await local_openiap.push("invoices", {"number": 1}, files={"a.txt": b"abc"})
    popped = await local_openiap.client.pop_workitem("invoices")
    assert popped is not None
    popped.state, popped.errortype, popped.errormessage = "retry", "business", "it was wrong"
    await local_openiap.client.update_workitem(popped)
    before = local_openiap.item(id)
    assert before.state == "failed"
    done = await run(local_openiap, folder, id, "--json")
    data = json.loads(done.stdout)
    assert data["state"] == {"before": "failed", "after": "successful"}
    assert data["payload"] == [
        {"path": "number", "change": "changed", "before": 1, "after": 2},
        {"path": "voucher", "change": "added", "before": None, "after": "V-1"},
    ]
    assert (data["files"], data["sent"]) == ({"receipt.txt": 3}, False)
    assert same(local_openiap.item(id), before)

    sent = await run(local_openiap, folder, id, "--send")
    assert sent.code == 0, sent.stderr
    assert "Sent: the item is as shown." in sent.stdout
    after = local_openiap.item(id)
    assert (after.state, after.payload) == ("successful", {"number": 2, "voucher": "V-1"})
    assert local_openiap.file(id, "receipt.txt") == b"ABC"


async def test_what_the_handler_writes_is_held_back(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    local_openiap.queue("next")
    id = await local_openiap.push("vouchers")
    done = await run(local_openiap, folder, id)
    assert done.code == 0, done.stdout + done.stderr
    assert "Held back  2 calls, not sent" in done.stdout
    assert f"insert_one(collectionname='vouchers', item={{'item': '{id}'}})" in done.stdout
    assert f"push_workitem(wiq='next', payload={{'of': '{id}'}})" in done.stdout
    assert "+ payload.stored: 24" in done.stdout
    assert await local_openiap.client.count("vouchers") == 0
    assert local_openiap.items("next") == []

    sent = await run(local_openiap, folder, id, "--send")
    assert sent.code == 0, sent.stderr
    assert await local_openiap.client.count("vouchers") == 1
    assert [item.payload for item in local_openiap.items("next")] == [{"of": id}]
    asking = await run(local_openiap, folder, await local_openiap.push("asking"))
    assert asking.code == 1
    assert "nobody can say what the answer would be; with --send it is sent" in asking.stdout


async def test_errors_are_shown_with_what_becomes_of_the_item(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    broken = await local_openiap.push("invoices", {"number": 1, "how": "broken"})
    done = await run(local_openiap, folder, broken)
    assert done.code == 1
    assert "Outcome  application error: retried by the queue's rules" in done.stdout
    assert "KeyError: 'no supplier'" in done.stdout
    assert 'state: "new"' in done.stdout
    last = await run(local_openiap, folder, broken, "--attempt", "3")
    assert '~ state: "new" → "failed"' in last.stdout  # the queue allows 3

    later = await run(
        local_openiap, folder, await local_openiap.push("invoices", {"number": 1, "how": "later"})
    )
    # Seconds from now, and the command may need some to say so.
    assert re.search(r"\+ next run in (10m|9m\d+s)\b", later.stdout), later.stdout
    bad = await run(
        local_openiap, folder, await local_openiap.push("invoices", {"number": 1, "how": "bad"})
    )
    assert "business error: failed, never retried" in bad.stdout
    assert "[NO_CUSTOMER] no such customer" in bad.stdout


@pytest.mark.parametrize("process", [False, True])
async def test_the_debugger_opens_where_the_handler_raised(
    local_openiap: LocalOpenIAP, folder: Path, process: bool
) -> None:
    (folder / "work.py").write_text(WORK.format(process=process))
    id = await local_openiap.push("invoices", {"number": 1, "how": "broken"})
    done = await run(local_openiap, folder, id, "--debug", typed="p secret_of_the_frame\nq\n")
    assert "The debugger is where the handler raised" in done.stderr
    assert "4711" in done.stdout
    assert done.code == 1
    assert local_openiap.item(id).attempts == 0


async def test_a_debugger_from_outside_is_waited_for(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    # In the place of debugpy, which nobody here can attach to.
    (folder / "debugpy.py").write_text(
        "def listen(address):\n    print('listens on', address)\n\n"
        "def wait_for_client():\n    print('waits')\n"
    )
    id = await local_openiap.push("invoices", {"number": 1})
    done = await run(local_openiap, folder, id, "--debugger", "5678")
    assert done.code == 0
    assert "listens on ('127.0.0.1', 5678)\nwaits\n" in done.stdout
    assert "Waiting for a debugger on 127.0.0.1:5678." in done.stderr


@pytest.mark.dear
async def test_what_cannot_be_replayed_is_refused_by_name(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    nobody = await run(local_openiap, folder, "000000000000000000000000")
    assert nobody.code == 1
    assert "There is no item 000000000000000000000000, or this user has no rights" in nobody.stderr
    other = await run(local_openiap, folder, await local_openiap.push("elsewhere"))
    assert other.code == 2
    assert "No handler for queue elsewhere; queues with one: asking, invoices, long" in other.stderr
    missing = await command(local_openiap, folder, "replay", "x", "--handlers", "nowhere")
    assert missing.code == 2
    assert "Module nowhere does not import: ModuleNotFoundError: No module named" in missing.stderr
    none = await command(local_openiap, folder, "replay", "x")
    assert none.code == 2
    assert "No handlers: name the modules that hold them" in none.stderr

    id = await local_openiap.push("invoices", {"number": 1})
    assert await local_openiap.client.pop_workitem("invoices") is not None
    before = local_openiap.item(id)
    assert (await run(local_openiap, folder, id)).code == 0  # seeing is free
    taken = await run(local_openiap, folder, id, "--send")
    assert taken.code == 1
    assert f"Item {id} is being processed by tester, so nothing can be sent" in taken.stderr
    assert same(local_openiap.item(id), before)


async def test_an_item_that_changed_meanwhile_is_not_overwritten(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    (folder / "work.py").write_text(
        "from worker import Client, Item, handler\n\n"
        '@handler("changing")\nasync def change(item: Item, client: Client) -> None:\n'
        '    (found,) = await client.query("workitems", {"_id": item.id})\n'
        '    await client.update_one("workitems", {**found, "priority": 1})\n'
    )
    id = await local_openiap.push("changing")
    done = await run(local_openiap, folder, id, "--send")
    assert done.code == 1
    assert f"Item {id} has changed since it was read (_modified was" in done.stderr
    assert local_openiap.item(id).state == "new"


@pytest.mark.parametrize("openiap_client", ["native", "official"])
async def test_stored_steps_are_shown_and_run_again_from_where_it_is_said(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    id = await local_openiap.push("long", {"note": "n", "days": 3})
    steps = Steps(id)
    steps.keep("charge", '"V-1"', datetime(2026, 11, 20, 10, tzinfo=UTC))
    steps.keep("note", '"old"', datetime(2026, 11, 20, 11, tzinfo=UTC))
    popped = await local_openiap.client.pop_workitem("long")
    assert popped is not None
    popped.payload = {"note": "n", "days": 3, KEY: {"steps": steps.content}}
    popped.state, popped.errortype, popped.errormessage = "retry", "business", "it was wrong"
    await local_openiap.client.update_workitem(popped)

    done = await run(local_openiap, folder, id)
    assert 'charge: "V-1" (stored 2026-11-20T10:00:00.000Z, not run)' in done.stdout
    assert "sleeps until" in done.stdout
    assert "errormessage" not in done.stdout
    again = await run(local_openiap, folder, id, "--from-step", "note", "--json")
    assert json.loads(again.stdout)["steps"] == {
        "stored": {"charge": "V-1", "note": "old"},
        "after": {"charge": "V-1", "note": "n"},
    }
    wrong = await run(local_openiap, folder, id, "--from-step", "refund")
    assert (wrong.code, wrong.stdout) == (1, "")
    assert "has no stored step 'refund'; stored: charge, note" in wrong.stderr

    sent = await run(local_openiap, folder, id, "--from-step", "note", "--send", "--json")
    after = local_openiap.item(id)
    assert after.state == "new", sent.stderr
    kept = Steps(id, after.document["payload"][KEY]["steps"])
    assert [step.value for step in kept.steps()] == ["V-1", "n"]
    assert [sleep.name for sleep in kept.sleeps()] == ["3d #1"]
    same_again = await run(local_openiap, folder, id, "--from-step", "note")
    assert 'charge: "V-1" (stored 2026-11-20T10:00:00.000Z, not run)' in same_again.stdout
    (noted,) = (line for line in same_again.stdout.splitlines() if 'note: "n"' in line)
    assert noted.endswith(", run again, the same came)")


async def test_stored_signals_are_shown_and_new_ones_read(
    local_openiap: LocalOpenIAP, folder: Path
) -> None:
    (folder / "work.py").write_text(
        "from worker import Item, handler\n\n"
        '@handler("told")\nasync def work(item: Item) -> dict:\n'
        '    first = await item.wait_for("scan")\n'
        '    return {"scans": [first, await item.wait_for("scan")]}\n'
    )
    id = await local_openiap.push("told")
    steps = Steps(id)
    at = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
    steps.add("signals", "scan #1", {"since": at, "at": at, "json": '"dock"', "doc": "s"})
    popped = await local_openiap.client.pop_workitem("told")
    assert popped is not None
    popped.payload = {KEY: {"steps": steps.content}}
    popped.state, popped.errortype = "retry", "application"
    await local_openiap.client.update_workitem(popped)
    waits = await run(local_openiap, folder, id)
    assert 'scan #1: "dock" (stored 2026-11-20T10:00:00.000Z)' in waits.stdout
    assert "waits for scan since" in waits.stdout
    sent = await run(local_openiap, folder, id, "--send")
    assert "Sent: the item is as shown." in sent.stdout, sent.stderr
    due = local_openiap.item(id).nextrun
    assert due is not None
    assert due <= datetime.now(UTC) + timedelta(seconds=1)
    await local_openiap.signal(id, "scan", "shop")
    done = json.loads((await run(local_openiap, folder, id, "--json")).stdout)
    assert done["signals"]["after"] == {"scan #1": "dock", "scan #2": "shop"}
