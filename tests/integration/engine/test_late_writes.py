"""No late writer overwrites its successor: an outcome that was held up on its way, in whole or in
part, changes nothing once the item was taken over."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.integration.engine.conftest import create_queue, settings_for, until_finished
from worker import handler
from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.item.metadata import taken_out
from worker.item.outcome import Outcome, Waits
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.errors import ServerError
from worker.openiap.factory import make_client
from worker.openiap.pool import Pool
from worker.openiap.types import UpdateResult
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log
from worker.uptime import uptime

WRITES = ("update_document", "update_workitem", "update_one")
DONE = Outcome("successful", {"by": "first"})
BROKEN = Outcome("application", None, "first broke", "first's traceback")
NOT_WANTED = Outcome("business", None, "first does not want it")
GIVEN_UP = Outcome("failed", None, "first gave up")
PARKED = Outcome("released", waits=Waits("its turn", datetime.now(UTC) + timedelta(hours=1)))


class Link:
    """The link of one worker: the write of a certain number is held up, and may arrive later."""

    epoch = 1
    ready = True

    def __init__(self, client: Client, held: int = -1) -> None:
        self.held_up = asyncio.Event()
        self._client = client
        self._held = held
        self._writes = 0
        self._late: Callable[[], Awaitable[Any]] | None = None

    async def call(self, operation: Callable[[Client], Awaitable[Any]], *, turn: str = "") -> Any:
        return await operation(cast(Client, self))

    async def wait_ready(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._write(found) if name in WRITES else found

    def _write(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def write(*args: Any, **more: Any) -> Any:
            self._writes += 1
            if self._writes - 1 != self._held:
                return await method(*args, **more)
            self._late = lambda: method(*args, **more)
            self.held_up.set()
            return await asyncio.Event().wait()

        return write

    async def arrives(self) -> None:
        assert self._late is not None
        await self._late()


def log() -> Log:
    return Log("error", write=lambda level, line: None)


def writeback(link: Link, name: str) -> WriteBack:
    return WriteBack(cast(Pool, link), worker_id=name, lease=60, log=log())


@pytest.fixture
async def native(server: LocalServer, tmp_path: Path) -> AsyncIterator[Client]:
    door = make_client(settings_for(server.ws_url, tmp_path / "native", client="native"))
    await door.connect()
    yield door
    await door.disconnect()


async def popped(client: Client) -> Workitem:
    item = await client.pop_workitem("q")
    assert item is not None
    return item


async def stored(client: Client, item: Workitem) -> dict[str, Any]:
    (document,) = await client.query("workitems", {"_id": item.id})
    for stamp in ("_modified", "_modifiedby", "_modifiedbyid"):
        del document[stamp]
    return document


async def taken_over(client: Client, item: Workitem, *, looks: bool = False) -> Delivered:
    """Take an item over.

    Args:
        looks: whether the heir may not write conditionally, and looks at the item before.
    """
    link = Link(client)
    rights = DocumentRights(lambda: link.epoch, log())
    if looks:
        rights.note_missing("q")
    sender = WriteBack(cast(Pool, link), worker_id="heir", lease=60, log=log(), rights=rights)
    take_over = TakeOver(cast(Pool, link), sender, worker_id="heir", max_deaths=3, log=log())
    return await take_over.take(Orphan(item, "first", "fell silent", died=True))


class Stalled:
    """A first worker whose write of a certain number is on its way and does not arrive."""

    def __init__(self, client: Client, item: Workitem, outcome: Outcome, held: int) -> None:
        self.link = Link(client, held)
        delivery = Delivery(item, outcome, uptime(), 1)
        self._task = asyncio.create_task(writeback(self.link, "first").deliver(delivery))

    async def __aenter__(self) -> Link:
        async with asyncio.timeout(60):
            await self.link.held_up.wait()
        return self.link

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.mark.parametrize("works", [True, False], ids=["worked", "done"])
@pytest.mark.parametrize(
    "outcome",
    [DONE, BROKEN, NOT_WANTED, GIVEN_UP, Outcome("released"), PARKED],
    ids=["successful", "application", "business", "failed", "released", "parked"],
)
async def test_an_outcome_that_arrives_after_a_take_over_changes_nothing(
    native: Client, outcome: Outcome, works: bool
) -> None:
    await create_queue(native, "q", maxretries=5)
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    async with Stalled(native, item, outcome, 0) as late:
        assert (await taken_over(native, item)).result == "applied"
        again = await popped(native)
        if not works:
            mine = Outcome("successful", {"by": "second"})
            delivered = await writeback(Link(native), "second").deliver(
                Delivery(again, mine, uptime(), 1)
            )
            assert delivered.result == "applied"
        before = await stored(native, item)
        await late.arrives()
        assert await stored(native, item) == before
    assert before["state"] == ("processing" if works else "successful")


@pytest.mark.parametrize("outcome", [DONE, BROKEN, Outcome("released")])
async def test_an_outcome_that_arrives_in_a_later_run_of_its_attempt_changes_nothing(
    native: Client, outcome: Outcome
) -> None:
    """A hand-back costs no attempt, so the number of the attempt does not tell runs apart."""
    await create_queue(native, "q")
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    async with Stalled(native, item, outcome, 0) as late:
        # As a person does it in OpenIAP's own pages.
        document = await stored(native, item)
        past = "2026-11-01T00:00:00.000Z"
        await native.update_one("workitems", {**document, "state": "new", "nextrun": past})
        await asyncio.sleep(0.002)  # a pop is stamped in milliseconds
        again = await popped(native)
        assert (again.id, again.retries) == (item.id, item.retries)
        before = await stored(native, item)
        await late.arrives()
        assert await stored(native, item) == before


async def test_an_outcome_with_a_file_that_arrives_after_a_take_over_attaches_nothing(
    native: Client, tmp_path: Path
) -> None:
    receipt = tmp_path / "receipt.txt"
    receipt.write_text("first")
    await create_queue(native, "q", maxretries=5)
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    outcome = Outcome("successful", {"by": "first"}, attachments=(("receipt.txt", str(receipt)),))
    async with Stalled(native, item, outcome, 0) as late:
        assert (await taken_over(native, item)).result == "applied"
        again = await popped(native)
        receipt.write_text("second")
        mine = Outcome("successful", {"by": "second"}, attachments=outcome.attachments)
        await writeback(Link(native), "second").deliver(Delivery(again, mine, uptime(), 1))
        before = await stored(native, item)
        await late.arrives()
        assert await stored(native, item) == before
    assert [file["name"] for file in before["files"]] == ["receipt.txt"]


async def test_a_take_over_while_a_file_is_stored_is_seen(native: Client, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.txt"
    receipt.write_text("first")
    await create_queue(native, "q", maxretries=5)
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    upload = native.upload

    async def slow(*args: Any, **more: Any) -> str:
        stored = await upload(*args, **more)
        await taken_over(native, item)
        return stored

    link = Link(native)
    link.upload = slow  # type: ignore[attr-defined]
    outcome = Outcome("successful", {"by": "first"}, attachments=(("receipt.txt", str(receipt)),))
    delivered = await writeback(link, "first").deliver(Delivery(item, outcome, uptime(), 1))
    assert delivered.result == "fenced"
    document = await stored(native, item)
    assert (document["state"], document["retries"], document["files"]) == ("new", 1, [])


CHAINS = pytest.mark.parametrize(
    ("outcome", "chain", "state"),
    [(DONE, "success_wiq", "successful"), (NOT_WANTED, "failed_wiq", "failed")],
    ids=["success", "failed"],
)


@CHAINS
async def test_a_chained_outcome_that_arrives_after_a_take_over_changes_nothing(
    native: Client, outcome: Outcome, chain: str, state: str
) -> None:
    await create_queue(native, "next")
    await create_queue(native, "q", maxretries=5, **{chain: "next"})
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    async with Stalled(native, item, outcome, 0) as late:
        assert (await taken_over(native, item)).result == "applied"
        await popped(native)
        before = await stored(native, item)
        await late.arrives()
        assert await stored(native, item) == before
    assert await native.count("workitems", {"wiq": "next"}) == 0


@CHAINS
@pytest.mark.parametrize("looks", [False, True], ids=["conditional", "looks"])
async def test_a_chained_outcome_that_was_half_written_is_completed_once(
    native: Client, outcome: Outcome, chain: str, state: str, looks: bool
) -> None:
    """It stands on the item before OpenIAP's own update is sent, so nobody works the item again,
    and that update says the same whoever sends it."""
    await create_queue(native, "next")
    await create_queue(native, "q", maxretries=5, **{chain: "next"})
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    async with Stalled(native, item, outcome, 1) as late:
        assert (await taken_over(native, item, looks=looks)).result == "fenced"
        before = await stored(native, item)
        assert (before["state"], before["retries"]) == (state, 0)
        assert taken_out(before["payload"])[0] == (outcome.payload or {"n": 1})
        assert before.get("errormessage", "") == outcome.message
        await late.arrives()
        assert await stored(native, item) == before
    (copy,) = await native.query("workitems", {"wiq": "next"})
    assert copy["payload"] == before["payload"]


async def test_a_chain_that_an_item_has_of_its_own_is_run(native: Client) -> None:
    await create_queue(native, "next")
    await create_queue(native, "q")
    await native.push_workitem("q", {"n": 1})
    item = await popped(native)
    change = {"$set": {"success_wiq": "next"}}
    assert (await native.update_document("workitems", {"_id": item.id}, change)).matched == 1
    delivered = await writeback(Link(native), "first").deliver(Delivery(item, DONE, uptime(), 1))
    assert (delivered.result, delivered.state) == ("applied", "successful")
    assert await native.count("workitems", {"wiq": "next"}) == 1


async def test_a_chain_that_is_set_while_a_worker_runs_counts_at_once(
    server: LocalServer, client: Client, client_name: str, start: Any
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> dict[str, Any]:
        return {"done": True}

    await create_queue(client, "next")
    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    await until_finished(client, "q")
    (queue,) = await client.query("mq", {"name": "q"})
    await client.update_one("mq", {**queue, "success_wiq": "next"})
    await client.push_workitem("q", {})
    await until_finished(client, "q", 2)
    async with asyncio.timeout(60):
        while not await client.count("workitems", {"wiq": "next"}):
            await asyncio.sleep(0.02)


async def test_an_outcome_takes_one_message(
    server: LocalServer, native: Client, tmp_path: Path
) -> None:
    receipt = tmp_path / "receipt.txt"
    receipt.write_text("paid")
    await create_queue(native, "q", maxretries=5)
    delivers = writeback(Link(native), "first")
    seen = []
    attached = (("receipt.txt", str(receipt)),)
    for outcome in (DONE, BROKEN, NOT_WANTED, Outcome("released"), PARKED):
        for files in ((), attached) if outcome is DONE else ((),):
            await native.push_workitem("q", {})
            item = await popped(native)
            before = dict(server.stats)
            await delivers.deliver(Delivery(item, replace(outcome, attachments=files), uptime(), 1))
            seen.append(Counter(server.stats) - Counter(before))
            await native.delete_workitem(item.id)
    rules, *rest = seen
    assert rules["query"] == 1, "of the queue; its answer is believed for a while"
    for messages in rest:
        assert messages["updatedocument"] == 1
        assert messages["query"] == messages["updateworkitem"] == messages["updateone"] == 0


@pytest.mark.parametrize("text", ["late at 2026-11-20T10:00:00.000Z", "__REGEXP /a/"])
async def test_texts_that_a_conditional_update_would_change_are_kept(
    native: Client, text: str
) -> None:
    await create_queue(native, "q", maxretries=5)
    for outcome in (Outcome("successful", {"text": text}), Outcome("business", None, text)):
        await native.push_workitem("q", {})
        item = await popped(native)
        delivered = await writeback(Link(native), "first").deliver(
            Delivery(item, outcome, uptime(), 1)
        )
        assert delivered.result == "applied"
        document = await stored(native, item)
        assert text in (document["payload"].get("text"), document.get("errormessage"))
        if outcome.message:
            assert document["state"] == "failed"


async def test_an_outcome_without_the_right_to_update_is_written_all_the_same(
    native: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conditional update matches nothing then, and no error says why."""
    await create_queue(native, "q", maxretries=5)

    async def matches_nothing(*args: Any, **more: Any) -> UpdateResult:
        return UpdateResult(0, 0)

    link = Link(native)
    link.update_document = matches_nothing  # type: ignore[attr-defined]
    for outcome, state in ((DONE, "successful"), (BROKEN, "new"), (NOT_WANTED, "failed")):
        await native.push_workitem("q", {})
        item = await popped(native)
        delivered = await writeback(link, "first").deliver(Delivery(item, outcome, uptime(), 1))
        assert (delivered.result, delivered.state) == ("applied", state)
        assert (await stored(native, item))["state"] == state
        await native.delete_workitem(item.id)


