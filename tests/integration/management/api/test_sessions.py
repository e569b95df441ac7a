"""Sessions: whoever signs in has that user's rights, and nobody has anybody else's."""

import asyncio

import httpx
import pytest

from tests.integration.management.api.stage import PREFIX, ApiStage, api_on
from tests.integration.management.failures import INVOKE, READ, UPDATE, queue_for
from worker.management.api.options import Limits
from worker.openiap.factory import make_client
from worker.testing.local_openiap import LocalOpenIAP

FORGED = (
    "",
    "Bearer",
    "Bearer x",
    "Bearer " + "A" * 43,
    "Basic bWU6c2VjcmV0",
    "bearer eyJhbGciOiJub25lIn0.eyJfaWQiOiJib3NzIn0.",
    "Bearer ../../etc",
)


async def test_every_call_has_the_rights_of_its_user_alone(stage: ApiStage) -> None:
    await queue_for(stage.openiap, "open", READ | UPDATE | INVOKE)
    stage.openiap.queue("closed")
    mine = await stage.openiap.push("open", {"n": 1})
    other = await stage.openiap.push("closed", {"n": 2})
    async with stage.signed_in(stage.ordinary) as http, stage.signed_in(stage.boss) as boss:
        listed = (await http.get("/items")).json()
        assert ([one["id"] for one in listed["items"]], listed["total"]) == ([mine], 1)
        assert (await boss.get("/items")).json()["total"] == 2
        seen = {path: (await http.get(path)).status_code for path in (f"/items/{other}",)}
        assert seen == {f"/items/{other}": 404}
        assert (await http.get("/items?queue=closed")).status_code == 404
        for call in (
            http.delete(f"/items/{other}"),
            http.patch(f"/items/{other}", json={"priority": 1}),
            http.post(f"/items/{other}/move", json={"to": "open"}),
            http.post(f"/items/{other}/retry"),
            http.put(f"/items/{other}/files/a.txt", content=b"x"),
            http.post("/items", json={"queue": "closed", "payload": {}}),
            http.post(f"/items/{mine}/move", json={"to": "closed"}),
        ):
            answer = await call
            assert answer.status_code in (403, 404), (answer.request.url, answer.text)
        assert stage.openiap.item(other).state == "new"
        assert stage.openiap.item(mine).queue == "open"
        assert (await http.patch(f"/items/{mine}", json={"priority": 1})).json()["priority"] == 1
        who = [(await one.get("/session")).json()["user"]["username"] for one in (http, boss)]
        assert who == [stage.ordinary["username"], stage.boss["username"]]


async def test_nothing_is_answered_without_a_session(stage: ApiStage) -> None:
    async with stage.asking() as http:
        for header in FORGED:
            answer = await http.get("/items", headers={"authorization": header})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"] == "UnauthorizedError"
        assert (await http.get("/items")).status_code == 401
        forged = {"cookie": "openiap_worker_session=x"}
        assert (await http.get("/items", headers=forged)).status_code == 401
        assert (await http.delete("/session")).status_code == 401
    assert stage.api.links.open == 0


async def test_wrong_credentials_are_refused_and_never_told(stage: ApiStage) -> None:
    async with stage.asking() as http:
        for wrong in (
            {"username": stage.boss["username"], "password": "hunter2-hunter2"},
            {"token": "eyJ-hunter2-hunter2"},
        ):
            answer = await http.post("/session", json=wrong)
            assert (answer.status_code, answer.json()["error"]) == (401, "UnauthorizedError")
            assert "hunter2" not in answer.text
        for odd in ({"username": "hunter2"}, {"password": "hunter2"}, {}, {"token": ["hunter2"]}):
            answer = await http.post("/session", json=odd)
            assert answer.status_code == 422
            assert "hunter2" not in answer.text
        both = {**stage.boss, "token": "hunter2"}
        assert (await http.post("/session", json=both)).status_code == 422
    assert "hunter2" not in "".join(stage.lines)
    assert stage.api.links.open == len(stage.api.sessions) == 0


@pytest.mark.dear
async def test_a_token_of_openiap_signs_in_as_its_user(stage: ApiStage) -> None:
    client = make_client(stage.openiap.settings(client="native", **stage.ordinary))
    await client.connect()
    jwt, _ = await client.signin()
    await client.disconnect()
    async with stage.signed_in({"token": jwt}) as http:
        user = (await http.get("/session")).json()["user"]
    assert user["username"] == stage.ordinary["username"]


