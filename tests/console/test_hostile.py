"""Hostile names, errors, payloads and addresses: on every page they are text, and nothing runs."""

from urllib.parse import quote

import pytest
from playwright.async_api import Page

from tests.console.stage import Stage, ready
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.browser
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
WHOLE = 3
"""Queues, items and groups that are looked at whole."""
LISTS = ("/", "/queues", "/items", "/errors", "/workers", "/schedules", "/settings")


@pytest.fixture
def names() -> list[str]:
    """What OpenIAP takes as a queue's name."""
    return [one for one in FORMS if "\x00" not in one and one.isprintable()]


async def test_what_others_wrote_is_text_on_every_page(stage: Stage, names: list[str]) -> None:
    payload = {name: {name: [name]} for name in names}
    together = " ".join(names)
    paths = list(LISTS)
    for name in names:
        stage.openiap.queue(name)
        (id,) = await fail_items(stage.openiap.client, name, [payload], name, source=together)
        if len(paths) < len(LISTS) + 2 * WHOLE:
            paths += [f"/queue?name={quote(name)}", f"/item?id={id}"]
    groups: set[str] = set()
    async with stage.page("/") as page:
        for path in paths:
            groups |= await looked_at(stage, page, path, names)
        for path in sorted(groups)[:WHOLE]:
            await looked_at(stage, page, path, names)
    for name in names:
        await stage.openiap.client.delete_workitem_queue(name, purge=True)


async def looked_at(stage: Stage, page: Page, path: str, names: list[str]) -> set[str]:
    """Open a page, and return the groups of errors that it leads to."""
    await page.goto(f"{stage.console.url}{path}", wait_until="domcontentloaded")
    await ready(page)
    if path == "/queues":
        await page.get_by_text(names[0]).first.wait_for()
    links = await page.eval_on_selector_all(
        "#main a", "all => all.map(one => one.getAttribute('href'))"
    )
    assert [one for one in links if one and not one.startswith("/")] == []
    assert await page.evaluate("window.ran") is None, path
    return {one for one in links if one and one.startswith("/error-group")}


async def test_whatever_stands_in_an_address_is_text(stage: Stage) -> None:
    async with stage.page("/") as page:
        for path in PATHS:
            given = quote("\n".join(FORMS).encode("utf-8", "surrogatepass"))
            await page.goto(f"{stage.console.url}{path}{given}", wait_until="domcontentloaded")
            await ready(page)
            assert await page.evaluate("window.ran") is None, path
            assert "\x1b" not in await page.inner_text("#main"), path
