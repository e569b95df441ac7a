"""The routes of queues and breakers: what the services do, over HTTP."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.integration.management.api.stage import ApiStage, api_on
from tests.integration.management.failures import READ, UPDATE, queue_for
from worker import Breaker, handler
from worker.management.api.options import Limits
from worker.testing.local_openiap import LocalOpenIAP

ODD = "a/b pause%/ø <x>"


def at(name: str, what: str = "") -> str:
    return f"/queues/{quote(name, safe='')}{what}"


async def ended(http: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    while True:
        job: dict[str, Any] = (await http.get(f"/batches/{answer.json()['id']}")).json()
        if job["state"] != "running":
            return job
        await asyncio.sleep(0.02)


async def test_a_queue_is_made_seen_changed_paused_purged_and_deleted(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as http:
        made = await http.post("/queues", json={"name": "orders", "max_retries": 2})
        assert (made.status_code, made.json()["max_retries"]) == (201, 2)
        assert made.json()["advice"]
        again = await http.post("/queues", json={"name": "orders"})
        assert (again.status_code, again.json()["error"]) == (409, "QueueExistsError")
        changed = await http.patch("/queues/orders", json={"retry_delay": 60})
        assert (changed.json()["max_retries"], changed.json()["retry_delay"]) == (2, 60)
        for n in range(5):
            await stage.openiap.push("orders", {"n": n})
        shown = (await http.get("/queues/orders")).json()
        assert (shown["items"]["new"], shown["due"], shown["paused"]) == (5, 5, None)
        paused = await http.post("/queues/orders/pause", json={"reason": "shut", "seconds": 60})
        assert paused.json()["paused"]["by"] == stage.boss["username"]
        found = (await http.get("/queues?paused=true&name=ORD&sort_by=new")).json()
        assert [(one["name"], one["items"]["new"]) for one in found["items"]] == [("orders", 5)]
        assert (await http.get("/queues?paused=false")).json()["total"] == 0
        assert (await http.post("/queues/orders/resume")).json()["paused"] is None
        some = {"filter": {"payload": [{"field": "n", "op": ">", "value": 2}]}}
        dry = await http.post("/queues/orders/purge?dry_run=true", json=some)
        assert (dry.status_code, dry.json()["count"]) == (200, 2)
        job = await ended(http, await http.post("/queues/orders/purge", json=some))
        assert (job["what"], job["state"], job["total"]) == ("purge", "done", 2)
        assert job["progress"]["done"] == 2
        assert (await http.request("DELETE", "/queues/orders?dry_run=true")).json()["count"] == 3
        assert len(stage.openiap.items("orders")) == 3
        job = await ended(http, await http.delete("/queues/orders"))
        assert (job["state"], job["progress"]["done"]) == ("done", 3)
        assert (await http.get("/queues/orders")).status_code == 404
    assert stage.openiap.items("orders") == []


async def test_what_would_empty_a_queue_by_mistake_is_refused(stage: ApiStage) -> None:
    await stage.openiap.push("orders", {"n": 1})
    async with stage.signed_in(stage.boss) as http:
        for body, status in (
            (None, 422),
            ({}, 422),
            ({"filters": {"states": ["failed"]}}, 422),
            ({"filter": {"state": ["failed"]}}, 422),
            ({"filter": {"queue": "others"}}, 422),
            ({"filter": {"error_pattern": "(a+)+$"}}, 422),
        ):
            answer = await http.post("/queues/orders/purge", json=body)
            assert answer.status_code == status, (body, answer.text)
        for path, status in (("/queues/nowhere/purge", 404), ("/queues//purge", 422)):
            answer = await http.post(path, json={"filter": {}})
            assert answer.status_code == status, path
        assert (await http.get("/batches")).json()["total"] == 0
    assert len(stage.openiap.items("orders")) == 1


async def test_a_queue_of_any_name_is_reached(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as http:
        for name in (ODD, "pause", "a/pause", "%2F"):
            assert (await http.post("/queues", json={"name": name})).status_code == 201
            paused = await http.post(at(name, "/pause"), json={"reason": name})
            assert (paused.status_code, paused.json()["name"]) == (200, name), paused.text
            assert (await http.get(at(name))).json()["paused"]["reason"] == name
            assert (await ended(http, await http.delete(at(name))))["state"] == "done"
        page = (await http.get(f"{stage.url}/metrics")).text
    assert 'route="/queues/{name}/pause"' in page


async def test_who_lacks_a_right_is_told_so_and_nothing_is_done(stage: ApiStage) -> None:
    await queue_for(stage.openiap, "seen", READ)
    await queue_for(stage.openiap, "kept", READ | UPDATE)
    for name in ("seen", "kept"):
        await stage.openiap.push(name, {"n": 1})
    async with stage.signed_in(stage.ordinary) as http:
        refused = await http.post("/queues/seen/pause", json={})
        assert (refused.status_code, refused.json()["error"]) == (403, "QueueForbiddenError")
        assert refused.json()["details"] == {"queue": "seen", "right": "update"}
        assert (await http.post("/queues/kept/pause", json={})).status_code == 200
        assert (await http.post("/queues/kept/resume")).status_code == 200
        gone = await http.delete("/queues/kept")
        assert (gone.status_code, gone.json()["details"]["right"]) == (403, "delete")
        job = await ended(http, await http.post("/queues/seen/purge", json={"filter": {}}))
        assert (job["state"], job["error"]["error"]) == ("failed", "QueueKeptError")
    assert [len(stage.openiap.items(name)) for name in ("seen", "kept")] == [1, 1]


@pytest.mark.dear
async def test_a_purge_is_its_users_and_ends_with_the_session(openiap: LocalOpenIAP) -> None:
    for n in range(30):
        await openiap.push("orders", {"n": n}, files={"a.txt": b"x"})
    async with api_on(openiap, Limits()) as stage, stage.signed_in(stage.ordinary) as other:
        async with stage.signed_in(stage.boss) as http:
            openiap.faults.delay["deleteone"] = openiap.faults.delay["deleteworkitem"] = 0.2
            begun = await http.post("/queues/orders/purge", json={"filter": {}})
            job = begun.json()["id"]
            assert begun.headers["location"] == f"/api/v1/batches/{job}"
            for method in ("GET", "DELETE"):
                assert (await other.request(method, f"/batches/{job}")).status_code == 404
            await http.delete("/session")
        assert stage.api.jobs.running == 0
    assert openiap.items("orders")


async def test_a_breaker_is_seen_and_forced_by_who_may_update_its_queue(stage: ApiStage) -> None:
    await queue_for(stage.openiap, "orders", READ)
    away = Breaker("payments", on=(ConnectionError,))

    @handler("orders", breakers=[away])
    async def orders(payload: dict[str, Any]) -> None: ...

    @handler("closed", breakers=[away])
    async def closed(payload: dict[str, Any]) -> None: ...

    await stage.openiap.start_worker(orders, closed)
    async with stage.signed_in(stage.boss) as http, stage.signed_in(stage.ordinary) as other:
        while (listed := (await http.get("/breakers")).json())["total"] < 2:
            await asyncio.sleep(0.05)
        assert [one["queue"] for one in listed["items"]] == ["closed", "orders"]
        (seen,) = (await other.get("/breakers?name=payments")).json()["items"]
        assert (seen["queue"], seen["stands"]) == ("orders", "popped")
        refused = await other.patch("/breakers/payments", json={"to": "open"})
        assert (refused.status_code, refused.json()["details"]["queue"]) == (403, "orders")
        change = {"to": "open", "queue": "orders", "reason": "shut"}
        (forced,) = (await http.patch("/breakers/payments", json=change)).json()
        assert (forced["forced"], forced["by"]) == ("open", stage.boss["username"])
        (seen,) = (await other.get("/breakers?queue=orders")).json()["items"]
        assert (seen["forced"], seen["why"]) == ("open", "shut")
        for asking in (http, other):
            gone = await asking.patch("/breakers/nothing", json={"to": "auto"})
            assert (gone.status_code, gone.json()["error"]) == (404, "BreakerNotFoundError")
            assert gone.json()["details"]["there"] == ["payments"]
        assert (await http.patch("/breakers/payments", json={"to": "ajar"})).status_code == 422
