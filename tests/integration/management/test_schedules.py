"""Schedules as operators see, pause and fire them; and who may."""

from datetime import UTC, datetime
from typing import Any

import pytest

from worker import handler, schedule
from worker.app.registry import Registry
from worker.engine.daemon import Daemon
from worker.engine.scheduler.records import COLLECTION
from worker.engine.scheduler.switches import FIELD
from worker.engine.scheduler.timetable import timetable
from worker.management.errors import ForbiddenError, NotFoundError, ValidationError
from worker.management.schedules.service import Schedules
from worker.management.schedules.types import (
    ScheduleFilter,
    ScheduleFirePayload,
    ScheduleGetPayload,
    SchedulePausePayload,
    ScheduleResumePayload,
    SchedulesGetPListPayload,
)
from worker.openiap.client import Client
from worker.testing.local_openiap import LocalOpenIAP

HOURLY = ScheduleGetPayload(name="hourly")


def hourly() -> Any:
    minute = (datetime.now(UTC).minute + 30) % 60  # not while a test runs

    @schedule(f"{minute} * * * *", name="hourly", payload={"kind": "hourly"}, missed="skip")
    @schedule("0 3 1 1 *", name="yearly", payload={"kind": "yearly"})
    @handler("reports")
    async def report(payload: dict[str, Any]) -> None: ...

    return report


@pytest.fixture
async def daemon(openiap: LocalOpenIAP) -> Daemon:
    running = await openiap.start_worker(hourly())
    await running.tick()
    return running


async def test_a_schedule_is_seen_paused_resumed_and_fired(
    client: Client, openiap: LocalOpenIAP, daemon: Daemon
) -> None:
    schedules = Schedules(client)
    page = await schedules.get_plist(SchedulesGetPListPayload(sort_by="next", limit=1))
    assert (page.total, page.items[0].name) == (2, "hourly")
    queue = (await client.query("mq", {"name": "reports"}))[0]

    paused = await schedules.pause_one(SchedulePausePayload(name="hourly"))
    assert (paused.state, paused.next) == ("paused", None)
    of_paused = SchedulesGetPListPayload(filter=ScheduleFilter(states=["paused"]))
    assert [one.name for one in (await schedules.get_plist(of_paused)).items] == ["hourly"]
    await openiap.advance("3h")
    assert openiap.items("reports") == []

    resumed = await schedules.resume_one(ScheduleResumePayload(name="reports/hourly"))
    assert resumed.state == "active"
    after = (await client.query("mq", {"name": "reports"}))[0]
    assert after.pop(FIELD)[0]["paused"] is False
    stamps = ("_modified", "_modifiedby", "_modifiedbyid", "_version")
    assert {k: v for k, v in after.items() if k not in stamps} == {
        k: v for k, v in queue.items() if k not in stamps
    }
    await openiap.advance("1h")
    assert len(openiap.items("reports")) == 1

    entries = timetable(Registry([hourly()]), (await schedules.get_one(HOURLY)).since)
    fired = await Schedules(client, entries=entries).fire_one(ScheduleFirePayload(name="hourly"))
    assert openiap.item(fired.id).payload == {"kind": "hourly"}


async def test_who_may_not_update_the_queue_pauses_nothing(
    openiap: LocalOpenIAP, daemon: Daemon, ordinary: Client
) -> None:
    admin, user = openiap.client, ordinary.user
    assert user is not None
    (record,) = await admin.query(COLLECTION, {"_type": "schedule", "schedule": "hourly"})
    reads = {"_id": user.id, "name": user.username, "rights": 2}
    await admin.update_one(COLLECTION, {**record, "_acl": [*record["_acl"], reads]})
    (queue,) = await admin.query("mq", {"name": "reports"})
    await admin.update_one("mq", {**queue, "_acl": [*queue["_acl"], reads]})

    with pytest.raises(ForbiddenError, match="right to update its queue reports"):
        await Schedules(ordinary).pause_one(SchedulePausePayload(name="hourly"))
    # What anybody can write beside the queue: the way of earlier versions, and a twin of the queue.
    switch = {"_id": "/schedule_switch/reports/hourly", "_type": "schedule_switch", "paused": True}
    named = {"queue": "reports", "schedule": "hourly", "namespace": ""}
    await ordinary.insert_one(COLLECTION, {**switch, **named, "_acl": record["_acl"]})
    paused = [{"namespace": "", "name": "hourly", "paused": True}]
    twin = {"_type": "workitemqueue", "name": "reports", FIELD: paused, "_acl": queue["_acl"]}
    await ordinary.insert_one("mq", twin)

    assert (await Schedules(admin).get_one(HOURLY)).state == "active"
    await openiap.advance("1h")
    assert len(openiap.items("reports")) == 1


async def test_what_is_meant_by_no_schedule_or_by_several_is_said(
    openiap: LocalOpenIAP, daemon: Daemon
) -> None:
    @schedule("0 * * * *", name="hourly")
    @handler("letters")
    async def letter(payload: dict[str, Any]) -> None: ...

    openiap.queue("letters")
    schedules = Schedules(openiap.client)
    with pytest.raises(NotFoundError, match="no schedule weekly"):
        await schedules.get_one(ScheduleGetPayload(name="weekly"))
    entries = timetable(Registry([hourly(), letter]), (await schedules.get_one(HOURLY)).since)
    with pytest.raises(ValidationError, match="several schedules"):
        await Schedules(openiap.client, entries=entries).fire_one(
            ScheduleFirePayload(name="hourly")
        )
