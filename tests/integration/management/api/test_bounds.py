"""The bounds of requests: for whom, how large, how long, and what becomes of mistakes."""

import asyncio

import httpx
import pytest

from tests.integration.management.api.stage import ApiStage, api_on
from worker import http_connection
from worker.management.api.options import Limits
from worker.management.items.service import Items
from worker.testing.local_openiap import LocalOpenIAP

pytestmark = pytest.mark.dear


async def raw(stage: ApiStage, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes as they are, and return all that comes back until the other side ends."""
    url = httpx.URL(stage.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


async def test_a_request_for_another_host_is_refused(stage: ApiStage) -> None:
    port = httpx.URL(stage.url).port
    async with stage.asking() as http:
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[::2]"):
            answer = await http.post("/session", json=stage.boss, headers={"host": host})
            assert answer.status_code == 421, host
            assert answer.json()["error"] == "MisdirectedRequestError"
        for host in ("localhost", f"LOCALHOST:{port}", "127.0.0.1", "[::1]:1"):
            answer = await http.get("/items", headers={"host": host})
            assert answer.status_code == 401, host
    assert len(stage.api.sessions) == 0


async def test_a_body_is_bounded_in_size(openiap: LocalOpenIAP) -> None:
    async with api_on(openiap, Limits(body=1_000)) as stage, stage.asking() as http:
        long = {"username": "x" * 2_000, "password": "y"}
        answer = await http.post("/session", json=long)
        assert (answer.status_code, answer.json()["error"]) == (413, "TooLargeError")
        head = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\n"
        chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"258\r\n" + b"x" * 600 + b"\r\n"
        answered = await raw(stage, head + chunks, b"258\r\n" + b"x" * 600 + b"\r\n")
        assert answered.startswith(b"HTTP/1.1 413 ")
        huge = b"Content-Length: 99999999999999999999999999\r\n\r\n"
        assert (await raw(stage, head + huge)).startswith(b"HTTP/1.1 4")


async def test_a_request_whose_end_a_proxy_may_see_elsewhere_is_refused(stage: ApiStage) -> None:
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    hidden = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answered = await raw(stage, head + chunks + hidden)
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert answered.count(b"HTTP/1.1 ") == 1, "what was hidden in it is not answered"


async def test_slow_heads_and_slow_bodies_are_given_up(
    openiap: LocalOpenIAP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_WITHIN", 0.3)
    async with api_on(openiap, Limits(body_within=0.3)) as stage:
        head = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        slow_head, slow_body = await asyncio.gather(
            raw(stage, head), raw(stage, head + b"\r\n", b"{", b"}", pause=0.2)
        )
        assert slow_head == b""
        assert slow_body.startswith(b"HTTP/1.1 408 ")
        async with stage.asking() as http:
            assert (await http.get("/items")).status_code == 401


async def test_what_takes_too_long_is_given_up(openiap: LocalOpenIAP) -> None:
    async with (
        api_on(openiap, Limits(request=0.5)) as stage,
        stage.signed_in(stage.boss) as http,
    ):
        openiap.faults.delay["count"] = 2.0
        answer = await http.get("/items")
        assert (answer.status_code, answer.json()["error"]) == (504, "TimeoutError")
        openiap.faults.delay.clear()
        assert (await http.get("/items")).status_code == 200
        (link,) = [stage.api.links.of(key) for key in stage.api.sessions.users()]
        assert link.calls == 0


async def test_a_user_has_few_requests_in_flight(openiap: LocalOpenIAP) -> None:
    async with (
        api_on(openiap, Limits(calls_at_once=2)) as stage,
        stage.signed_in(stage.boss) as http,
    ):
        openiap.faults.delay["count"] = 0.5
        answers = await asyncio.gather(*(http.get("/items") for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]


async def test_what_nobody_expected_tells_nothing_and_is_logged_masked(
    stage: ApiStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Items, payload: object) -> None:
        raise RuntimeError("no such thing: password=hunter2-hunter2")

    monkeypatch.setattr(Items, "get_plist", broken)
    async with stage.signed_in(stage.boss) as http:
        answer = await http.get("/items", headers={"x-request-id": "mine-1"})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "InternalError",
        "message": "Something went wrong inside; the log says what.",
        "details": {},
    }
    assert answer.headers["x-request-id"] == "mine-1"
    (line,) = [line for line in stage.lines if "no such thing" in line]
    assert "request=mine-1" in line
    assert "hunter2" not in line


async def test_requests_have_ids_and_lines_without_secrets(stage: ApiStage) -> None:
    id = await stage.openiap.push("orders", {"n": 1})
    token = await stage.token(stage.boss)
    async with stage.asking(token) as http:
        odd = {"x-request-id": "x y"}
        ids = [
            (await http.get("/items", headers=headers)).headers["x-request-id"]
            for headers in ({}, odd, {"x-request-id": "y" * 65})
        ]
        assert len({*ids}) == 3
        assert all(len(one) == 16 for one in ids)
        answer = await http.delete(f"/items/{id}")
    said = "\n".join(stage.lines)
    assert f"DELETE /api/v1/items/{id} user={stage.boss['username']} request=" in said
    assert answer.headers["x-request-id"] in said
    assert token not in said
    assert stage.boss["password"] not in said


async def test_counts_have_bounded_labels_and_large_answers_are_compressed(
    stage: ApiStage,
) -> None:
    for n in range(20):
        await stage.openiap.push("orders", {"n": n})
    async with stage.signed_in(stage.boss) as http:
        listed = await http.get("/items", headers={"accept-encoding": "gzip"})
        assert listed.headers["content-encoding"] == "gzip"
        assert int(listed.headers["content-length"]) < len(listed.content) / 3
        for n in range(5):
            await http.get(f"/items/{n}")
            await http.get(f"/nothing/{n}")
        await http.request("BREW", "/items")
        page = (await http.get(f"{stage.url}/metrics")).text
        assert (await http.get(f"{stage.url}/livez")).text == "ok\n"
    counts = {
        line.rpartition(" ")[0].partition("{")[2]: float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("openiap_worker_api_request_seconds_count{")
    }
    assert counts['method="GET",route="/items/{id}",status="404"}'] == 5
    assert counts['method="GET",route="unknown",status="404"}'] == 5
    assert counts['method="other",route="/items",status="405"}'] == 1
    assert "openiap_worker_api_sessions 1.0" in page
    assert "openiap_worker_api_links 1.0" in page
