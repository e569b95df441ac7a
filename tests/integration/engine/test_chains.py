"""What an item of a chain tells of the item that it comes from, and what that one keeps."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
    until_finished,
    until_one,
)
from tests.integration.engine.test_taking_over import Line, log
from worker import BusinessError, DeadLetter, Item, Origin, Retry, handler
from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.writeback import WriteBack
from worker.item.metadata import taken_out
from worker.item.outcome import NOTHING_RAISED, Outcome, failure
from worker.item.retry import RetryPolicy
from worker.openiap.client import Client
from worker.openiap.workitem import Workitem

BOUNDED: dict[str, Any] = {"maxretries": 2, "failed_wiq": "rest"}
NOW: dict[str, Any] = {
    "attempt": 2,
    "policy": RetryPolicy(),
    "now": datetime.now(UTC),
    "chance": Random(1),
}


def sender(client: Client) -> WriteBack:
    line: Any = Line(client)
    return WriteBack(line, worker_id="me", lease=1e6, log=log())


async def test_a_dead_letter_bears_the_error_and_the_id_of_its_item(client: Client, start) -> None:
    letters: dict[str, DeadLetter] = {}

    @handler("q")
    async def work(n: dict, item: Item) -> None:
        if n["how"] == "business":
            raise BusinessError("no number", code="NO_VAT")
        if n["how"] == "retry":
            raise Retry(after=0, reason="not ready")
        await item.checkpoint({"page": 3})
        raise RuntimeError("[red]boom[/red]")

    @handler("typed")
    async def typed(payload: dict[str, int]) -> None: ...

    @handler("rest")
    async def rest(payload: dict, item: Item) -> None:
        assert item.dead_letter is not None
        assert "openiap_worker" not in payload | item.payload
        letters[payload["how"]] = item.dead_letter
        assert item.dead_letter == item.origin

    for queue in ("q", "typed"):
        await create_queue(client, queue, **BOUNDED)
    await create_queue(client, "rest")
    ids = {
        how: (await client.push_workitem(queue, {"how": how})).id
        for how, queue in (
            ("business", "q"),
            ("retry", "q"),
            ("application", "q"),
            ("invalid", "typed"),
        )
    }
    await start(work, typed, rest)
    await until_finished(client, "rest", 4)
    assert {how: (one.id, one.queue, one.attempts) for how, one in letters.items()} == {
        "business": (ids["business"], "q", 1),
        "retry": (ids["retry"], "q", 2),
        "application": (ids["application"], "q", 2),
        "invalid": (ids["invalid"], "typed", 1),
    }
    wrong = letters["business"]
    assert (wrong.kind, wrong.code, wrong.message) == ("business", "NO_VAT", "no number")
    assert "raise BusinessError" in wrong.source
    assert (letters["retry"].kind, letters["retry"].message) == ("application", "not ready")
    assert letters["application"].message == "RuntimeError: [red]boom[/red]"
    assert letters["invalid"].kind == "business"
    assert "how" in letters["invalid"].message


@official_is_dear
async def test_a_process_handler_reads_dead_letters_too(client: Client, start) -> None:
    @handler("q")
    async def work(payload: dict) -> None:
        raise BusinessError("no number")

    await create_queue(client, "q", failed_wiq="rest-in-a-child")
    await create_queue(client, "rest-in-a-child")
    pushed = await client.push_workitem("q", {"n": 1})
    await start(work, process_deeds.sorted_out)
    (done,) = await until_finished(client, "rest-in-a-child")
    found = taken_out(done["payload"])[0]
    assert found == {"n": 1, "of": pushed.id, "because": "no number"}, done


async def test_the_next_item_of_a_chain_knows_the_one_before(client: Client, start) -> None:
    origins: list[Origin | None] = []

    @handler("first")
    async def first(payload: dict, item: Item) -> dict:
        if item.attempt == 1:
            raise RuntimeError("once more")
        return {"booked": True}

    @handler("second")
    async def second(payload: dict, item: Item) -> None:
        origins.append(item.origin)
        assert payload == {"n": 1, "booked": True}
        assert item.dead_letter is None

    await create_queue(client, "second")
    await create_queue(client, "first", success_wiq="second")
    pushed = await client.push_workitem("first", {"n": 1})
    await start(first, second)
    await until_finished(client, "second")
    assert origins == [Origin(pushed.id, "first", 2)]
    done = await until_one(client, {"_id": pushed.id})
    if client.capabilities.conditional_updates:
        assert not {"errormessage", "errorsource", "errortype"} & set(done)


@pytest.mark.parametrize("client_name", ["native"])
@pytest.mark.parametrize("chain", [{}, {"success_wiq": "next"}])
async def test_an_item_that_succeeds_sheds_the_error_of_an_earlier_attempt(
    client: Client, start, chain: dict[str, str]
) -> None:
    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        if item.attempt == 1:
            raise RuntimeError("boom")

    await create_queue(client, "next")
    await create_queue(client, "q", **chain)
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["retries"] == 1
    assert not {"errormessage", "errorsource", "errortype"} & set(done)


@pytest.mark.parametrize(
    ("own", "odd"),
    [(False, {}), (True, {}), (False, {"openiap_worker": "odd"})],
    ids=["queue", "item", "odd"],
)
async def test_an_item_that_nobody_works_any_more_is_a_dead_letter_too(
    client: Client, own: bool, odd: dict[str, str]
) -> None:
    """As it is taken over: nothing is known of its payload, which it keeps."""
    await create_queue(client, "rest")
    await create_queue(client, "q", **({} if own else BOUNDED))
    await client.push_workitem("q", {"n": 1, **odd})
    popped = await client.pop_workitem("q")
    assert popped is not None
    if own:
        document = await until_one(client, {"_id": popped.id})
        await client.update_one("workitems", {**document, "failed_wiq": "rest"})
    known = Workitem(id=popped.id, wiq="q", payload=None, lastrun=popped.lastrun)
    dead = Outcome("failed", None, "it was alone in 3 deaths")
    delivered = await sender(client).deliver(Delivery(known, dead))
    assert (delivered.result, delivered.state) == ("applied", "failed")
    copy = await until_one(client, {"wiq": "rest"})
    mark = copy["payload"].pop("openiap_worker")["origin"]
    assert copy["payload"] == {"n": 1}
    assert mark == {
        "id": popped.id,
        "queue": "q",
        "attempts": 1,
        "error": {"type": "application", "message": "it was alone in 3 deaths"},
    }


@pytest.mark.parametrize(
    ("outcome", "source"),
    [
        (Outcome("failed", None, "refused", NOTHING_RAISED), NOTHING_RAISED),
        (failure(Retry(reason="busy"), **NOW), "Retry: busy"),
        (failure(Retry(after=5, reason="busy"), **NOW), "Retry: busy"),
    ],
    ids=["worker", "retry", "retry-after"],
)
async def test_message_and_source_are_of_the_same_attempt(
    client: Client, outcome: Outcome, source: str
) -> None:
    await create_queue(client, "q", maxretries=5)
    await client.push_workitem("q", {"n": 1})
    popped = await client.pop_workitem("q")
    assert popped is not None
    earlier = replace(
        popped, payload=None, state="retry", errormessage="1", errorsource="of the 1st"
    )
    await client.update_workitem(replace(earlier, errortype="application"))
    again = await client.pop_workitem("q")
    assert again is not None
    await sender(client).deliver(Delivery(again, outcome))
    found = await until_one(client, {"_id": popped.id})
    assert found["errormessage"] == outcome.message
    assert source in found["errorsource"]
    assert "of the 1st" not in found["errorsource"]
