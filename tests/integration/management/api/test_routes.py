"""The routes of items: what the service does, over HTTP, with its errors."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.integration.management.api.stage import ApiStage, api_on
from tests.integration.management.failures import four_failures
from worker.management.api.access import changing, changing_unless_dry
from worker.management.api.app import ROUTERS
from worker.openiap.workitem import JsonObject
from worker.testing.local_openiap import LocalOpenIAP

OF_SESSIONS = {("POST", ""), ("DELETE", "")}
"""Signing in and out is no change of anything in OpenIAP."""
HOSTILE = (
    "where=$where=1",
    "where=payload.$where=sleep(1)",
    "where=payload.a.$gt=1",
    "where=" + quote("payload.a in " + ",".join(map(str, range(500)))),
    "where=" + ".".join(["a"] * 40) + "=1",
    "where=nothing",
    "where=payload.a=__REGEXP (a%2B)%2B",
    "where=payload.a%00=1",
    "&".join(["where=payload.a=1"] * 11),
    "error_pattern=" + quote("(a+)+$"),
    "error_pattern=" + quote("(a|a)*b"),
    "error_pattern=" + quote("(?=a)"),
    "error_pattern=" + "a*" * 50,
    "error_pattern=[",
    "error=" + "x" * 501,
    "attempts=many",
    "since=yesterday",
    "since=9999-99-99",
    "until=0001-01-01T00:00%2B14:00",
    "state=gone",
    "limit=101",
    "limit=0",
    "offset=-1",
    "offset=10000000000000000000000",
    "sort_by=_acl",
    "sort_direction=up",
    "$where=1",
    "filter[$where]=1",
    "group=other",
    "key=a&state=failed",
)


def _depends_on(route: APIRoute, wanted: set[Any]) -> bool:
    found, left = False, list(route.dependant.dependencies)
    while left:
        one = left.pop()
        found = found or one.call in wanted
        left += one.dependencies
    return found


def test_each_route_that_changes_is_refused_where_nothing_may_be_changed() -> None:
    seen = 0
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods - {"GET", "HEAD"}:
                if router.prefix == "/session":
                    assert (method, route.path.removeprefix(router.prefix)) in OF_SESSIONS
                    continue
                assert _depends_on(route, {changing, changing_unless_dry}), route.path
                seen += 1
    assert seen > 5


async def test_read_only_changes_nothing_and_says_why(openiap: LocalOpenIAP) -> None:
    id = await openiap.push("orders", {"n": 1})
    async with api_on(openiap, read_only=True) as stage, stage.signed_in(stage.boss) as http:
        assert (await http.get("/session")).json()["read_only"] is True
        everything = {"action": "delete", "filter": {"queue": "orders"}}
        for call in (
            http.delete(f"/items/{id}"),
            http.delete(f"/items/{id}?dry_run=true"),
            http.patch(f"/items/{id}", json={"priority": 1}),
            http.post("/items", json={"queue": "orders"}),
            http.post("/items/create-batch", json={"queue": "orders", "items": [{}]}),
            http.post("/items/batches", json=everything),
            http.post("/items/batches?dry_run=false", json=everything),
            http.put(f"/items/{id}/files/a.txt", content=b"x"),
        ):
            answer = await call
            assert answer.status_code == 403
            assert "read-only (--read-only)" in answer.json()["message"]
        dry = await http.post("/items/batches?dry_run=true", json=everything)
        assert (dry.status_code, dry.json()["count"]) == (200, 1)
        assert (await http.get(f"/items/{id}")).status_code == 200
    assert [item.state for item in openiap.items()] == ["new"]


@pytest.mark.dear
async def test_lists_counts_and_groups_are_those_of_the_command_line(stage: ApiStage) -> None:
    made = await four_failures(stage.openiap)
    async with stage.signed_in(stage.boss) as http:

        async def found(query: str) -> int:
            page = (await http.get(f"/items?queue=orders&limit=100&{query}")).json()
            count = (await http.get(f"/items/count?queue=orders&{query}")).json()["count"]
            assert page["total"] == count == len(page["items"])
            return int(count)

        every = sum(map(len, made.values()))
        assert await found("state=failed&state=new") == every
        assert await found("error=ORDER%204711") == len(made["gone"])
        assert await found("error_code=GONE") == len(made["gone"])
        assert await found("error_kind=business") == len(made["shut"])
        assert await found("where=payload.customer=c1&where=payload.n%3E=4&error_code=GONE") == 3
        assert await found("where=payload.n%20in%201,2&error_code=GONE") == 2
        assert await found("attempts=%3E=3&since=1h") == every
        assert await found("until=1h") == 0
        groups = (await http.get("/items/errors?queue=orders")).json()
        assert sum(group["count"] for group in groups) == every
        largest = groups[0]
        assert await found(f"group={largest['id']}") == largest["count"]
        page = await http.get("/items?sort_by=name&sort_direction=asc&limit=5&offset=3")
        assert (len(page.json()["items"]), page.json()["offset"]) == (5, 3)


async def test_a_hostile_filter_is_refused_in_a_sentence(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as http:
        before = stage.openiap.server.stats
        for query in HOSTILE:
            answer = await http.get(f"/items?{query}")
            assert answer.status_code == 422, query
            assert answer.json()["error"] in ("FilterError", "ValidationError")
            assert len(answer.json()["message"]) < 1_000
        after = stage.openiap.server.stats
    assert [after.get(name) for name in ("query", "count")] == [
        before.get(name) for name in ("query", "count")
    ]


async def test_one_item_is_changed_and_what_cannot_be_is_said(stage: ApiStage) -> None:
    made = await four_failures(stage.openiap)
    stage.openiap.queue("elsewhere")
    id, other, *_ = made["gone"]
    async with stage.signed_in(stage.boss) as http:

        async def kind(call: Any, status: int) -> str:
            answer = await call
            assert answer.status_code == status, answer.text
            return str(answer.json()["error"])

        changed = await http.patch(f"/items/{id}", json={"patch": {"n": None, "deep": {"x": 1}}})
        assert changed.status_code == 200
        payload = (await http.get(f"/items/{id}")).json()["payload"]
        assert ("n" in payload, payload["deep"]) == (False, {"x": 1})
        moved = await http.post(f"/items/{id}/move", json={"to": "elsewhere"})
        assert moved.json()["queue"] == "elsewhere"
        assert (await http.post(f"/items/{id}/retry")).json()["state"] == "new"
        assert await kind(http.post(f"/items/{id}/retry"), 409) == "ItemStateError"
        same = {"patch": {"deep": {"x": 1}}}
        assert await kind(http.patch(f"/items/{id}", json=same), 409) == "ConflictError"
        assert await kind(http.patch(f"/items/{id}", json={}), 422) == "ValidationError"
        own = {"patch": {"openiap_worker": {}}}
        assert await kind(http.patch(f"/items/{id}", json=own), 422) == "ValidationError"
        nowhere = http.post(f"/items/{id}/move", json={"to": "nowhere"})
        assert await kind(nowhere, 404) == "QueueNotFoundError"
        assert (await http.delete(f"/items/{other}")).status_code == 204
        assert await kind(http.get(f"/items/{other}"), 404) == "ItemNotFoundError"
        assert await kind(http.delete(f"/items/{other}"), 404) == "ItemNotFoundError"
        gone = http.patch(f"/items/{other}", json={"priority": 1})
        assert await kind(gone, 404) == "ItemNotFoundError"


@pytest.mark.dear
async def test_items_are_pushed_and_each_is_told_what_came_of_it(stage: ApiStage) -> None:
    stage.openiap.queue("orders")
    async with stage.signed_in(stage.boss) as http:
        one = {"queue": "orders", "payload": {"n": 1}, "unique": "4711", "priority": 1}
        first, second = [await http.post("/items", json=one) for _ in range(2)]
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json()["id"] == second.json()["id"]
        items: list[JsonObject] = [
            {"payload": {"n": 2}, "name": "plain", "headers": {"tenant": "acme"}},
            {"payload": {"n": 3}, "unique": "4711"},
            {"payload": {"n": 4}, "unique": "4712"},
            {"payload": {"n": 5}, "delay": "soon"},
            {"payload": {"n": 6}, "delay": "1h", "at": "2030-01-01T00:00:00Z"},
            {"payload": {"n": 7}, "at": "2030-01-01T00:00:00"},
            {"payload": {"n": 8}, "delay": "1h"},
        ]
        batch = {"queue": "orders", "items": items}
        answer = (await http.post("/items/create-batch", json=batch)).json()
        ends = [end["result"] for end in answer["items"]]
        refused = ["refused"] * 3
        assert ends == ["created", "existing", "created", *refused, "created"]
        assert all(end["reason"] for end in answer["items"] if end["result"] == "refused")
        counts = {name: answer[name] for name in ("created", "existing", "refused", "unknown")}
        assert counts == {"created": 3, "existing": 1, "refused": 3, "unknown": 0}
        assert len(stage.openiap.items("orders")) == 4
        shown = (await http.get(f"/items/{answer['items'][0]['id']}")).json()
        assert (shown["name"], shown["headers"]) == ("plain", {"tenant": "acme"})
        nowhere = await http.post("/items", json={"queue": "nowhere"})
        assert (nowhere.status_code, nowhere.json()["error"]) == (404, "QueueNotFoundError")
        batch = {"queue": "nowhere", "items": [{}] * 50}
        before = stage.openiap.server.stats
        answer = (await http.post("/items/create-batch", json=batch)).json()
        assert answer["refused"] == 50
        after = stage.openiap.server.stats
        assert sum(after.values()) - sum(before.values()) <= 10
        too_many = {"queue": "orders", "items": [{}] * 201}
        assert (await http.post("/items/create-batch", json=too_many)).status_code == 422


@pytest.mark.dear
async def test_a_lost_answer_is_told_as_such_and_nothing_is_pushed_twice(stage: ApiStage) -> None:
    stage.openiap.queue("orders")
    async with stage.signed_in(stage.boss) as http:
        for command in ("pushworkitem", "pushworkitems"):
            stage.openiap.lose_replies(command)
        sending = http.post("/items/create-batch", json={"queue": "orders", "items": [{}, {}]})
        answer = (await cut_meanwhile(stage, sending)).json()
    assert answer["unknown"] == 2
    assert len(stage.openiap.items("orders")) == 2


async def cut_meanwhile(stage: ApiStage, sending: Any) -> httpx.Response:
    task = asyncio.ensure_future(sending)
    while not stage.openiap.items("orders"):
        await asyncio.sleep(0.01)
    await stage.openiap.cut_links()
    answer = await task
    assert isinstance(answer, httpx.Response)
    return answer


@pytest.mark.dear
async def test_odd_items_are_shown(stage: ApiStage) -> None:
    id = await stage.openiap.push("orders", {"n": 1})
    deep: Any = 1
    for _ in range(90):
        deep = {"d": [deep]}
    odd = {"nul": "\0", "deep": deep, "big": 2**70, "<script>": "</script>"}
    change = {"$set": {"payload": odd, "errormessage": 7}}
    await stage.openiap.client.update_document("workitems", {"_id": id}, change)
    async with stage.signed_in(stage.boss) as http:
        answer = await http.get(f"/items/{id}")
        assert answer.status_code == 200
        assert answer.json()["payload"] == odd
        assert (await http.get("/items")).status_code == 200


@pytest.mark.dear
async def test_what_there_is_not_and_what_cannot_be_done_are_told_alike(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as http:
        for path, method, status in (
            ("/nothing", "GET", 404),
            ("/items/", "GET", 404),
            ("/items", "DELETE", 405),
            ("/items", "PUT", 405),
        ):
            answer = await http.request(method, path)
            assert answer.status_code == status, path
            assert set(answer.json()) == {"error", "message", "details"}
        broken = await http.post(
            "/items", content=b"{", headers={"content-type": "application/json"}
        )
        assert (broken.status_code, set(broken.json())) == (422, {"error", "message", "details"})