async def test_a_database_that_cannot_compare_moments_costs_one_refusal(native: Client) -> None:
    """Then the attempt alone tells runs apart, as its number does."""
    refused = 0

    async def older(collection: str, query: Any, change: Any) -> UpdateResult:
        nonlocal refused
        if "$expr" in str(query):
            refused += 1
            raise ServerError("Unrecognized expression '$toDate'", operation="update_document")
        return await native.update_document(collection, query, change)

    await create_queue(native, "q", maxretries=5)
    link = Link(native)
    link.update_document = older  # type: ignore[attr-defined]
    delivers = writeback(link, "first")
    for _ in range(3):
        await native.push_workitem("q", {})
        delivered = await delivers.deliver(Delivery(await popped(native), DONE, uptime(), 1))
        assert (delivered.result, delivered.state) == ("applied", "successful")
    assert refused == 1


async def test_a_queue_that_was_made_anew_under_its_name_is_for_the_server_to_judge(
    native: Client,
) -> None:
    await create_queue(native, "q", maxretries=5)
    await native.push_workitem("q", {})
    item = await popped(native)
    item.wiqid = "another"
    link = Link(native)
    delivered = await writeback(link, "first").deliver(Delivery(item, BROKEN, uptime(), 1))
    assert (delivered.result, delivered.state) == ("applied", "new")
