"""Contracts: what the command writes, and pushes held to it."""

import asyncio
import json
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from tests.integration.engine.conftest import create_queue
from worker import BusinessError, ContractError, Contracts, Item, connect, contracts_of, handler
from worker.cli.app import main
from worker.item.signals import COLLECTION
from worker.management import Items
from worker.management.errors import ValidationError
from worker.management.items.signalling import ItemSignalPayload


class Invoice(BaseModel):
    number: str = Field(min_length=1)
    amount: float = Field(gt=0, alias="total")


class Booking(BaseModel):
    voucher: str


@handler("invoices", files=["*.pdf"], codes=["CLOSED"])
async def book(invoice: Invoice) -> Booking:
    """Book an invoice.

    And more.
    """
    if invoice.number == "0":
        raise BusinessError("no", code="NO_NUMBER")
    return Booking(voucher="V")


@handler("loose")
async def loose(payload: dict) -> None: ...


def test_a_contract_says_what_goes_in_and_comes_out() -> None:
    document = contracts_of([book, loose])
    assert document["contracts"] == "openiap-worker/1"
    contract = document["queues"]["invoices"]
    assert contract["does"] == "Book an invoice."
    assert contract["files"] == ["*.pdf"]
    assert contract["errors"] == ["CLOSED", "NO_NUMBER"]
    assert contract["payload"]["required"] == ["number", "total"]
    assert contract["result"]["properties"]["voucher"] == {"title": "Voucher", "type": "string"}
    assert document["queues"]["loose"]["payload"] == {"type": "object"}
    assert document["queues"]["loose"]["result"] == {"type": "null"}


async def test_pushes_are_held_to_contracts(client, settings, tmp_path: Path) -> None:
    await create_queue(client, "invoices")
    await create_queue(client, "other")
    path = tmp_path / "contracts.json"
    path.write_text(json.dumps(contracts_of([book])))
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(b"x")
    async with connect(settings, contracts=Contracts.read(path)) as producer:
        with pytest.raises(ContractError) as at:
            await producer.push("invoices", {"number": "1", "total": "much"}, files=[scan])
        assert str(at.value) == (
            "The payload does not fit the contract of invoices:"
            " total: 'much' is not of type 'number'."
        )
        with pytest.raises(ContractError) as at:
            await producer.push("invoices", {"number": "1", "total": 2}, files=[path])
        assert str(at.value) == (
            "The contract of invoices asks for a file *.pdf; given: contracts.json."
        )
        await producer.push("invoices", {"number": "1", "total": 2}, files=[scan], namespace="a")
        await producer.push("other", {"anything": 1})
    assert await client.count("workitems") == 2
    with pytest.raises(ContractError, match="no contracts"):
        Contracts({"queues": {}})


class Approval(BaseModel):
    by: str


@handler("approved")
async def approved(payload: dict, item: Item) -> None:
    class Local(BaseModel):
        place: int

    await asyncio.wait_for(asyncio.sleep(0), 1)
    await item.wait_for("approval", timeout="7d", type=list[Approval])
    await item.wait_for("anything")
    await item.wait_for("two", type=int)
    await item.wait_for("two", type=Approval)
    await item.wait_for("local", type=Local)
    await item.wait_for(f"made {item.id}", type=int)


async def test_signals_are_held_to_the_contracts_of_who_waits(client, settings) -> None:
    document = json.loads(json.dumps(contracts_of([approved, loose])))
    signals = document["queues"]["approved"]["signals"]
    assert set(signals) == {"anything", "approval", "local", "two"}
    assert signals["approval"]["items"] == {"$ref": "#/$defs/Approval"}
    assert (signals["anything"], signals["two"], signals["local"]) == ({}, {}, {})
    assert "signals" not in document["queues"]["loose"], "contracts without any stay as they are"
    for queue in ("approved", "loose"):
        await create_queue(client, queue)
    contracts = Contracts(document)
    async with connect(settings, contracts=contracts) as producer:
        pushed = await producer.push("approved", {})
        wrong = "The value of signal 'approval' does not fit the contract of approved: 0.by: 5 is"
        for told in (pushed, approved.pushed(pushed.id), producer.pushed(pushed.id)):
            with pytest.raises(ContractError, match=f"{wrong} not of type 'string'."):
                await told.signal("approval", [{"by": 5}])
        asked = ItemSignalPayload(id=pushed.id, name="approval", value=[{"by": 5}])
        with pytest.raises(ValidationError, match=wrong):
            await Items(client, contracts=contracts).signal_one(asked)
        assert await client.count(COLLECTION, {"name": "approval"}) == 0
        await producer.signal(pushed.id, "approval", [Approval(by="Ada")])
        await producer.signal(pushed.id, "unknown", 1)
        other = await producer.push("loose", {})
        await other.signal("approval", 1)
    assert await client.count(COLLECTION, {"name": {"$in": ["approval", "unknown"]}}) == 3


def test_the_command_writes_checks_and_tells_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "contract_handlers.py"
    module.write_text(
        "from worker import handler\n\n"
        "@handler('contract-q')\nasync def work(payload: dict) -> None:\n    'Do it.'\n"
    )
    file = tmp_path / "contracts.json"
    arguments = ["contract", "--handlers", "contract_handlers"]
    assert main([*arguments, "--output", str(file)]) == 0
    assert json.loads(file.read_text())["queues"]["contract-q"]["does"] == "Do it."
    assert main([*arguments, "--check", str(file)]) == 0
    stored = json.loads(file.read_text())
    stored["queues"]["contract-q"]["files"] = ["a"]
    file.write_text(json.dumps(stored))
    capsys.readouterr()
    assert main([*arguments, "--check", str(file)]) == 1
    assert "changed: contract-q. Write it anew" in capsys.readouterr().err
    assert main([*arguments, "--check", str(tmp_path / "none.json")]) == 2
