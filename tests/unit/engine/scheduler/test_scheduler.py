"""When the scheduler acts, and what it sends for it: against a client that notes every call."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from worker import handler, schedule
from worker.app.options import Handler
from worker.app.registry import Registry
from worker.engine.scheduler import scheduler as room
from worker.engine.scheduler.scheduler import Scheduler
from worker.engine.scheduler.switches import FIELD
from worker.engine.scheduler.timetable import ScheduleEntry, timetable
from worker.errors import HandlerError
from worker.openiap.client import Client
from worker.openiap.errors import (
    AccessDenied,
    DocumentNotFound,
    DuplicateKey,
    NotConnected,
    OpenIAPError,
    ServerError,
)
from worker.openiap.fields import Misfit, moment_of
from worker.openiap.values import iso
from worker.telemetry.log import Log

BEGIN = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)
STATE = "openiap_worker_state"


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes but what a test lets pass, also where the machine halts."""
    monkeypatch.setattr(room, "uptime", lambda: 1000.0)


class Server:
    """Keeps documents as OpenIAP does, as far as a scheduler asks; notes what was asked."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.calls: list[str] = []
        self.documents: dict[str, dict[str, Any]] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        self.switches: list[dict[str, Any]] = []
        self.broken: dict[str, OpenIAPError] = {}

    def _open(self, call: str, collection: str) -> None:
        self.calls.append(f"{call} {collection}")
        if collection in self.closed:
            raise AccessDenied("no rights", operation=call)
        if collection in self.broken:
            raise self.broken[collection]

    async def query(self, collection: str, query: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        self._open("query", collection)
        if collection == "mq":
            return [{"_id": "q1", "name": "jobs", "_acl": [], FIELD: self.switches}]
        return [self.documents[id] for id in query["_id"]["$in"] if id in self.documents]

    async def insert_one(self, collection: str, document: dict[str, Any], **_: Any) -> Any:
        self._open("insert", collection)
        kept = self.items if collection == "workitems" else self.documents
        if document["_id"] in kept:
            raise DuplicateKey("E11000", operation="insert_one")
        kept[document["_id"]] = document
        return document

    async def update_one(self, collection: str, document: dict[str, Any]) -> Any:
        self._open("update", collection)
        if document["_id"] not in self.documents:
            raise DocumentNotFound("not there", operation="update_one")
        self.documents[document["_id"]] = document
        return document


class Fleet:
    """Where a worker stands, and the server's time."""

    def __init__(self, server: Server, rank: int | None) -> None:
        self._server = server
        self.place = rank

    def server_now(self) -> datetime:
        return self._server.now

    def rank(self, queue: str) -> int | None:
        return self.place

    async def peers(self) -> list[object]:
        return []


def scheduler(
    server: Server, rank: int | None = 0, *, count: int = 1, payload: Any = None
) -> Scheduler:
    async def work(payload: dict[str, Any]) -> None: ...

    found = handler("jobs")(work)
    for number in range(count):
        schedule("* * * * *", name=f"s{number}", payload=payload, missed="skip")(found)
    return scheduler_of(server, found, rank=rank)


def scheduler_of(server: Server, *handlers: Handler[..., Any], rank: int | None = 0) -> Scheduler:
    return Scheduler(
        timetable(Registry(handlers), server.now),
        client=cast(Client, server),
        fleet=Fleet(server, rank),
        namespace="",
        log=Log("warn"),
        chance=random.Random(7),
    )


async def looked(scheduler: Scheduler, server: Server, seconds: float = 0.0) -> list[str]:
    """Let time pass, look, and return what was sent for it."""
    server.now += timedelta(seconds=seconds)
    server.calls.clear()
    await scheduler.push_due()
    return list(server.calls)


async def test_nothing_is_sent_between_ticks_and_few_at_them() -> None:
    server = Server()
    found = scheduler(server, count=5)
    await looked(found, server)
    assert await looked(found, server, 29) == []
    at_tick = await looked(found, server, 1)
    assert at_tick[0] == f"query {STATE}"
    assert at_tick.count("insert workitems") == at_tick.count(f"update {STATE}") == 5
    assert len(at_tick) == 12
    assert len(server.items) == 5
    assert await looked(found, server, 59.9) == []


async def test_the_next_worker_looks_two_seconds_later_and_finds_it_done() -> None:
    server = Server()
    leader, second = scheduler(server), scheduler(server, rank=1)
    await looked(leader, server)
    await looked(second, server)
    await looked(leader, server, 30)
    assert await looked(second, server, 1.9) == []
    assert await looked(second, server, 0.1) == [f"query {STATE}", "query mq"]
    assert await looked(second, server, 55) == []


async def test_the_next_worker_steps_in_where_the_leader_is_gone() -> None:
    server = Server()
    await looked(scheduler(server), server)
    second = scheduler(server, rank=1)
    await looked(second, server)
    assert "insert workitems" in await looked(second, server, 32)


