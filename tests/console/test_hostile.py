"""Hostile names, errors, payloads and addresses: on every page they are text, and nothing runs."""

from urllib.parse import quote

import pytest

from tests.console.stage import Stage, ready
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.dear
FORMS = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    '"><svg onload="window.ran = 1">',
    "javascript:window.ran=1",
    "{{ window.ran = 1 }}",
    "${window.ran = 1}`;window.ran = 1;`",
    "'); window.ran = 1; ('",
    "</script><script>window.ran = 1</script>",
    "<a href='javascript:window.ran=1'>x</a>",
    '<iframe srcdoc="<script>parent.ran = 1</script>">',
    "&lt;img src=x onerror=window.ran=1&gt;",
    ":onclick=window.ran=1",
    "../../..\\..%2f..",
    "a\u202eb \x1b[31m \x00 \ud800",
)
PATHS = (
    "/queue?name=",
    "/item?id=",
    "/error-group?id=",
    "/worker?id=",
    "/items?queue=",
    "/items?q=",
)
LISTS = ("/", "/queues", "/items", "/errors", "/workers", "/schedules", "/settings")


@pytest.fixture
def names() -> list[str]:
    """What OpenIAP takes as a queue's name."""
    return [one for one in FORMS if "\x00" not in one and one.isprintable()]


async def test_what_others_wrote_is_text_on_every_page(stage: Stage, names: list[str]) -> None:
    ids: list[str] = []
    for name in names:
        stage.openiap.queue(name)
        payload = {name: name, ":onclick": name, "nested": {name: [name]}}
        ids += await fail_items(stage.openiap.client, name, [payload], name, source=name)
    groups: set[str] = set()
    async with stage.page("/") as page:
        for path in (*LISTS, *(f"/queue?name={quote(name)}" for name in names)):
            await page.goto(f"{stage.console.url}{path}", wait_until="domcontentloaded")
            await ready(page)
            for link in await page.locator("#main a").all():
                to = await link.get_attribute("href") or ""
                assert to.startswith("/"), to
                if to.startswith("/error-group"):
                    groups.add(to)
            if path == "/queues":
                await page.get_by_text(names[0]).first.wait_for()
            assert await page.evaluate("window.ran") is None, path
        for path in (*(f"/item?id={id}" for id in ids), *sorted(groups)):
            await page.goto(f"{stage.console.url}{path}", wait_until="domcontentloaded")
            await ready(page)
            assert await page.evaluate("window.ran") is None, path
    for name in names:
        await stage.openiap.client.delete_workitem_queue(name, purge=True)


async def test_whatever_stands_in_an_address_is_text(stage: Stage) -> None:
    async with stage.page("/") as page:
        for path in PATHS:
            given = quote("\n".join(FORMS).encode("utf-8", "surrogatepass"))
            await page.goto(f"{stage.console.url}{path}{given}", wait_until="domcontentloaded")
            await ready(page)
            assert await page.evaluate("window.ran") is None, path
            assert "\x1b" not in await page.inner_text("#main"), path
