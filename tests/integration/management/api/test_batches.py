"""Many items changed in the background: bounded, their user's alone, ended with the session."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.management.api.stage import ApiStage, api_on
from tests.integration.management.failures import (
    DELETE,
    INVOKE,
    READ,
    UPDATE,
    fail_items,
    four_failures,
    queue_for,
    states_of,
)
from worker.management.api.options import Limits
from worker.testing.local_openiap import LocalOpenIAP

pytestmark = pytest.mark.dear

RETRY: dict[str, Any] = {"action": "retry", "filter": {"queue": "orders"}}


async def ended(http: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    """Return a batch once it has ended."""
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"].removeprefix("/api/v1")
    while True:
        job: dict[str, Any] = (await http.get(path)).json()
        if job["state"] != "running":
            return job
        await asyncio.sleep(0.02)


async def test_a_batch_tells_how_far_it_is_and_what_it_has_done(stage: ApiStage) -> None:
    made = await four_failures(stage.openiap)
    every = sum(map(len, made.values()))
    async with stage.signed_in(stage.boss) as http:
        dry = (await http.post("/items/batches?dry_run=true", json=RETRY)).json()
        assert (dry["count"], len(dry["sample"]), dry["conditional"]) == (every, 5, True)
        assert {one["state"] for one in dry["sample"]} == {"failed"}
        job = await ended(http, await http.post("/items/batches", json=RETRY))
        assert (job["what"], job["state"], job["total"]) == ("retry", "done", every)
        assert job["progress"]["done"] == every
        assert [one["id"] for one in (await http.get("/batches")).json()["items"]] == [job["id"]]
        again = {**RETRY, "before": job["progress"]["before"]}
        job = await ended(http, await http.post("/items/batches", json=again))
        assert job["progress"]["done"] == 0
        change = {"action": "update", "filter": {"queue": "orders"}, "priority": 7}
        job = await ended(http, await http.post("/items/batches", json=change))
        assert job["progress"]["done"] == every
        off = {"action": "cancel", "filter": {"ids": made["gone"]}, "reason": "too late"}
        dry = (await http.post("/items/batches?dry_run=true", json=off)).json()
        assert (dry["count"], dry["running"]) == (len(made["gone"]), 0)
        job = await ended(http, await http.post("/items/batches", json=off))
        assert (job["what"], job["progress"]["done"]) == ("cancel", len(made["gone"]))
        away = {"action": "delete", "filter": {"ids": made["gone"]}}
        job = await ended(http, await http.post("/items/batches", json=away))
        assert job["progress"]["done"] == len(made["gone"])
    states = await states_of(stage.openiap.client, "orders")
    assert {state for state, _ in states.values()} == {"new"}
    assert len(states) == every - len(made["gone"])


async def test_what_cannot_be_done_is_refused_before_anything_is(stage: ApiStage) -> None:
    await four_failures(stage.openiap)
    async with stage.signed_in(stage.boss) as http:
        for body, status in (
            ({"action": "retry", "filter": {}}, 422),
            ({"action": "retry", "filter": {"queue": "orders", "states": ["processing"]}}, 409),
            ({"action": "move", "filter": {"queue": "orders"}, "to": "nowhere"}, 404),
            ({"action": "update", "filter": {"queue": "orders"}}, 422),
            ({"action": "purge", "filter": {"queue": "orders"}}, 422),
            ({**RETRY, "at": "9999-12-31T23:59:59Z", "spread": 1_000}, 422),
            ({**RETRY, "at": "0001-01-01T00:00:00+14:00"}, 422),
            ({**RETRY, "before": "0001-01-01T00:00:00+14:00"}, 422),
            ({**RETRY, "filter": {"queue": "orders", "$where": "1"}}, 422),
            ({**RETRY, "filter": {"queue": {"$ne": ""}}}, 422),
        ):
            answer = await http.post("/items/batches", json=body)
            assert answer.status_code == status, (body, answer.text)
        assert (await http.get("/batches")).json()["items"] == []
    states = await states_of(stage.openiap.client, "orders")
    assert {state for state, _ in states.values()} == {"failed"}


async def test_a_batch_has_its_users_rights_and_is_nobody_elses(stage: ApiStage) -> None:
    await queue_for(stage.openiap, "open", READ | UPDATE | DELETE | INVOKE)
    await queue_for(stage.openiap, "seen", READ)
    for name in ("open", "seen", "closed"):
        if name == "closed":
            stage.openiap.queue(name)
        await fail_items(stage.openiap.client, name, [{}] * 3, "it failed")
    async with stage.signed_in(stage.ordinary) as http, stage.signed_in(stage.boss) as boss:
        everything = {"action": "retry", "filter": {"states": ["failed"]}}
        answer = await http.post("/items/batches", json=everything)
        job = await ended(http, answer)
        assert (job["progress"]["done"], job["progress"]["failed"]) == (3, 3)
        assert "may not" in job["progress"]["failures"][0]["reason"]
        for call in (boss.get(f"/batches/{job['id']}"), boss.delete(f"/batches/{job['id']}")):
            assert (await call).status_code == 404
        assert (await boss.get("/batches")).json()["items"] == []
        move = {"action": "move", "filter": {"queue": "open"}, "to": "seen"}
        assert (await http.post("/items/batches", json=move)).status_code == 403
    for name, state in (("open", "new"), ("seen", "failed"), ("closed", "failed")):
        states = await states_of(stage.openiap.client, name)
        assert {found for found, _ in states.values()} == {state}


async def test_batches_are_bounded_stopped_and_gone_on_with(openiap: LocalOpenIAP) -> None:
    await four_failures(openiap)
    async with api_on(openiap, Limits(jobs_of_user=1)) as stage:
        async with stage.signed_in(stage.boss) as http, stage.signed_in(stage.boss) as other:
            openiap.faults.delay["updatedocument"] = 0.2  # it goes on for a while
            first = await http.post("/items/batches", json=RETRY)
            assert first.status_code == 202
            refused = await http.post("/items/batches", json=RETRY)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            stopped = await other.delete(f"/batches/{first.json()['id']}")
            assert stopped.json()["state"] == "stopped"
            openiap.faults.delay.clear()
            again = {**RETRY, "before": stopped.json()["progress"]["before"]}
            job = await ended(http, await http.post("/items/batches", json=again))
            assert job["state"] == "done"
            states = await states_of(openiap.client, "orders")
            assert set(states.values()) == {("new", 3)}  # each retried once
            await fail_items(openiap.client, "orders", [{}] * 20, "it failed")
            openiap.faults.delay["updatedocument"] = 0.2
            assert (await http.post("/items/batches", json=RETRY)).status_code == 202
            await http.delete("/session")
            assert stage.api.jobs.running == 1  # the user has another session
            await other.delete("/session")
            assert stage.api.jobs.running == 0
            openiap.faults.delay.clear()
        async with stage.signed_in(stage.boss) as http:
            assert (await http.get("/batches")).json()["items"] == []
