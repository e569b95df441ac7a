"""What stands before pages: whom they are for, who asks, and what they may load and run."""

import asyncio
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from playwright.async_api import Page
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.console.stage import Stage, console_on, ready

pytestmark = pytest.mark.browser
PATHS = (
    "/",
    "/queues",
    "/queue?name=x",
    "/items",
    "/item?id=x",
    "/errors",
    "/error-group?id=x",
    "/workers",
    "/worker?id=x",
    "/schedules",
    "/settings",
    "/no/such/page",
)


async def test_nothing_but_the_sign_in_without_a_session(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.console.url, trust_env=False) as http:
        for path in PATHS:
            answer = await http.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in"), path
        for path in (
            "/docs",
            "/redoc",
            "/openapi.json",
            "/_nicegui_ws/socket.io/?transport=polling",
        ):
            assert (await http.get(path)).status_code == 404, path
        assert (await http.get("/", headers={"host": "evil.example"})).status_code == 421
        foreign = {"origin": "https://evil.example"}
        given = {"username": stage.boss[0], "password": stage.boss[1]}
        refused = await http.post("/sign-in", data=given, headers=foreign)
        assert (refused.status_code, refused.headers.get("set-cookie")) == (403, None)
        leads = await http.get("/sign-in?to=//evil.example")
        assert "evil" not in leads.text


async def test_pages_load_and_run_what_they_came_with_and_no_more(stage: Stage) -> None:
    asked: set[str] = set()
    async with stage.page("/") as page:
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        answer = await page.reload()
        await ready(page)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert asked == {urlsplit(stage.console.url).netloc}
        ran = await page.evaluate(
            """() => {
              const one = document.createElement("script");
              one.textContent = "window.ran = true";
              document.body.append(one);
              const box = document.createElement("div");
              box.innerHTML = "<img src=x onerror='window.ran = true'>";
              document.body.append(box);
              return new Promise((done) => setTimeout(() => done(window.ran === true), 300));
            }"""
        )
        assert ran is False
    stage.problems.clear()  # the browser says that it refused them


async def test_websockets_are_opened_by_pages_of_this_address_and_act_on_their_own(
    stage: Stage,
) -> None:
    async with stage.page("/") as page, stage.page("/", stage.ordinary) as other:
        cookies = [await cookie_of(one) for one in (page, other)]
        id = str(await page.evaluate("window.clientId"))
        tab = await page.evaluate(
            "`tab_id=${sessionStorage.__nicegui_tab_id}&document_id=${window.documentId}`"
        )
        own = stage.console.url
        assert await opened(own, id, tab, cookies[0], own) == "taken"
        assert await opened(own, id, tab, cookies[0], "https://evil.example") == "refused"
        assert await opened(own, id, tab, cookies[0], None) == "refused"
        assert await opened(own, id, tab, cookies[1], own) == "not its own"
        assert await opened(own, id, tab, "", own) == "not its own"


async def cookie_of(page: Page) -> str:
    (found,) = [one for one in await page.context.cookies() if "session" in str(one["name"])]
    return f"{found['name']}={found['value']}"


async def opened(
    url: str,
    id: str,
    tab: str,
    cookie: str,
    origin: str | None,
    trusted: ssl.SSLContext | None = None,
) -> str:
    """Open a websocket for a page, and say what came of it."""
    query = f"client_id={id}&implicit_handshake=true&{tab}&next_message_id=0"
    to = f"{url.replace('http', 'ws', 1)}/_nicegui_ws/socket.io/?EIO=4&transport=websocket&{query}"
    more: dict[str, Any] = {"additional_headers": {"Cookie": cookie}} if cookie else {}
    if trusted is not None:
        more["ssl"] = trusted
    try:
        async with connect(to, origin=origin, proxy=None, **more) as socket, asyncio.timeout(60):  # type: ignore[arg-type]
            assert str(await socket.recv()).startswith("0")
            await socket.send("40")
            said = str(await socket.recv())
            if said.startswith("44"):
                return "not its own" if "Implicit handshake failed" in said else said
            return "taken"
    except InvalidStatus:
        return "refused"


async def test_with_https_the_cookie_is_of_https_alone(stage: Stage) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = stage.folder / "cert.pem", stage.folder / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    options = ("--certificate", str(certificate), "--key", str(key))
    given = {"username": stage.boss[0], "password": stage.boss[1]}
    async with (
        console_on(stage.openiap, *options, folder=stage.folder) as secure,
        httpx.AsyncClient(base_url=secure.url, verify=trusted, trust_env=False) as http,
    ):
        assert secure.url.startswith("https://")
        answer = await http.post("/sign-in", data=given, headers={"origin": secure.url})
        told = answer.headers["set-cookie"]
        assert told.startswith("__Host-")
        for wanted in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert wanted in told
        plain = secure.url.replace("https", "http")
        refused = await http.post("/sign-in", data=given, headers={"origin": plain})
        assert refused.status_code == 403
        page = (await http.get("/queues")).text
        (id,) = set(re.findall(r"'client_id': '([0-9a-f-]{36})'", page))
        cookie = told.partition(";")[0]
        tab = "tab_id=t&document_id=d"
        assert await opened(secure.url, id, tab, cookie, secure.url, trusted) == "taken"
        assert await opened(secure.url, id, tab, cookie, plain, trusted) == "refused"