async def test_ticks_that_nobody_did_in_time_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()
    found = scheduler(server)
    await looked(found, server)
    await looked(found, server, 30)
    assert (found.missed, found.late()) == (0, 0.0)
    server.now += timedelta(minutes=10)
    assert found.late() == 9 * 60
    await looked(found, server)
    assert (found.missed, found.late()) == (8, 0.0), "younger than 2 minutes is late alone"


async def test_who_does_not_know_the_others_waits_for_up_to_three_seconds() -> None:
    server = Server()
    found = scheduler(server, rank=None)
    await looked(found, server)
    assert await looked(found, server, 30) == []
    assert "insert workitems" in await looked(found, server, 3)


async def test_a_paused_schedule_is_looked_at_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()
    found = scheduler(server)
    await looked(found, server)
    server.switches = [{"namespace": "", "name": "s0", "paused": True}]
    assert await looked(found, server, 30) == [f"query {STATE}", "query mq"]
    up += 59
    assert await looked(found, server, 59) == []
    up += 1
    assert await looked(found, server, 1) == [f"query {STATE}", "query mq"]
    assert server.items == {}


async def test_a_pause_that_anybody_could_have_written_is_not_obeyed() -> None:
    server = Server()
    found = scheduler(server)
    await looked(found, server)
    server.documents["/schedule_switch/jobs/s0"] = {
        "_id": "/schedule_switch/jobs/s0",
        "_type": "schedule_switch",
        "queue": "jobs",
        "schedule": "s0",
        "paused": True,
    }
    assert "insert workitems" in await looked(found, server, 30)


async def test_what_was_read_too_long_ago_is_read_again_before_anything_is_pushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As for a process that is frozen after the reading, however long the link stays up."""
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()

    found = scheduler(server)
    await looked(found, server)
    reading = server.query

    async def frozen(*given: Any, **more: Any) -> Any:
        nonlocal up
        answer = await reading(*given, **more)
        up += room.FRESH + 1
        return answer

    monkeypatch.setattr(server, "query", frozen)
    assert "insert workitems" not in await looked(found, server, 30)
    monkeypatch.setattr(server, "query", reading)
    await looked(found, server)
    assert len(server.items) == 1


async def test_a_tick_that_another_did_meanwhile_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A payload that takes long, and an item that was done and deleted by others meanwhile."""
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()

    def payload(tick: datetime) -> dict[str, Any]:
        nonlocal up
        up += room.FRESH + 1
        server.documents["/schedule/jobs/s0"]["last"] = iso(tick)
        return {}

    found = scheduler(server, payload=payload)
    await looked(found, server)
    assert "insert workitems" not in await looked(found, server, 30)
    assert await looked(found, server) == []


async def test_without_rights_on_the_records_it_ticks_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server()
    server.closed.add(STATE)
    found = scheduler(server)
    await looked(found, server)
    assert "may not read and write the collection openiap_worker_state" in capsys.readouterr().err
    assert await looked(found, server, 30) == ["query mq", "insert workitems"]
    assert await looked(found, server, 60) == ["insert workitems"]
    assert len(server.items) == 2


async def test_rights_that_are_taken_away_do_not_hold_up_the_ticks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server()
    found = scheduler(server)
    await looked(found, server)
    server.closed.add(STATE)
    await looked(found, server, 30)
    assert await looked(found, server, 60) == ["insert workitems"]
    assert len(server.items) == 2
    assert capsys.readouterr().err.count("cannot be paused") == 1


async def test_a_tick_that_could_not_be_sent_is_sent_once_the_link_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()
    found = scheduler(server)
    await looked(found, server)
    server.broken["workitems"] = NotConnected("gone", operation="insert_one")
    await looked(found, server, 30)
    server.broken.clear()
    assert await looked(found, server, 0.5) == [], "not at once"
    up += room.SOON
    await looked(found, server, 0.5)
    (item,) = server.items.values()
    assert item["nextrun"] == iso(BEGIN + timedelta(seconds=30))


async def test_how_far_it_has_come_is_stored_once_the_link_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()
    found = scheduler(server)
    await looked(found, server)
    updating = server.update_one

    async def lost(*_: Any) -> Any:
        raise NotConnected("gone", operation="update_one")

    monkeypatch.setattr(server, "update_one", lost)
    await looked(found, server, 30)
    assert (len(server.items), server.documents["/schedule/jobs/s0"]["last"]) == (1, None)
    monkeypatch.setattr(server, "update_one", updating)
    up += room.SOON
    asked = [f"query {STATE}", "query mq", f"update {STATE}"]
    assert await looked(found, server, 1) == asked
    assert server.documents["/schedule/jobs/s0"]["last"] is not None
    assert await looked(found, server, 1) == []


