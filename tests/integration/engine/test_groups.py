"""Groups: items that end together, and the one item that comes after them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from rich.console import Console

from tests.integration.engine import process_groups
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
    until_finished,
)
from worker import BusinessError, GroupError, Item, Producer, handler, sync
from worker.cli.shared.item_page import show_item
from worker.engine.daemon import Daemon
from worker.engine.maintenance.retention import Rule, delete_batch
from worker.engine.maintenance.sweep import planned
from worker.item.group import member_id, then_id
from worker.item.group_desk import GroupNotFound, GroupProgress
from worker.item.metadata import taken_out
from worker.management import Items
from worker.management.items.item_groups import ItemGroup
from worker.management.items.types import ItemGetPayload
from worker.openiap.client import Client
from worker.openiap.errors import QueueNotFound
from worker.openiap.factory import make_client
from worker.openiap.workitem import FAILED, NEW, SUCCESSFUL
from worker.producer.groups.desk import ClientGroups
from worker.producer.groups.record import CLOSING, KEPT, PUSHED, Records
from worker.producer.sender import ClientSender
from worker.state.cells import COLLECTION, document_id, version_of


class Page(BaseModel):
    n: int


class Thumb(BaseModel):
    width: int


class Summary(BaseModel):
    book: str = ""
    results: list[Thumb | None]
    errors: list[dict[str, Any]]


@handler("pages", concurrency=4)
async def resize(page: Page) -> Thumb:
    if page.n == 13:
        raise BusinessError("unlucky", code="BAD_PAGE")
    return Thumb(width=100 * page.n)


@handler("scans")
async def count(payload: dict[str, int]) -> int:
    return payload["n"]


@handler("books")
async def summarize(summary: Summary) -> dict[str, Any]:
    widths = [None if one is None else one.width for one in summary.results]
    return {"widths": widths, "failed": [one["n"] for one in summary.errors]}


async def queues(client: Client, *names: str, **more: Any) -> None:
    for name in names:
        await create_queue(client, name, **more)


def producer(client: Client) -> Producer:
    return Producer(ClientSender(client), client=client)


def groups(client: Client, **more: Any) -> ClientGroups:
    return ClientGroups(client, "", ClientSender(client).cancel, **more)


async def kept_of(client: Client) -> list[str]:
    """The ids of documents that groups have beside their items."""
    query = {"_id": {"$gte": "/group", "$lt": "/groupz"}}
    return [one["_id"] for one in await client.query(COLLECTION, query, {"_id": 1}, top=500)]


async def test_what_comes_after_gets_results_in_order_and_errors_of_all_queues(
    client, start
) -> None:
    await queues(client, "orders", "pages", "scans", "books")

    @handler("orders")
    async def order(payload: dict, item: Item) -> dict:
        group = await item.push_group(
            [
                (resize, Page(n=2)),
                (resize, Page(n=13), {"priority": 1}),
                ("pages", {"n": 3}, {"name": "page 3"}),
            ],
            then=(summarize, {"book": "B"}),
        )
        return {"group": group.id, "existing": group.existing}

    await client.push_workitem("orders", {})
    await start(order, resize, summarize, rescue_interval=3600)
    (done,) = await until_finished(client, "books")
    payload, metadata = taken_out(done["payload"])
    (ordered,) = await until_finished(client, "orders")
    id = ordered["payload"]["group"]
    assert (payload["widths"], payload["failed"]) == ([200, None, 300], [1])
    assert payload["results"] == [{"width": 200}, None, {"width": 300}]
    assert payload["errors"] == [
        {
            "n": 1,
            "item": member_id(id, 1),
            "queue": "pages",
            "type": "business",
            "code": "BAD_PAGE",
            "message": "unlucky",
        }
    ]
    assert (payload["book"], done["_id"]) == ("B", then_id(id))
    assert metadata.group == {"id": id, "then": True, "got": ["widths", "failed"]}
    members = await until_finished(client, "pages", 3)
    assert {one["_id"]: one["priority"] for one in members}[member_id(id, 1)] == 1
    found = await producer(client).group(id).progress()
    assert found == GroupProgress(id, 3, 2, 1, over=True, then=then_id(id))
    results = await producer(client).group(id).results(type=Summary)
    assert (results.results, results.book) == ([Thumb(width=200), None, Thumb(width=300)], "")


async def test_a_results_form_is_known_for_scalars_and_for_models_alike(client, start) -> None:
    await queues(client, "scans", "pages")
    await start(count, resize, rescue_interval=3600)
    group = await producer(client).push_group([(count, {"n": 7}), (resize, Page(n=1))])
    assert (await group.results("30s")).results == [7, {"width": 100}]


async def test_a_call_with_the_same_key_makes_the_group_whole_and_nothing_twice(
    client, monkeypatch
) -> None:
    await queues(client, "pages", "books")
    members = [(resize, Page(n=n)) for n in range(600)]
    insert_many, calls = client.insert_many, []

    async def dies(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise QueueNotFound("no such queue")  # taken for a missing right
        return await insert_many(*args, **more)

    async def never(*args: Any, **more: Any) -> Any:
        raise RuntimeError("the process dies here")

    monkeypatch.setattr(client, "insert_many", dies)
    monkeypatch.setattr(client, "push_workitems", never, raising=False)
    monkeypatch.setattr(client, "push_workitem", never)
    with pytest.raises(RuntimeError):
        await producer(client).push_group(members, then=summarize, key="book 1")
    assert await client.count("workitems", {"wiq": "pages"}) == 500
    monkeypatch.undo()
    (id,) = await groups(client).open()
    assert not (await producer(client).group(id).progress()).whole
    with pytest.raises(GroupError, match=r"under the key 'key/book 1', with 600 other members"):
        await producer(client).push_group(members[1:], then=summarize, key="book 1")
    group = await producer(client).push_group(members, then=summarize, key="book 1")
    again = await producer(client).push_group(members, then=summarize, key="book 1")
    assert (group.id, group.existing, again.id, again.existing) == (id, False, id, True)
    found = await client.query("workitems", {"wiq": "pages"}, {"payload": 1}, top=5000)
    assert sorted(one["payload"]["n"] for one in found) == list(range(600))
    assert (await group.progress()).whole
    assert len(await kept_of(client)) == 4


async def test_lost_answers_make_no_member_twice(server, client, settings) -> None:
    await queues(client, "pages")
    client = make_client(settings.model_copy(update={"call_timeout": 1.0}))
    await client.connect()
    server.faults.lose_replies["insertmany"] = 1
    group = await asyncio.wait_for(
        producer(client).push_group([(resize, Page(n=n)) for n in range(3)]), 60
    )
    assert await client.count("workitems", {"wiq": "pages"}) == 3
    assert (await group.progress()).of == 3
    assert not server.faults.lose_replies.get("insertmany")
    await client.disconnect()


async def test_a_member_that_is_put_back_by_hand_counts_anew_and_then_comes_once(client) -> None:
    await queues(client, "pages", "books")
    group = await producer(client).push_group(
        [(resize, Page(n=1)), (resize, Page(n=13))], then=summarize
    )
    popped = [await client.pop_workitem("pages") for _ in range(2)]
    for item, state in zip(popped, (SUCCESSFUL, FAILED), strict=True):
        item.state, item.errormessage = state, "" if state == SUCCESSFUL else "no"
        await client.update_workitem(item)
    failed = await client.query("workitems", {"_id": popped[1].id}, top=1)
    due = "2026-01-01T00:00:00.000Z"
    await client.update_one("workitems", {**failed[0], "state": NEW, "nextrun": due})
    found = await groups(client).settle(group.id)
    assert (found.done, found.failed, found.over) == (1, 0, False)
    again = await client.pop_workitem("pages")
    again.state = SUCCESSFUL
    await client.update_workitem(again)
    for _ in range(2):
        assert (await groups(client).settle(group.id)).over
    assert await client.count("workitems", {"wiq": "books"}) == 1
    # What comes after stays what it was, whatever becomes of a member later.
    done = await client.query("workitems", {"_id": popped[0].id}, top=1)
    await client.update_one("workitems", {**done[0], "state": NEW})
    assert (await groups(client).settle(group.id)).over
    assert (await group.progress()).done == 1
    assert await client.count("workitems", {"wiq": "books"}) == 1


async def test_who_dies_while_closing_is_followed_and_then_comes_once(client, monkeypatch) -> None:
    await queues(client, "pages", "books")
    desk = groups(client, claim_for=0.0)
    group = await producer(client).push_group([], then=summarize, key="empty")
    assert await client.count("workitems", {"wiq": "books"}) == 1  # nothing to wait for
    group = await producer(client).push_group([(resize, Page(n=1))], then=summarize)
    item = await client.pop_workitem("pages")
    item.state = SUCCESSFUL
    await client.update_workitem(item)
    records = Records(client)
    dead = await records.step(await records.of(group.id), state=CLOSING)
    assert dead is not None
    assert not (await groups(client).settle(group.id)).over  # it may be alive
    assert await client.count("workitems", {"wiq": "books"}) == 1
    await asyncio.gather(*(desk.settle(group.id) for _ in range(3)))
    assert await client.count("workitems", {"wiq": "books"}) == 2
    assert await records.step(dead, state=PUSHED) is None
    assert group.id not in await groups(client).open()


async def test_a_failure_stops_the_members_that_wait(client, start) -> None:
    await queues(client, "pages", "books")
    members = [(resize, Page(n=13))] + [(resize, Page(n=n), {"delay": "1h"}) for n in range(5)]
    group = await producer(client).push_group(members, then=summarize, on_failure="stop")
    await start(resize, summarize)
    (done,) = await until_finished(client, "books")
    errors = {one["n"]: one["code"] for one in done["payload"]["errors"]}
    assert errors == {0: "BAD_PAGE", **dict.fromkeys(range(1, 6), "CANCELLED")}
    assert (await group.progress()).stopped


async def test_a_deleted_member_is_an_error_of_its_group(client) -> None:
    await queues(client, "pages", "books")
    group = await producer(client).push_group([(resize, Page(n=n)) for n in (1, 2)], then=summarize)
    item = await client.pop_workitem("pages")
    item.state = SUCCESSFUL
    await client.update_workitem(item)
    (waits,) = await client.query("workitems", {"wiq": "pages", "state": NEW})
    await client.delete_one("workitems", waits["_id"])
    assert not (await groups(client).settle(group.id)).over  # it may be hidden for a moment
    assert (await groups(client, gone_after=-5.0).settle(group.id)).over
    (done,) = await client.query("workitems", {"wiq": "books"})
    assert [(one["n"], one["code"]) for one in done["payload"]["errors"]] == [(1, "DELETED")]


async def test_a_group_inside_a_group_is_waited_for_without_a_slot(client, start) -> None:
    await queues(client, "chapters", "pages", "books")

    @handler("chapters", concurrency=1)
    async def chapter(payload: dict, item: Item) -> dict:
        group = await item.push_group([(resize, Page(n=payload["n"] + k)) for k in range(2)])
        found = await group.results()
        return {"width": sum(one["width"] for one in found.results)}

    await producer(client).push_group([(chapter, {"n": 1}), (chapter, {"n": 3})], then=summarize)
    await start(chapter, resize, summarize)
    (done,) = await until_finished(client, "books")
    assert done["payload"]["widths"] == [300, 700]
    assert await client.count("workitems", {"wiq": "pages"}) == 4


async def test_where_documents_are_refused_members_are_pushed_the_ordinary_way(
    server, client, start
) -> None:
    await queues(client, "pages", "books")
    server.faults.refuse_collections.add("workitems")
    group = await producer(client).push_group([(resize, Page(n=n)) for n in (1, 2)], then=summarize)
    await start(resize, summarize)
    (done,) = await until_finished(client, "books")
    assert done["payload"]["widths"] == [100, 200]
    found = await group.progress()
    assert (found.done, found.then, found.over) == (2, done["_id"], True)


async def test_a_worker_makes_good_what_a_death_left_between_outcome_and_count(
    client, start
) -> None:
    await queues(client, "pages", "books")
    await producer(client).push_group([(resize, Page(n=1))], then=summarize)
    item = await client.pop_workitem("pages")
    item.state = SUCCESSFUL
    await client.update_workitem(item)  # by somebody who does not look
    await start(resize, summarize, rescue_interval=0.2)
    (done,) = await until_finished(client, "books")
    assert done["payload"]["results"] == [{"n": 1}]  # all of the payload, as nothing tells more


async def test_a_group_that_cannot_be_pushes_nothing(client) -> None:
    await queues(client, "pages")
    with pytest.raises(QueueNotFound):
        await producer(client).push_group([("pages", {}), ("nowhere", {})])
    assert await client.count("workitems", {"wiq": "pages"}) == 0
    with pytest.raises(GroupNotFound):
        await producer(client).group("0" * 19).progress()


async def test_members_that_were_pushed_with_much_come_few_at_a_time(client, monkeypatch) -> None:
    await queues(client, "pages")
    text = "x" * 300_000
    group = await producer(client).push_group([("pages", {"text": text}) for _ in range(24)])
    query, asked = client.query, []

    async def counted(collection: str, *args: Any, **more: Any) -> Any:
        found = await query(collection, *args, **more)
        if collection == "workitems":
            asked.append(len(found))
        return found

    monkeypatch.setattr(client, "query", counted)
    assert [member.n async for member in group.members()] == list(range(24))
    assert asked == [20, 4, 0]
    asked.clear()
    assert [member.n async for member in group.members()] == list(range(24))
    assert max(asked) <= 10


async def test_large_results_find_no_room_and_say_so(client, monkeypatch) -> None:
    monkeypatch.setattr("worker.producer.groups.collected.RESULTS", 50)
    await queues(client, "pages", "books")
    group = await producer(client).push_group([("pages", {"n": n}) for n in (1, 2)], then="books")
    for text in ("x" * 100, "y"):
        item = await client.pop_workitem("pages")
        item.state, item.payload = SUCCESSFUL, {**item.payload, "t": text}
        await client.update_workitem(item)
    await groups(client).settle(group.id)
    (done,) = await client.query("workitems", {"wiq": "books"})
    assert done["payload"]["results"] == [None, {"n": 2, "t": "y"}]
    assert [one["code"] for one in done["payload"]["errors"]] == ["RESULT_TOO_LARGE"]


@official_is_dear
async def test_process_handlers_push_groups_and_wait_for_them(client, start) -> None:
    await queues(client, "processed", "doubled")
    await client.push_workitem("processed", {})
    await start(process_groups.push_and_wait, process_groups.double)
    (done,) = await until_finished(client, "processed")
    assert done["payload"] == {**done["payload"], "found": [2, 4], "places": [0, 1]}


async def test_the_blocking_client_and_operators_see_groups_as_well(
    client, settings, start
) -> None:
    await queues(client, "scans", "books")
    await start(count)

    def script() -> list[Any]:
        with sync.connect(settings) as openiap:
            pushed = openiap.push_group([(count, {"n": n}) for n in (1, 2)], key="k")
            group = openiap.group(pushed.id)
            found = group.results("1m")
            numbers = [member.n for member in group.members()]
            return [pushed.id, found.results, numbers, group.progress().done]

    id, *found = await asyncio.to_thread(script)
    assert found == [[1, 2], [0, 1], 2]
    item = await Items(client).get_one(ItemGetPayload(id=member_id(id, 1)))
    known = ItemGroup(id=id, n=1, of=2, done=2, failed=0, over=True)
    assert item.group == known
    console = Console(width=200)
    with console.capture() as shown:
        show_item(console, item)
    assert f"member 1 of {id}: 2 of 2 done, 0 failed, over" in shown.get()


async def test_open_groups_keep_their_members_from_retention_and_old_ones_are_forgotten(
    client,
) -> None:
    await queues(client, "pages", "books")
    group = await producer(client).push_group([("pages", {}), ("pages", {})], key="k")
    item = await client.pop_workitem("pages")
    item.state = SUCCESSFUL
    await client.update_workitem(item)
    rule, later = Rule("pages", SUCCESSFUL, 60), datetime.now(UTC) + timedelta(days=40)
    spared = await Records(client).open()
    assert spared == [group.id]
    assert await delete_batch(client, rule, later, {}, spared) == 0
    item = await client.pop_workitem("pages")
    item.state = SUCCESSFUL
    await client.update_workitem(item)
    await groups(client).settle(group.id)
    assert await Records(client).open() == []
    assert await delete_batch(client, rule, later, {}, []) == 2
    versions = [version_of(one) for one in await client.query(COLLECTION, {"_type": "cell"})]
    plan = planned(sorted((one for one in versions if one is not None), key=document_id))
    assert {one.kind for one in plan.over} == {"group", "group-key"}
    assert all(one.content["keep"] == KEPT for one in plan.over)


async def test_a_worker_that_ends_with_its_queues_works_what_comes_after(client, settings) -> None:
    await queues(client, "pages", "books")
    await producer(client).push_group([(resize, Page(n=n)) for n in range(3)], then=summarize)
    once = settings.model_copy(update={"once": True})
    async with asyncio.timeout(60):
        assert await Daemon(once, [resize, summarize]).run(signals=False) == 0
    (done,) = await client.query("workitems", {"wiq": "books"})
    assert (done["state"], done["payload"]["widths"]) == (SUCCESSFUL, [0, 100, 200])
