"""A user who may see one queue sees and does exactly that: over HTTP and on the command line."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.cli.commands import Finished, run_here
from tests.integration.management.api.stage import ApiStage
from tests.integration.management.failures import (
    DELETE,
    INVOKE,
    READ,
    UPDATE,
    fail_items,
    queue_for,
)
from worker import Breaker, handler, schedule
from worker.openiap.workitem import WorkItemQueue

SECRET = "unspeakable"
"""In the name of everything that this user may not see."""


@schedule("0 0 1 1 *", name="yearly")
@handler("open", breakers=[Breaker("payments", on=(ConnectionError,))])
async def of_open(payload: dict[str, Any]) -> None: ...


@schedule("0 0 1 1 *", name=f"{SECRET}-yearly")
@handler(f"{SECRET}-queue", breakers=[Breaker(f"{SECRET}-breaker", on=(ConnectionError,))])
async def of_closed(payload: dict[str, Any]) -> None: ...


@dataclass
class Fleet:
    """Two queues, and who works them."""

    stage: ApiStage
    mine: list[str]
    others: list[str]


@pytest.fixture
async def fleet(stage: ApiStage) -> Fleet:
    openiap = stage.openiap
    await queue_for(openiap, "open", READ | UPDATE | DELETE | INVOKE)
    await openiap.client.add_workitem_queue(WorkItemQueue(name=f"{SECRET}-queue"))
    await openiap.client.add_workitem_queue(WorkItemQueue(name=f"{SECRET}-idle"))
    error = f"[GONE] {SECRET} 4711 is gone"
    mine = await fail_items(openiap.client, "open", [{"n": 1}], "[GONE] order 1 is gone")
    others = await fail_items(openiap.client, f"{SECRET}-queue", [{SECRET: 1}], error)
    await openiap.start_worker(of_open, worker_id="w-open")
    await openiap.start_worker(of_closed, worker_id=f"w-{SECRET}")
    await openiap.start_worker(of_open, of_closed, worker_id="w-both")
    async with stage.signed_in(stage.boss) as boss, asyncio.timeout(60):
        wanted = {"/workers": 3, "/breakers": 2, "/schedules": 2}
        for path, count in wanted.items():
            while (await boss.get(path)).json()["total"] < count:
                await asyncio.sleep(0.1)
    return Fleet(stage, mine, others)


async def test_over_http(fleet: Fleet) -> None:
    stage, (other, *_) = fleet.stage, fleet.others
    async with stage.signed_in(stage.ordinary) as http:

        async def seen(path: str) -> Any:
            answer = await http.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert SECRET not in answer.text, path
            return answer.json()

        assert [one["id"] for one in (await seen("/items"))["items"]] == fleet.mine
        assert (await seen("/items/count"))["count"] == 1
        assert [one["queues"] for one in await seen("/items/errors")] == [{"open": 1}]
        for how in ("name", "failed"):
            found = await seen(f"/queues?sort_by={how}")
            assert [one["name"] for one in found["items"]] == ["open"]
        assert (await seen("/queues/open"))["items"]["failed"] == 1
        assert [one["name"] for one in (await seen("/breakers"))["items"]] == ["payments"]
        assert [one["name"] for one in (await seen("/schedules"))["items"]] == ["yearly"]
        workers = (await seen("/workers"))["items"]
        assert [one["id"] for one in workers] == ["w-both", "w-open"]
        for id in ("w-both", "w-open"):
            shown = await seen(f"/workers/{id}")
            assert [one["name"] for one in shown["queues"]] == ["open"]
        await seen("/hours")
        await refused(http, other)
        done = await http.patch("/breakers/payments", json={"to": "open"})
        assert [one["queue"] for one in done.json()] == ["open"]
        assert (await http.post("/schedules/yearly/pause")).json()["state"] == "paused"
        assert (await http.post("/queues/open/pause", json={})).json()["paused"]
        assert (await http.post(f"/items/{fleet.mine[0]}/retry")).json()["state"] == "new"
    async with stage.signed_in(stage.boss) as boss:
        item = (await boss.get(f"/items/{other}")).json()
        assert (item["state"], item["queue"]) == ("failed", f"{SECRET}-queue")
        queues = (await boss.get("/queues")).json()["items"]
        assert {one["name"]: bool(one["paused"]) for one in queues} == {
            "open": True,
            f"{SECRET}-queue": False,
            f"{SECRET}-idle": False,
        }
        forced = (await boss.get("/breakers")).json()["items"]
        assert {one["name"]: one["forced"] for one in forced} == {
            "payments": "open",
            f"{SECRET}-breaker": None,
        }


async def refused(http: httpx.AsyncClient, other: str) -> None:
    """Everything of another's is answered as if it were not there, and without its name."""
    queue, worker = f"/queues/{SECRET}-queue", f"/workers/w-{SECRET}"
    for method, path, body in (
        ("GET", f"/items/{other}", None),
        ("GET", f"/items/{other}/history", None),
        ("POST", f"/items/{other}/retry", {"force": True}),
        ("DELETE", f"/items/{other}", None),
        ("GET", f"/items?queue={SECRET}-queue", None),
        ("POST", "/items", {"queue": f"{SECRET}-queue"}),
        ("GET", queue, None),
        ("PATCH", queue, {"max_retries": 9}),
        ("DELETE", queue, None),
        ("DELETE", f"{queue}?dry_run=true", None),
        ("POST", f"{queue}/pause", {}),
        ("POST", f"{queue}/resume", None),
        ("POST", f"{queue}/purge", {"filter": {}}),
        ("POST", f"{queue}/purge?dry_run=true", {"filter": {}}),
        ("PATCH", "/queues/open", {"failed_queue": f"{SECRET}-queue"}),
        ("PATCH", f"/breakers/{SECRET}-breaker", {"to": "open"}),
        ("GET", worker, None),
        *(("POST", f"{worker}/{what}", None) for what in ("quiet", "resume", "stop", "stacks")),
        ("POST", f"{worker}/set", {"log_level": "debug"}),
        ("POST", "/workers/steer", {"action": "stop", "filter": {"ids": [f"w-{SECRET}"]}}),
        ("POST", "/workers/steer", {"action": "stop", "filter": {"queue": f"{SECRET}-queue"}}),
        ("GET", f"/schedules/{SECRET}-yearly", None),
        ("POST", f"/schedules/{SECRET}-yearly/pause", None),
    ):
        answer = await http.request(method, path, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
        nothing = await http.request(method, path.replace(SECRET, "nothing"), json=body)
        if "items/" not in path and isinstance(body, dict | None) and SECRET not in str(body):
            same = answer.text.replace(SECRET, "nothing")
            assert (nothing.status_code, nothing.text) == (404, same), (method, path)
    for path in ("/workers/w-open/stop", "/workers/w-both/quiet"):
        answer = await http.post(path)
        assert (answer.status_code, answer.json()["error"]) == (403, "SteeringForbiddenError")


@pytest.mark.dear
async def test_on_the_command_line(fleet: Fleet, tmp_path: Path) -> None:
    stage, (other, *_) = fleet.stage, fleet.others
    environment = {
        **stage.openiap.environment,
        "OPENIAP_USERNAME": stage.ordinary["username"],
        "OPENIAP_PASSWORD": stage.ordinary["password"],
        "OPENIAP_WORKER_STATE_DIR": str(tmp_path / "state"),
    }

    async def run(*arguments: str) -> Finished:
        return await asyncio.to_thread(
            run_here, *arguments, folder=tmp_path, environment=environment
        )

    async def seen(*arguments: str) -> Any:
        done = await run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        return json.loads(done.stdout)

    assert [one["id"] for one in await seen("items", "list")] == fleet.mine
    assert [one["name"] for one in await seen("queues", "list")] == ["open"]
    assert [one["name"] for one in await seen("breakers", "list")] == ["payments"]
    assert [one["name"] for one in await seen("schedules", "list")] == ["yearly"]
    assert [one["id"] for one in await seen("workers", "list")] == ["w-both", "w-open"]
    await seen("workers", "show", "w-both")
    await seen("items", "errors")
    queue = f"{SECRET}-queue"
    for arguments in (
        ("items", "show", other),
        ("items", "history", other),
        ("items", "retry", other),
        ("items", "delete", other, "--yes"),
        ("queues", "show", queue),
        ("queues", "update", queue, "--max-retries", "9"),
        ("queues", "purge", queue, "--yes"),
        ("queues", "delete", queue, "--yes"),
        ("queues", "pause", queue),
        ("breakers", "open", f"{SECRET}-breaker"),
        ("schedules", "pause", f"{SECRET}-yearly"),
        ("workers", "show", f"w-{SECRET}"),
        ("workers", "stop", f"w-{SECRET}", "--yes"),
        ("workers", "stop", "w-open", "--yes"),
        ("push", queue, "--payload", "{}"),
    ):
        done = await run(*arguments)
        assert done.returncode == 1, (arguments, done.stdout, done.stderr)
    await seen("queues", "pause", "open")
    states = {item.id: item.state for item in stage.openiap.items()}
    assert states == {fleet.mine[0]: "failed", other: "failed"}
