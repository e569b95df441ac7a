"""Values through the whole way: pushed, worked, handed on to the next handler, read back."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from tests.integration.engine.conftest import create_queue, until_finished
from worker import ContractError, Item, connect, handler


class Line(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel, extra="forbid")
    unit_price: Decimal
    color_id: UUID


class Order(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel)
    due_at: datetime
    due_day: date
    local_time: datetime
    lines: tuple[Line, ...]
    by_number: dict[int, set[str]] = Field(default_factory=dict)
    raw: bytes = b""


ORDER = Order(
    dueAt=datetime(2026, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=2))),
    dueDay=date(2026, 1, 2),
    localTime=datetime(2026, 1, 2, 3, 4, 5, 1),
    lines=(Line(unitPrice=Decimal("1.10"), colorId=UUID(int=7)),),
    byNumber={7: {"a", "b"}},
    raw="Zoë".encode(),
)


@handler("first")
async def first(order: Order, item: Item) -> Order:
    assert order == ORDER
    await item.push(second, order)
    return order


@handler("second")
def second(order: Order) -> Order:
    assert order == ORDER
    return order


@handler("numbers")
async def numbers(payload: dict[str, int]) -> dict[str, int]:
    return {"next": payload["id"] + payload["step"]}


async def test_a_strict_model_with_aliases_goes_the_whole_way(client, settings, start) -> None:
    await create_queue(client, "first")
    await create_queue(client, "second")
    await start(first, second)
    async with connect(settings):
        pushed = await first.push(ORDER)
        assert await pushed.result(timeout="1m") == ORDER
    (one,) = await until_finished(client, "first")
    (two,) = await until_finished(client, "second")
    for done in (one, two):
        assert done["state"] == "successful"
        assert sorted(done["payload"]) == [
            "byNumber",
            "dueAt",
            "dueDay",
            "lines",
            "localTime",
            "raw",
        ]
    assert one["payload"]["lines"] == [{"unitPrice": "1.10", "colorId": str(UUID(int=7))}]
    assert one["payload"]["dueAt"] == "2026-01-02T03:04:05.678901+02:00"


async def test_what_would_be_changed_is_refused_where_it_is_said(client, settings, start) -> None:
    await create_queue(client, "numbers", maxretries=3)
    await start(numbers)
    async with connect(settings) as producer:
        for odd in ({"id": 2**53 + 1}, {"a": {"password": SecretStr("hunter2")}}, {"x": {1: 2}}):
            with pytest.raises(ContractError):
                await producer.push("numbers", odd)
        fits = await producer.push("numbers", {"id": 2**53 - 2, "step": 1})
        assert (await fits.result(timeout="1m"))["next"] == 2**53 - 1
        await producer.push("numbers", {"id": 2**53, "step": 1})
    found = await until_finished(client, "numbers", count=2)
    (failed,) = [one for one in found if one["state"] == "failed"]
    assert failed["retries"] == 0
    assert "the result: next: 9007199254740993 is beyond" in failed["errormessage"]


async def test_an_untyped_moment_keeps_its_microseconds_and_its_zone(client, settings) -> None:
    await create_queue(client, "moments")
    now = datetime.now(UTC)
    async with connect(settings) as producer:
        pushed = await producer.push("moments", {"naive": now.replace(tzinfo=None), "aware": now})
    (item,) = await client.query("workitems", {"_id": pushed.id})
    assert datetime.fromisoformat(item["payload"]["naive"]) == now.replace(tzinfo=None)
    assert datetime.fromisoformat(item["payload"]["aware"]) == now