async def test_a_payload_that_cannot_be_made_for_two_minutes_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    up = 1000.0
    monkeypatch.setattr(room, "uptime", lambda: up)
    server = Server()

    def payload(tick: datetime) -> dict[str, Any]:
        if tick.minute == 1:
            raise LookupError("no such day")
        return {}

    found = scheduler(server, payload=payload)
    await looked(found, server)
    server.now += timedelta(seconds=30)
    for _ in range(12):
        await found.push_due()
        up += room.LATER
    assert server.items == {}
    said = capsys.readouterr().err
    assert "the payload for 2026-05-04 12:01:00 UTC cannot be made, it is tried again" in said
    assert "its item is left out (LookupError: no such day)" in said
    assert server.documents["/schedule/jobs/s0"]["last"] == iso(BEGIN + timedelta(seconds=30))
    await looked(found, server, 60)
    assert len(server.items) == 1


ODD: list[Mapping[str, Any]] = [
    {"since": "0001-01-01T00:00:00+14:00"},
    {"since": "9999-12-31T23:59:59-14:00"},
    {"since": None},
    {"since": 5, "last": True},
    {"since": iso(BEGIN + timedelta(days=3650))},
    {"since": iso(BEGIN), "last": iso(BEGIN + timedelta(days=3650))},
    {"since": iso(BEGIN), "last": "9999-12-31T23:59:59-14:00"},
    {"since": iso(BEGIN), "last": []},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_an_odd_record_stops_no_schedule_and_is_written_anew(odd: Mapping[str, Any]) -> None:
    server = Server()
    named = {"_type": "schedule", "queue": "jobs", "schedule": "s0", "namespace": ""}
    id = "/schedule/jobs/s0"
    server.documents[id] = {"_id": id, **named, "expression": "* * * * *", "tz": "UTC", **odd}
    found = scheduler(server, count=3)
    told: list[Misfit] = []
    found._records._misfits = told.append
    await looked(found, server)
    await looked(found, server, 30)
    assert len(server.items) == 3
    assert {misfit.id for misfit in told} == {id}
    assert moment_of(server.documents[id]["last"]) == BEGIN + timedelta(seconds=30)
    told.clear()
    await looked(found, server, 60)
    assert (len(server.items), told) == (6, [])


async def test_one_schedule_that_fails_in_an_unforeseen_way_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    found = scheduler(server, count=3)
    await looked(found, server)
    done = Scheduler._do

    async def broken(self: Scheduler, entry: ScheduleEntry, now: datetime) -> None:
        if entry.schedule.name == "s1":
            raise RecursionError("odd")
        await done(self, entry, now)

    monkeypatch.setattr(Scheduler, "_do", broken)
    await looked(found, server, 30)
    assert len(server.items) == 2


async def test_a_crowd_that_comes_first_does_not_hold_a_tick_up_for_long() -> None:
    server = Server()
    found = scheduler(server, rank=1000)
    await looked(found, server)
    assert await looked(found, server, 30) == []
    assert "insert workitems" in await looked(found, server, 2.0 * room.MOST_STEPS)


async def test_a_refusal_for_the_moment_costs_no_schedule_its_records(monkeypatch) -> None:
    """Without them what was missed is not made good, and nobody can pause it."""
    server = Server()
    server.broken[STATE] = ServerError("the database does not answer", operation="query")
    work = scheduler(server)
    for _ in range(2):
        with pytest.raises(ServerError):
            await work.push_due(at_once=True)
    server.broken.clear()
    await work.push_due(at_once=True)
    assert len(server.documents) == 1

    server.broken[STATE] = ServerError("refused for ever", operation="query")
    other = scheduler(server)
    with pytest.raises(ServerError):
        await other.push_due(at_once=True)
    monkeypatch.setattr(room, "uptime", lambda: 1000.0 + room.BELIEVED_AFTER)
    await other.push_due(at_once=True)  # it is believed in the end, and ticks all the same
    server.now += timedelta(minutes=1)
    await other.push_due(at_once=True)
    assert len(server.items) == 1


async def test_an_item_of_a_tick_is_named_by_its_handler_else_by_its_schedule() -> None:
    server = Server()

    @schedule("* * * * *", payload={"day": "monday"}, headers={"from": "clock"})
    @handler("reports", name=lambda payload: f"Report {sorted(payload)} of {payload['day']}")
    async def report(payload: dict[str, str]) -> None: ...

    @schedule("* * * * *", name="hourly")
    @handler("plain")
    async def plain(payload: dict[str, str]) -> None: ...

    found = scheduler_of(server, report, plain)
    await looked(found, server)
    await looked(found, server, 30)
    names = {item["wiq"]: item["name"] for item in server.items.values()}
    assert names == {"reports": "Report ['day'] of monday", "plain": "hourly"}


def test_a_schedule_whose_items_get_no_name_is_refused_at_start() -> None:
    @schedule("* * * * *", payload={"day": "monday"})
    @handler("reports", name=lambda payload: payload["month"])
    async def report(payload: dict[str, str]) -> None: ...

    with pytest.raises(HandlerError, match=r"schedule report: The name .* raised KeyError"):
        timetable(Registry([report]), BEGIN)
