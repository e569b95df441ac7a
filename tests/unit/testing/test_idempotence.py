"""Two deliveries of one item must come to the same end."""

import itertools

import pytest

from worker import BusinessError, Item, handler
from worker.testing import NotIdempotent, assert_idempotent


class Ledger:
    def __init__(self) -> None:
        self.rows: list[str] = []
        self.by_number: dict[str, int] = {}


@handler("sums")
async def add(payload: dict[str, int]) -> dict[str, int]:
    return {"sum": sum(payload.values())}


@handler("vouchers")
async def append(payload: dict[str, str], ledger: Ledger) -> None:
    ledger.rows.append(payload["number"])


@handler("vouchers")
def put(payload: dict[str, str], ledger: Ledger) -> None:
    ledger.by_number[payload["number"]] = 1


async def test_a_handler_that_does_the_same_twice_passes() -> None:
    run = await assert_idempotent(add, {"a": 1, "b": 2})
    assert run.payload == {"a": 1, "b": 2, "sum": 3}


async def test_a_business_error_twice_is_the_same_end() -> None:
    @handler("never")
    async def never(item: Item) -> None:
        raise BusinessError("no")

    assert (await assert_idempotent(never)).outcome.kind == "business"


async def test_another_result_is_told_with_its_place() -> None:
    numbers = itertools.count(1)

    @handler("vouchers")
    async def number() -> dict[str, str]:
        return {"voucher": f"V-{next(numbers)}"}

    with pytest.raises(NotIdempotent) as caught:
        await assert_idempotent(number)
    assert str(caught.value).splitlines()[1:] == ['  payload.voucher: "V-1", then "V-2"']
    assert "number is not idempotent; delivered twice, it gave" in str(caught.value)


async def test_another_outcome_and_another_attachment_are_told() -> None:
    seen: list[int] = []

    @handler("once")
    async def once(item: Item) -> None:
        seen.append(1)
        await item.attach(b"x" * len(seen), "out.bin")
        if len(seen) == 2:
            raise BusinessError("booked already")

    with pytest.raises(NotIdempotent) as caught:
        await assert_idempotent(once)
    assert [d.path for d in caught.value.differences] == [
        "outcome",
        "message",
        "payload",
        "attachments.out.bin",
    ]


async def test_what_is_left_in_the_world_is_compared() -> None:
    ledger = Ledger()
    with pytest.raises(NotIdempotent, match=r'state\[1\]: nothing, then "7"'):
        await assert_idempotent(
            append, {"number": "7"}, resources={Ledger: ledger}, state=lambda: ledger.rows
        )
    await assert_idempotent(
        put, {"number": "7"}, resources={Ledger: ledger}, state=lambda: ledger.by_number
    )
