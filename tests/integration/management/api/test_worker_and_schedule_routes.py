"""The routes of workers and schedules: what the services do, over HTTP, to workers that run."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.integration.management.api.stage import ApiStage, api_on
from worker import handler, schedule
from worker.app.registry import Registry
from worker.engine.daemon import Daemon
from worker.engine.scheduler.timetable import timetable
from worker.testing.local_openiap import LocalOpenIAP

ME = "worker-1"


@schedule("0 0 1 1 *", name="yearly", payload={"kind": "yearly"})
@handler("reports", concurrency=2)
async def report(payload: dict[str, Any]) -> None: ...


@pytest.fixture
async def daemon(openiap: LocalOpenIAP) -> Daemon:
    return await openiap.start_worker(report, worker_id=ME)


async def until_it_listens(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            found = (await http.get("/workers?state=working&queue=reports")).json()["items"]
            if [one for one in found if one["steerable"]]:
                return
            await asyncio.sleep(0.1)


async def test_a_worker_is_seen_and_steered(stage: ApiStage, daemon: Daemon) -> None:
    async with stage.signed_in(stage.boss) as http:
        await until_it_listens(http)

        async def told(what: str, body: Any = None) -> str:
            answer = await http.post(f"/workers/{ME}/{what}", json=body)
            assert (answer.status_code, answer.json()["done"]) == (200, True), answer.text
            return str(answer.json()["text"])

        await told("quiet")
        assert (await http.get(f"/workers/{ME}")).json()["state"] == "quiet"
        found = await http.get("/workers?state=quiet&trouble=false&sort_by=host")
        assert [one["id"] for one in found.json()["items"]] == [ME]
        await told("resume", {"within": 20})
        await told("set", {"queue": "reports", "concurrency": 3})
        (queue,) = (await http.get(f"/workers/{ME}")).json()["queues"]
        assert queue["concurrency"] == 3
        every = {"action": "stacks", "filter": {"queue": "reports"}}
        (one,) = (await http.post("/workers/steer", json=every)).json()["workers"]
        assert (one["worker"], one["done"]) == (ME, True)
        for path, body, status in (
            (f"/workers/{ME}/set", {}, 422),
            (f"/workers/{ME}/set", {"concurrency": 3}, 422),
            (f"/workers/{ME}/set", {"queue": "reports"}, 422),
            (f"/workers/{ME}/set", {"log_level": "loud"}, 422),
            (f"/workers/{ME}/set", {"log_level": "info", "queue": "reports"}, 422),
            (f"/workers/{ME}/quiet", {"within": 60}, 422),
            ("/workers/steer", {"action": "stop"}, 422),  # no filter is not all of them
            ("/workers/steer", {"action": "dance", "filter": {}}, 422),
            ("/workers/nobody/quiet", None, 404),
            ("/workers/steer", {"action": "quiet", "filter": {"queue": "nothing"}}, 404),
        ):
            answer = await http.post(path, json=body)
            assert answer.status_code == status, (path, body, answer.text)
        assert (await http.get("/hours?queue=nothing")).json() == []


async def test_a_schedule_is_seen_paused_and_fired_with_its_handler_at_hand(
    openiap: LocalOpenIAP, daemon: Daemon
) -> None:
    async with api_on(openiap) as stage, stage.signed_in(stage.boss) as http:
        async with asyncio.timeout(60):
            while not (await http.get("/schedules?queue=reports")).json()["total"]:
                await asyncio.sleep(0.1)
        for name in ("yearly", "reports%2Fyearly"):
            assert (await http.get(f"/schedules/{name}")).json()["state"] == "active"
            assert (await http.post(f"/schedules/{name}/pause")).json()["state"] == "paused"
            paused = (await http.get("/schedules?state=paused&sort_by=next")).json()
            assert [one["name"] for one in paused["items"]] == ["yearly"]
            assert (await http.post(f"/schedules/{name}/resume")).json()["state"] == "active"
        gone = await http.post("/schedules/daily/pause")
        assert (gone.status_code, gone.json()["error"]) == (404, "ScheduleNotFoundError")
        fired = await http.post("/schedules/yearly/fire")
        assert (fired.status_code, fired.json()["error"]) == (409, "NoHandlersError")
        assert openiap.items("reports") == []

    entries = timetable(Registry([report]), datetime.now(UTC))
    async with api_on(openiap, schedules=entries) as stage, stage.signed_in(stage.boss) as http:
        fired = await http.post("/schedules/yearly/fire")
        assert (fired.status_code, fired.json()["queue"]) == (201, "reports")
        async with stage.signed_in(stage.ordinary) as other:
            unseen = await other.post("/schedules/yearly/fire")
            assert unseen.status_code == 404
            assert "reports" not in unseen.text
    (item,) = openiap.items("reports")
    assert item.payload == {"kind": "yearly"}
