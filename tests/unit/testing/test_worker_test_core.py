"""``worker_test`` shows pushes, progress and checkpoints, and runs what stands around handlers."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from worker import BusinessError, Item, handler
from worker.app.lifespan import lifespan
from worker.app.middleware import middleware
from worker.app.signature import Resource
from worker.testing import NotIdempotent, Progress, WorkerTest, assert_idempotent


class Letter(BaseModel):
    to: str


class Database:
    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False


class Session:
    def __init__(self, database: str) -> None:
        self.database = database


@handler("letters")
async def send(letter: Letter) -> None: ...


@handler("orders")
async def order(payload: dict[str, Any], item: Item) -> None:
    await item.progress(0.5, "half")
    await item.checkpoint({"page": 3})
    await send.push(Letter(to="now"), priority=1)
    await item.push(send, Letter(to="after"), delay="1h", name="reminder")
    if payload.get("bad"):
        raise BusinessError("no")
    await item.progress(1)


async def test_pushes_are_shown_and_not_sent(worker_test: WorkerTest) -> None:
    run = await worker_test(order)
    assert run.outcome.kind == "successful", run.outcome
    now, after = run.pushes
    assert (now.queue, now.payload, now.priority, now.follow_up) == (
        "letters",
        {"to": "now"},
        1,
        False,
    )
    assert (after.payload, after.name, after.follow_up) == ({"to": "after"}, "reminder", True)
    assert after.nextrun is not None


async def test_follow_ups_of_a_handler_that_fails_are_not_there(worker_test: WorkerTest) -> None:
    run = await worker_test(order, {"bad": True})
    assert [push.payload["to"] for push in run.pushes] == ["now"]


async def test_a_push_that_does_not_fit_is_refused_as_by_the_worker(
    worker_test: WorkerTest,
) -> None:
    @handler("wrong")
    async def wrong(item: Item) -> None:
        await item.push(send, {"from": "x"})

    run = await worker_test(wrong)
    assert run.outcome.kind in ("application", "failed")
    assert "does not fit" in run.outcome.message


async def test_the_result_of_what_was_not_sent_is_refused(worker_test: WorkerTest) -> None:
    @handler("waiting")
    async def wait() -> None:
        await (await send.push(Letter(to="x"))).result()

    run = await worker_test(wait)
    assert "the item for letters was not sent, so it has no result here" in run.outcome.message


async def test_progress_and_checkpoints_are_shown(worker_test: WorkerTest) -> None:
    run = await worker_test(order)
    assert run.progress == (Progress(0.5, "half"), Progress(1.0))
    assert run.checkpoints == ({"page": 3},)
    assert run.payload == {}
    failed = await worker_test(order, {"bad": True})
    assert failed.payload == {"bad": True}  # what the worker keeps for the next attempt is its own


async def test_the_checkpoint_of_an_earlier_attempt_is_given(worker_test: WorkerTest) -> None:
    @handler("pages")
    async def pages(item: Item) -> dict[str, Any]:
        done = item.checkpointed or {"page": 0}
        await item.checkpoint({"page": done["page"] + 1})
        return {"from": done["page"]}

    run = await worker_test(pages, checkpoint={"page": 3}, attempt=2)
    assert run.payload == {"from": 3}
    assert run.checkpoints == ({"page": 4},)
    assert (await worker_test(pages)).payload == {"from": 0}


@lifespan
async def database() -> AsyncIterator[Database]:
    found = Database("real")
    yield found
    found.closed = True


def session(database: Database) -> Session:
    return Session(database.name)


@handler("rows")
async def store(
    database: Database, session: Annotated[Session, Resource(session)]
) -> dict[str, Any]:
    return {"database": database.name, "session": session.database, "closed": database.closed}


async def test_lifespans_and_factories_run_as_in_the_worker(worker_test: WorkerTest) -> None:
    run = await worker_test(store, around=[database])
    assert run.payload == {"database": "real", "session": "real", "closed": False}


async def test_resources_stand_in_for_lifespans_and_factories(worker_test: WorkerTest) -> None:
    fake = await worker_test(store, around=[database], resources={Database: Database("fake")})
    assert fake.payload == {"database": "fake", "session": "fake", "closed": False}
    both = await worker_test(
        store, resources={Database: Database("fake"), session: Session("another")}
    )
    assert both.payload == {"database": "fake", "session": "another", "closed": False}


async def test_middleware_is_entered(worker_test: WorkerTest) -> None:
    seen: list[str] = []

    @middleware
    async def outer(item: Item) -> AsyncIterator[None]:
        seen.append(f"outer {item.queue}")
        yield
        seen.append("left")

    @middleware
    async def inner() -> AsyncIterator[None]:
        seen.append("inner")
        yield

    @handler("q", middleware=[inner])
    async def work() -> None:
        seen.append("work")

    await worker_test(work, around=[outer])
    assert seen == ["outer q", "inner", "work", "left"]


async def test_a_second_push_of_another_item_is_not_idempotent() -> None:
    numbers: list[int] = []

    @handler("numbered")
    async def numbered(item: Item) -> None:
        numbers.append(1)
        await item.push("next", {"n": len(numbers)})

    with pytest.raises(NotIdempotent, match=r"pushes\[0\]\.payload\.n: 1, then 2"):
        await assert_idempotent(numbered)
    await assert_idempotent(order)
