"""Many items changed, each once, against a server, with both clients."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.management.failures import (
    INVOKE,
    READ,
    UPDATE,
    fail_items,
    four_failures,
    queue_for,
    states_of,
)
from worker.item.metadata import taken_out
from worker.localserver.storage.user import administrator
from worker.management.errors import (
    ForbiddenError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from worker.management.items.actions import Retry
from worker.management.items.batch import Batch
from worker.management.items.service import Items
from worker.management.items.store import ItemStore
from worker.management.items.types import (
    ItemFilter,
    ItemsDeleteBatchPayload,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
)
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.values import iso
from worker.testing.local_openiap import LocalOpenIAP


async def test_a_group_is_retried_and_nothing_else(openiap: LocalOpenIAP, client: Client) -> None:
    made = await four_failures(openiap)
    items = Items(client)
    groups = await items.get_groups(ItemsGetGroupsPayload(filter=ItemFilter(queue="orders")))
    asked = ItemsRetryBatchPayload(filter=ItemFilter(queue="orders", group=groups[0].id))
    preview = await items.preview_batch(asked)
    assert (preview.count, len(preview.sample), preview.attempts_left) == (12, 5, {1: 12})
    assert preview.conditional is client.capabilities.conditional_updates
    assert {state for state, _ in (await states_of(client, "orders")).values()} == {"failed"}
    told: list[int] = []
    done = await items.retry_batch(asked, lambda response: told.append(response.done))
    assert (done.done, done.changed, done.failed) == (12, 0, 0)
    assert sorted(told)[-1] == 12
    states = await states_of(client, "orders")
    assert {id for id, state in states.items() if state == ("new", 3)} == set(made["gone"])
    item = await openiap.client.pop_workitem("orders")
    assert item is not None
    assert item.id in made["gone"]


async def test_retries_may_be_spread_over_a_time_from_a_moment(
    openiap: LocalOpenIAP, client: Client
) -> None:
    openiap.queue("later")
    await fail_items(openiap.client, "later", [{"n": n} for n in range(20)], "no")
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    asked = ItemsRetryBatchPayload(filter=ItemFilter(queue="later"), at=at, spread=3600)
    assert (await Items(client).retry_batch(asked)).done == 20
    assert await openiap.client.pop_workitem("later") is None
    found = await client.query("workitems", {"wiq": "later"}, {"nextrun": 1})
    times = sorted(one["nextrun"] for one in found)
    assert iso(at) <= times[0] < times[-1] <= iso(at + timedelta(hours=1))
    assert len(set(times)) > 15


async def test_an_item_that_changed_meanwhile_is_left_alone_and_counted(
    openiap: LocalOpenIAP, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    openiap.queue("race")
    ids = await fail_items(openiap.client, "race", [{"n": n} for n in range(4)], "no")
    change = Retry.change

    def changed_before(action: Retry, document: Any) -> Any:
        if document["_id"] == ids[2]:
            documents = openiap.server.services.documents
            who = administrator("somebody else")
            now = round(time.time() * 1000) + 1
            assert documents.change("workitems", {"_id": ids[2]}, {"$set": {"x": 1}}, who, now)
        return change(action, document)

    monkeypatch.setattr(Retry, "change", changed_before)
    done = await Items(client).retry_batch(ItemsRetryBatchPayload(filter=ItemFilter(queue="race")))
    assert (done.done, done.changed, done.failed) == (3, 1, 0)
    assert (await states_of(client, "race"))[ids[2]] == ("failed", 2)


async def test_the_same_again_from_the_same_moment_changes_nothing_twice(
    openiap: LocalOpenIAP, client: Client
) -> None:
    openiap.queue("again")
    ids = await fail_items(openiap.client, "again", [{"n": n} for n in range(30)], "no")
    asked = ItemsRetryBatchPayload(filter=ItemFilter(queue="again"))
    before = (await Items(client).preview_batch(asked)).before

    class Enough(Exception):
        """The process died."""

    def dies(response: Any) -> None:
        if response.done >= 10:
            raise Enough

    with pytest.raises(Enough):
        await Items(client).retry_batch(asked.model_copy(update={"before": before}), dies)
    # One of those that were put back has failed again meanwhile: it is not to be retried twice.
    put_back = next(
        id for id, (state, _) in (await states_of(client, "again")).items() if state == "new"
    )
    await openiap.client.update_document(
        "workitems", {"_id": put_back}, {"$set": {"state": "failed"}}
    )
    await Items(client).retry_batch(asked.model_copy(update={"before": before}))
    states = await states_of(client, "again")
    assert {retries for _, retries in states.values()} == {3}
    assert {id for id, (state, _) in states.items() if state == "new"} == {*ids} - {put_back}


async def test_items_are_moved_with_the_rights_of_their_new_queue(
    openiap: LocalOpenIAP, client: Client, ordinary: Client
) -> None:
    await queue_for(openiap, "closed", 0)
    await queue_for(openiap, "open", READ | UPDATE | INVOKE)
    ids = await fail_items(openiap.client, "closed", [{"n": 1}, {"n": 2}], "no")
    await openiap.push("closed", {"n": 3})
    running = await openiap.client.pop_workitem("closed")
    assert running is not None
    waiting = await openiap.push("closed", {"n": 4})
    asked = ItemsMoveBatchPayload(filter=ItemFilter(queue="closed"), to="open")
    done = await Items(client).move_batch(asked)
    assert (done.done, done.failed) == (3, 0)
    seen = await ordinary.query("workitems", {"wiq": "open"})
    assert {one["_id"] for one in seen} == {*ids, waiting}
    assert openiap.item(running.id).queue == "closed"
    popped = await ordinary.pop_workitem("open")
    assert popped is not None
    assert popped.id == waiting
    with pytest.raises(NotFoundError, match="There is no queue nowhere"):
        await Items(client).move_batch(asked.model_copy(update={"to": "nowhere"}))


async def test_priority_and_payload_are_changed(openiap: LocalOpenIAP, client: Client) -> None:
    id = await openiap.push("edit", {"a": {"b": 1, "c": 2}, "d": 3})
    late = {"text": "late at 2026-11-20T10:00:00.000Z", "d": None, "a": {"c": None}}
    items, chosen = Items(client), ItemFilter(queue="edit")
    done = await items.update_batch(ItemsUpdateBatchPayload(filter=chosen, priority=9))
    assert (done.done, done.failed) == (1, 0)
    done = await items.update_batch(ItemsUpdateBatchPayload(filter=chosen, patch=late))
    assert (done.done, done.failed) == (1, 0)
    (stored,) = await client.query("workitems", {"_id": id})
    assert (stored["priority"], stored["state"]) == (9, "new")
    assert taken_out(stored["payload"])[0] == {"a": {"b": 1}, "text": late["text"]}
    same = await items.update_batch(ItemsUpdateBatchPayload(filter=chosen, priority=9))
    assert [failure.reason for failure in same.failures] == ["It has these values already."]
    with pytest.raises(ValidationError, match="one of priority and patch"):
        await items.update_batch(ItemsUpdateBatchPayload(filter=chosen))


async def test_items_are_deleted_with_their_files_but_none_that_is_worked(
    openiap: LocalOpenIAP, client: Client
) -> None:
    running = await openiap.push("bin", {})
    assert await openiap.client.pop_workitem("bin") is not None
    await openiap.push("bin", {}, files={"scan.pdf": b"x"})
    assert await openiap.client.count("fs.files") == 1
    done = await Items(client).delete_batch(ItemsDeleteBatchPayload(filter=ItemFilter(queue="bin")))
    assert (done.done, done.changed, done.failed) == (1, 0, 0)
    assert await openiap.client.count("fs.files") == 0
    assert [item.id for item in openiap.items("bin")] == [running]


async def test_what_is_not_this_users_is_not_changed_and_said(
    openiap: LocalOpenIAP, ordinary: Client
) -> None:
    await queue_for(openiap, "read", READ)
    await queue_for(openiap, "none", 0)
    await fail_items(openiap.client, "read", [{"n": 1}], "no")
    await fail_items(openiap.client, "none", [{"n": 1}], "no")
    items = Items(ordinary)
    every = await items.get_list(ItemsGetListPayload())
    assert [item.queue for item in every] == ["read"]
    assert sum(one.count for one in await items.get_groups(ItemsGetGroupsPayload())) == 1
    asked = ItemsRetryBatchPayload(filter=ItemFilter(states=["failed"]))
    done = await items.retry_batch(asked)
    assert (done.done, done.changed, done.failed) == (0, 0, 1)
    assert done.failures[0].reason == "This user may not change it."
    deleted = await items.delete_batch(ItemsDeleteBatchPayload(filter=ItemFilter(queue="read")))
    assert deleted.failures[0].reason == "This user may not delete it."
    with pytest.raises(ForbiddenError, match="the right to invoke it is missing"):
        await items.move_batch(
            ItemsMoveBatchPayload(filter=ItemFilter(states=["failed"]), to="read")
        )
    with pytest.raises(ForbiddenError, match="An administrator can"):
        await items.create_indexes()
    assert {state for state, _ in (await states_of(openiap.client, "none")).values()} == {"failed"}


async def test_a_change_of_everything_is_refused(openiap: LocalOpenIAP) -> None:
    with pytest.raises(ValidationError, match="needs a filter"):
        await Items(openiap.client).retry_batch(ItemsRetryBatchPayload(filter=ItemFilter()))


async def test_a_lost_answer_is_looked_for(openiap: LocalOpenIAP) -> None:
    openiap.queue("lost")
    await fail_items(openiap.client, "lost", [{"n": n} for n in range(3)], "no")
    made = make_client(openiap.settings(call_timeout=0.5))
    await made.connect()
    try:
        openiap.lose_replies("updatedocument", 2)
        asked = ItemsRetryBatchPayload(filter=ItemFilter(queue="lost"))
        done = await Items(made).retry_batch(asked)
    finally:
        await made.disconnect()
    assert (done.done, done.changed, done.failed) == (3, 0, 0)
    assert set((await states_of(openiap.client, "lost")).values()) == {("new", 3)}


async def test_a_broken_link_ends_a_change_and_says_so(openiap: LocalOpenIAP) -> None:
    openiap.queue("link")
    await fail_items(openiap.client, "link", [{"n": n} for n in range(20)], "no")
    made = make_client(openiap.settings())
    await made.connect()

    async def cut() -> None:
        await made.disconnect()

    store = ItemStore(made)
    batch = Batch(store, Retry(datetime.now(UTC)), ItemFilter(queue="link"), datetime.now(UTC))
    pages = batch.pages

    async def pages_and_cut() -> AsyncIterator[Any]:
        async for page in pages():
            await cut()
            yield page

    batch.pages = pages_and_cut  # type: ignore[method-assign]
    with pytest.raises(UnavailableError, match="did not answer"):
        await batch.run()


async def test_many_items_go_within_the_servers_rate_limit(openiap: LocalOpenIAP) -> None:
    openiap.queue("rate")
    await fail_items(openiap.client, "rate", [{"n": n} for n in range(40)], "no")
    openiap.rate_limit(30)
    asked = ItemsRetryBatchPayload(filter=ItemFilter(queue="rate"))
    done = await Items(openiap.client).retry_batch(asked)
    openiap.rate_limit(0)
    assert (done.done, done.failed) == (40, 0)


async def new_ones(openiap: LocalOpenIAP, queue: str) -> int:
    return await openiap.client.count("workitems", {"wiq": queue, "state": "new"})


async def test_a_retry_killed_in_the_middle_and_run_again_retries_each_item_once(
    openiap: LocalOpenIAP, tmp_path: Path
) -> None:
    openiap.queue("killed")
    count = 300
    await fail_items(openiap.client, "killed", [{"n": n} for n in range(count)], "[GONE] 1 is gone")
    command = [sys.executable, "-m", "worker", "items"]
    env = {**os.environ, **openiap.environment, "OPENIAP_WORKER_CLIENT": "native"}
    env |= {"OPENIAP_WORKER_STATE_DIR": str(tmp_path / "state")}
    env |= {"PYTHONPATH": str(Path(__file__).parents[3])}

    def begun(*more: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*command, *more], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    grouping = begun("errors", "--queue", "killed", "--json")
    out, err = await asyncio.to_thread(grouping.communicate)
    (group,) = json.loads(out)
    assert group["count"] == count, err
    retry = ("retry", "--group", group["id"], "--queue", "killed", "--yes", "--json")
    first = begun(*retry)
    async with asyncio.timeout(60):
        while (
            not sum(
                state == "new" for state, _ in (await states_of(openiap.client, "killed")).values()
            )
            > 50
        ):
            await asyncio.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    await asyncio.to_thread(first.communicate)
    assert 50 < await new_ones(openiap, "killed") < count
    # What was put back is worked and fails again while nobody looks.
    await openiap.client.update_document(
        "workitems", {"wiq": "killed", "state": "new"}, {"$set": {"state": "failed"}}
    )
    out, err = await asyncio.to_thread(begun(*retry).communicate)
    assert b"Goes on with what was begun at" in err
    assert json.loads(out)["failed"] == 0
    states = await states_of(openiap.client, "killed")
    assert {retries for _, retries in states.values()} == {3}
    assert not list((tmp_path / "state").rglob("*.json"))


async def test_blocking_code_has_the_same(openiap: LocalOpenIAP) -> None:
    from worker import sync
    from worker.management.sync import Items as BlockingItems

    await four_failures(openiap)
    settings = openiap.settings()

    def work() -> int:
        with sync.connect(settings) as door:
            items = BlockingItems(door)
            groups = items.get_groups(ItemsGetGroupsPayload(filter=ItemFilter(queue="orders")))
            asked = ItemsRetryBatchPayload(filter=ItemFilter(queue="orders", group=groups[0].id))
            return items.retry_batch(asked).done

    assert await asyncio.to_thread(work) == 12


def test_the_service_stands_alone() -> None:
    """The service needs nothing of the command line, and no web framework."""
    code = (
        "import sys; from worker.management import Items\n"
        "assert not {'typer', 'fastapi', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110)