@pytest.mark.dear
async def test_users_share_no_link_and_sessions_of_a_user_do(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as one, stage.signed_in(stage.boss) as two:
        await asyncio.gather(one.get("/items"), two.get("/items"))
        assert stage.api.links.open == 1
        async with stage.signed_in(stage.ordinary):
            assert stage.api.links.open == 2
        await one.delete("/session")
        assert (await one.get("/items")).status_code == 401
        assert (await two.get("/items")).status_code == 200
        await two.delete("/session")
    assert stage.api.links.open == 1


@pytest.mark.dear
async def test_a_session_ends_when_nobody_uses_it_and_at_its_age(stage: ApiStage) -> None:
    limits = stage.api.options.limits
    async with stage.signed_in(stage.boss) as idle, stage.signed_in(stage.boss) as used:
        for _ in range(int(limits.longest / limits.idle) - 1):
            stage.clock.now += limits.idle - 1
            assert (await used.get("/items")).status_code == 200
        assert (await idle.get("/items")).status_code == 401
        stage.clock.now += limits.idle - 1
        await stage.api.sweep()
        assert stage.api.links.open == 0
        stage.clock.now += 60
        assert (await used.get("/items")).status_code == 401


@pytest.mark.dear
async def test_an_idle_link_is_closed_and_opened_again(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as http:
        stage.clock.now += stage.api.options.limits.link_idle
        await stage.api.sweep()
        assert stage.api.links.open == 0
        assert (await http.get("/items")).status_code == 200
        assert stage.api.links.open == 1


@pytest.mark.dear
async def test_too_many_links_give_way_to_one_another(openiap: LocalOpenIAP) -> None:
    async with (
        api_on(openiap, Limits(users=1)) as stage,
        stage.signed_in(stage.boss) as boss,
        stage.signed_in(stage.ordinary) as ordinary,
    ):
        assert stage.api.links.open == 1
        assert (await boss.get("/items")).status_code == 200
        assert (await ordinary.get("/items")).status_code == 200
        assert stage.api.links.open == 1


@pytest.mark.dear
async def test_a_restarted_server_is_reached_again(stage: ApiStage) -> None:
    async with stage.signed_in(stage.boss) as http:
        await stage.openiap.restart()
        answers = [(await http.get("/items")).status_code]
        while answers[-1] == 503 and len(answers) < 20:
            answers.append((await http.get("/items")).status_code)
        assert answers[-1] == 200


@pytest.mark.dear
async def test_credentials_that_are_over_end_the_sessions(stage: ApiStage) -> None:
    async with stage.signed_in(stage.ordinary) as http, stage.signed_in(stage.boss) as boss:
        assert (await http.get("/items")).status_code == 200
        services, boss_alone = stage.openiap.server.services, stage.boss
        left = {boss_alone["username"]: boss_alone["password"]}
        services.users.ensure_only(left, {}, services.now())
        await stage.openiap.server.drop_connections()
        answers = [(await http.get("/items")).status_code]
        while answers[-1] != 401 and len(answers) < 50:
            await asyncio.sleep(0.05)
            answers.append((await http.get("/items")).status_code)
        assert answers[-1] == 401
        while (await boss.get("/items")).status_code != 200:
            await asyncio.sleep(0.05)


async def cookies_of(stage: ApiStage) -> dict[str, str]:
    async with stage.asking() as http:
        answer = await http.post("/session", json={**stage.boss, "cookie": True})
        assert answer.json()["token"] is None
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        return {"cookie": cookie.partition(";")[0]}


async def test_a_cookie_counts_for_pages_of_this_address_alone(stage: ApiStage) -> None:
    cookie = await cookies_of(stage)
    id = await stage.openiap.push("orders", {"n": 1})
    port = httpx.URL(stage.url).port
    async with stage.asking() as http:
        for foreign in (
            {"origin": "https://evil.example"},
            {"origin": f"https://127.0.0.1:{port}"},
            {"origin": "http://127.0.0.1:1"},
            {"origin": f"http://127.0.0.1:{port}.evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            for method in ("GET", "DELETE"):
                answer = await http.request(method, f"/items/{id}", headers=cookie | foreign)
                assert answer.status_code == 403, foreign
        # Nothing tells where it comes from: it may be read and not changed.
        assert (await http.get(f"/items/{id}", headers=cookie)).status_code == 200
        for odd in ({}, {"sec-fetch-site": "none"}):
            answer = await http.delete(f"/items/{id}", headers=cookie | odd)
            assert answer.status_code == 403
        assert stage.openiap.item(id).state == "new"
        own = cookie | {"origin": stage.url}
        assert (await http.delete(f"/items/{id}", headers=own)).status_code == 204
        evil = {"origin": "https://evil.example"}
        answer = await http.post("/session", json={**stage.boss, "cookie": True}, headers=evil)
        assert answer.status_code == 403
        out = await http.delete("/session", headers=own)
        assert out.status_code == 204
        assert 'openiap_worker_session=""' in out.headers["set-cookie"]
        assert (await http.get("/items", headers=cookie)).status_code == 401


@pytest.mark.dear
async def test_a_token_of_one_kind_is_none_of_the_other(stage: ApiStage) -> None:
    token = (await cookies_of(stage))["cookie"].partition("=")[2]
    bearer = await stage.token(stage.boss)
    async with stage.asking(token) as http:
        assert (await http.get("/items")).status_code == 401
    async with stage.asking() as http:
        cookie = {"cookie": f"openiap_worker_session={bearer}"}
        assert (await http.get("/items", headers=cookie)).status_code == 401


@pytest.mark.dear
async def test_with_https_the_cookie_is_secure(openiap: LocalOpenIAP) -> None:
    async with api_on(openiap, https=True) as stage, stage.asking() as http:
        answer = await http.post("/session", json={**stage.boss, "cookie": True})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-openiap_worker_session=")
        assert "Secure" in cookie.split("; ")


async def test_attempts_to_sign_in_are_limited(openiap: LocalOpenIAP) -> None:
    limits = Limits(sign_ins_per_name=3, sign_ins_per_address=5)
    async with api_on(openiap, limits) as stage, stage.asking() as http:

        async def attempt(name: str) -> httpx.Response:
            return await http.post("/session", json={"username": name, "password": "wrong"})

        boss = stage.boss["username"]
        found = [(await attempt(name)).status_code for name in (boss, boss, boss.upper())]
        assert found == [401, 401, 401]
        answer = await attempt(boss)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert (await http.post("/session", json=stage.boss)).status_code == 429
        assert (await attempt("somebody")).status_code == 429  # the sixth of this address
        stage.clock.now += 60
        assert (await http.post("/session", json=stage.boss)).status_code == 201


@pytest.mark.dear
async def test_behind_a_proxy_it_is_its_last_address_that_counts(openiap: LocalOpenIAP) -> None:
    limits = Limits(sign_ins_per_address=1)
    async with api_on(openiap, limits, behind_proxy=True) as stage, stage.asking() as http:
        wrong = {"token": "x"}
        statuses = [
            (
                await http.post("/session", json=wrong, headers={"x-forwarded-for": named})
            ).status_code
            for named in ("1.1.1.1", "9.9.9.9, 1.1.1.1", "1.1.1.1, 2.2.2.2")
        ]
        assert statuses == [401, 429, 401]


@pytest.mark.dear
async def test_calls_of_a_user_are_limited_and_of_no_other(openiap: LocalOpenIAP) -> None:
    async with (
        api_on(openiap, Limits(calls=1, burst=3)) as stage,
        stage.signed_in(stage.boss) as boss,
        stage.signed_in(stage.ordinary) as ordinary,
    ):
        statuses = [(await boss.get("/batches")).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await ordinary.get("/batches")).status_code == 200
        stage.clock.now += 1
        assert (await boss.get("/batches")).status_code == 200


@pytest.mark.dear
async def test_no_answer_of_a_server_that_is_away_is_told_soon(openiap: LocalOpenIAP) -> None:
    limits = Limits(link=0.2, sign_in=0.3)
    async with api_on(openiap, limits) as stage, stage.signed_in(stage.boss) as http:
        await openiap.server.stop()
        while (answer := await http.get("/items")).status_code == 200:
            await asyncio.sleep(0.02)
        assert answer.status_code in (502, 503)
        answer = await http.get("/items")
        assert (answer.status_code, answer.json()["error"]) == (503, "UnavailableError")
        answer = await http.post(f"{stage.url}{PREFIX}/session", json=stage.boss)
        assert answer.status_code == 503


async def test_nothing_is_left_once_it_has_stopped(openiap: LocalOpenIAP) -> None:
    async with api_on(openiap) as stage:
        await stage.token(stage.boss)
        await stage.token(stage.ordinary)
        assert stage.api.links.open == len(stage.api.sessions) == 2
    assert stage.api.links.open == len(stage.api.sessions) == 0
