"""``inline``: pushes that run here and now, with what they push in turn."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from worker import (
    BusinessError,
    Client,
    ContractError,
    Item,
    ItemFailed,
    NoProducer,
    Skip,
    at_priority,
    context,
    handler,
    in_namespace,
    inline,
)
from worker.errors import HandlerError

seen: list[Any] = []


class Booking(BaseModel):
    voucher: str


@handler("letters")
async def letter(to: str) -> None:
    seen.append((to, context.namespace()))


@handler("invoices")
async def book(number: str, item: Item) -> Booking:
    if number == "0":
        raise BusinessError("no number", code="NONE", data={"number": number})
    if number == "skip":
        raise Skip
    await item.push(letter, {"to": number})
    return Booking(voucher=f"V-{number}")


@handler("parents")
def parent(number: str, item: Item) -> str:
    pushed = item.wait(book.push({"number": number}))
    return item.wait(pushed.result()).voucher


@handler("scans", files=["*.txt"])
async def scan(payload: dict[str, Any], item: Item) -> int:
    return await item.files["a.txt"].size()


async def test_a_push_runs_its_handler_and_what_follows_from_it(tmp_path: Path) -> None:
    seen.clear()
    with inline(), in_namespace("acme"):
        pushed = await parent.push({"number": "7"}, delay="1h")
        assert seen == [("7", "acme")]
        assert await pushed.result() == "V-7"
        assert await pushed.state() == "successful"
        assert await pushed.cancel() == "ended"
        many = await book.push_many([{"number": "1"}, {"number": "2"}])
        assert [(await one.result()).voucher for one in many] == ["V-1", "V-2"]
        (tmp_path / "a.txt").write_bytes(b"four")
        scanned = await scan.push({}, files=[tmp_path / "a.txt"])
        assert await scanned.result() == 4
    with pytest.raises(NoProducer):
        await book.push({"number": "7"})


@handler("told")
async def told(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    after = await letter.push({"to": "b"})
    return {
        "item": [item.id, item.name, item.priority, dict(item.headers)],
        "context": [context.item_id(), context.priority(), dict(context.headers())],
        "after": after.id,
    }


async def test_an_item_is_what_its_push_said() -> None:
    with inline(), at_priority(5):
        pushed = await told.push({}, name="N", priority=1, headers={"order": "4711"})
        result = await pushed.result()
        assert result["item"] == [pushed.id, "N", 1, {"order": "4711"}]
        assert result["context"] == [pushed.id, 1, {"order": "4711"}]
        assert result["after"] != pushed.id
        assert (await (await told.push({})).result())["item"][1:3] == ["", 5]


@handler("asks")
async def asks(payload: dict[str, Any], client: Client) -> None: ...


async def test_a_handler_that_cannot_be_run_is_no_item_s_failure() -> None:
    with inline(), pytest.raises(HandlerError, match="asks for a Client: run"):
        await asks.push({})


async def test_an_error_is_the_result_s() -> None:
    seen.clear()
    with inline():
        failed = await book.push({"number": "0"})
        with pytest.raises(ItemFailed) as at:
            await failed.result()
        assert (at.value.code, at.value.data, at.value.errortype) == (
            "NONE",
            {"number": "0"},
            "business",
        )
        assert seen == []
        skipped = await book.push({"number": "skip"})
        assert await skipped.state() == "successful"
        with pytest.raises(ContractError):
            await book.push({})


async def test_a_queue_s_name_is_enough_where_its_handler_is_known() -> None:
    with inline(letter) as producer:
        await producer.push("letters", {"to": "a"})
        with pytest.raises(NoProducer, match="the handler of queue nowhere is not known"):
            await producer.push("nowhere", {})
        with pytest.raises(ItemFailed, match="to: Field required"):
            await (await producer.push("letters", {})).result()
