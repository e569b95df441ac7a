"""What holds for every route, whichever feature it is of: asked by its own description.

A route that is added later is asked, too.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.integration.management.api.stage import PREFIX, ApiStage, api_on
from worker.management.api.options import Limits
from worker.management.workers.routes import LONGEST
from worker.management.workers.service import PATIENCE
from worker.openiap.workitem import JsonObject
from worker.testing.local_openiap import LocalOpenIAP

FORM = {"error", "message", "details"}
SIGN_IN = ("post", "/session")
MANY = 10**6
PLENTY = Limits(calls=MANY, burst=MANY, sign_ins_per_address=MANY, sign_ins_per_name=MANY)


class Operation:
    """One route, with an example for each part of a request."""

    def __init__(self, path: str, method: str, described: JsonObject, whole: JsonObject) -> None:
        self.method, self.template = method, path.removeprefix(PREFIX)
        self.parameters: list[JsonObject] = described.get("parameters", [])
        filled = self.template
        for one in self.parameters:
            if one["in"] == "path":
                (example, *_) = one["schema"].get("examples") or one["examples"]
                filled = filled.replace(f"{{{one['name']}}}", quote(example, safe=""))
        self.path = filled
        content = described.get("requestBody", {}).get("content", {})
        body = content.get("application/json", {}).get("schema", {})
        self.takes_json = bool(body)
        self.bodies: list[Any] = []
        for part in body.get("oneOf", [body]):
            name = part.get("$ref", "").rpartition("/")[2]
            self.bodies += whole["components"]["schemas"].get(name, {}).get("examples", [])

    @property
    def changes(self) -> bool:
        return self.method not in ("get", "head") and not self.template.startswith("/session")

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    async def ask(self, http: httpx.AsyncClient, **more: Any) -> httpx.Response:
        """Ask it with its examples."""
        if self.takes_json and "json" not in more:
            more["json"] = self.bodies[0]
        return await http.request(self.method, self.path, **more)


def asked_of(openiap: LocalOpenIAP) -> dict[str, int]:
    """Return what OpenIAP was asked; a link's own pings are no questions."""
    return {name: n for name, n in openiap.server.stats.items() if name != "getelement"}


async def operations(stage: ApiStage) -> list[Operation]:
    async with stage.asking() as http:
        whole = (await http.get("/openapi.json")).json()

    def found() -> Iterator[Operation]:
        for path, methods in whole["paths"].items():
            for method, described in methods.items():
                yield Operation(path, method, described, whole)

    every = list(found())
    assert len(every) > 40
    return every


async def test_nobody_is_answered_without_a_session_or_with_a_forged_one(stage: ApiStage) -> None:
    every = await operations(stage)
    token = await stage.token(stage.boss)
    forged: list[dict[str, str]] = [
        {},
        {"authorization": f"Bearer {token[:-1]}"},
        {"authorization": f"Bearer {token}x"},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlcyI6WyJhZG1pbnMiXX0."},
        {"cookie": f"openiap_worker_session={token}"},  # the token of another kind of session
    ]
    calls = asked_of(stage.openiap)
    async with stage.asking() as http:
        for operation in every:
            if (operation.method, operation.template) == SIGN_IN:
                continue
            for headers in forged:
                answer = await operation.ask(http, headers=headers)
                assert answer.status_code == 401, str(operation)
                assert set(answer.json()) == FORM
    assert asked_of(stage.openiap) == calls


async def test_no_page_of_another_address_is_answered(stage: ApiStage) -> None:
    every = await operations(stage)
    async with stage.asking() as http:
        answer = await http.post("/session", json={**stage.boss, "cookie": True})
        cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        calls = asked_of(stage.openiap)
        for operation in every:
            foreign = [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}]
            if operation.changes:  # a form of a browser that tells nothing of where it comes from
                foreign.append({})
            for headers in foreign:
                answer = await operation.ask(http, headers=cookie | headers)
                assert answer.status_code == 403, (str(operation), headers)
        assert asked_of(stage.openiap) == calls
        assert (await http.get("/session", headers=cookie)).status_code == 200


async def test_nothing_is_changed_where_nothing_may_be(openiap: LocalOpenIAP) -> None:
    openiap.queue("orders")
    async with api_on(openiap, PLENTY, read_only=True) as stage:
        changing = [one for one in await operations(stage) if one.changes]
        async with stage.signed_in(stage.boss) as http:
            calls = asked_of(openiap)
            for operation in changing:
                answer = await operation.ask(http)
                assert answer.status_code == 403, str(operation)
                assert "read-only" in answer.json()["message"]
            assert asked_of(openiap) == calls
    assert len(changing) > 20


@pytest.mark.dear
async def test_every_example_is_taken_as_it_stands(openiap: LocalOpenIAP) -> None:
    async with api_on(openiap, PLENTY) as stage, stage.signed_in(stage.boss) as http:
        for operation in await operations(stage):
            if operation.template == "/session":
                continue
            assert operation.bodies or not operation.takes_json, f"{operation}: no example"
            for body in operation.bodies or [None]:
                given = {"json": body} if operation.takes_json else {}
                answer = await http.request(operation.method, operation.path, **given)
                assert answer.status_code in (200, 201, 202, 204, 404, 409), (
                    str(operation),
                    body,
                    answer.text,
                )
            for one in operation.parameters:
                examples = one["schema"].get("examples", one.get("examples", []))
                for example in examples if one["in"] == "query" else []:
                    answer = await http.get(operation.path, params={one["name"]: example})
                    assert answer.status_code in (200, 404), (str(operation), one["name"])


async def test_every_list_comes_in_pages_of_one_form(openiap: LocalOpenIAP) -> None:
    async with api_on(openiap, PLENTY) as stage, stage.signed_in(stage.boss) as http:
        pages = [
            one
            for one in await operations(stage)
            if any(each["name"] == "offset" for each in one.parameters)
        ]
        features = {"/items", "/queues", "/breakers", "/workers", "/schedules", "/batches"}
        assert {one.template for one in pages} == features
        for operation in pages:
            answer = await http.get(operation.path, params={"limit": 100, "offset": 1})
            shown = {"items": [], "total": 0, "limit": 100, "offset": 1}
            assert answer.json() == shown, str(operation)
            for wrong in ("limit=0", "limit=101", "offset=-1", "sort_direction=up", "$where=1"):
                answer = await http.get(f"{operation.path}?{wrong}")
                assert answer.status_code == 422, (str(operation), wrong)
                assert set(answer.json()) == FORM


def test_an_answer_of_a_worker_is_waited_for_within_the_time_of_a_request() -> None:
    assert Limits().request > LONGEST + PATIENCE + 5
