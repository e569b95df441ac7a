"""Every page: with data, all of it hostile, in both colours and on a phone; without any; with
OpenIAP away.

What others wrote (payloads, names, errors, file names) is text everywhere, and nothing of it runs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.console.seeded import FORMS, Seeded, clear, seed
from tests.console.stage import HEIGHT, WIDTH, Stage, keep_shots, read, ready, seriously_wrong

pytestmark = pytest.mark.browser
NAMES = tuple(Seeded("", "").pages)
Work = Coroutine[None, None, None]
AWAY = "OpenIAP does not answer"
STATUS = "[role=status].away"
PATHS = (
    "/queue?name=",
    "/item?id=",
    "/error-group?id=",
    "/worker?id=",
    "/items?queue=",
    "/items?q=",
    "/sign-in?to=",
)
NOTHING = {
    "/": ("No failed item.", "No queue yet.", "No worker runs.", "openiap-worker run"),
    "/queues": ("No queue yet.", "openiap-worker queues create"),
    "/queue?name=none": ("There is no queue none",),
    "/items": ("No item yet.", "openiap-worker push"),
    "/item?id=none": ("There is no item none",),
    "/errors": ("No failed item.",),
    "/error-group?id=000000000000": ("No item has failed in this way any more.", "All errors"),
    "/workers": ("No worker was heard of", "openiap-worker run"),
    "/worker?id=none": ("There is no worker none",),
    "/schedules": ("No schedule yet.", "@schedule("),
    "/no/such/page": ("There is no such page", "To the overview"),
}
"""What is told to somebody for whom there is nothing."""
OPENED_MEANWHILE = NAMES[::3]
IN_THE_DARK = frozenset({"overview", "item", "items", "worker"})
"""They have all kinds of parts, whose colours are the same wherever they are."""
PHONE = {"width": 390, "height": 800}
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
LONG = 90_000
"""Milliseconds until all open pages have noticed that OpenIAP is away: they ask in turns."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seeded(running: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seeded]:
    yield await seed(running, tmp_path_factory.mktemp("seeded"))
    await clear(running)


async def test_whatever_stands_in_an_address_is_text(stage: Stage) -> None:
    async with stage.page("/") as page:
        for path in PATHS:
            given = quote("\n".join((*FORMS, "\x00 \ud800")).encode("utf-8", "surrogatepass"))
            await page.goto(f"{stage.console.url}{path}{given}", wait_until="domcontentloaded")
            await ready(page)
            assert await page.evaluate("window.ran") is None, path


@pytest.mark.usefixtures("seeded")  # what others have
async def test_who_has_nothing_yet_is_told_so_and_what_to_do_next(stage: Stage) -> None:
    async with stage.page("/", stage.newcomer) as page:
        for path, words in NOTHING.items():
            await page.goto(f"{stage.console.url}{path}", wait_until="domcontentloaded")
            await read(page, *words)
            if not words[0].startswith("There is no"):  # which is a sentence in red everywhere
                assert await seriously_wrong(page) == [], path
            else:
                assert await page.locator("#main .action:visible").count() == 0, path


class Tabs:
    """A tab for each page, opened when it is first asked for: pages are dear to open."""

    def __init__(self, stage: Stage, seeded: Seeded, stack: AsyncExitStack) -> None:
        self._stage, self._seeded, self._stack = stage, seeded, stack
        self._open: dict[str, Page] = {}

    async def of(self, name: str) -> Page:
        """Return a page's tab, which shows what it has to."""
        shown = self._seeded.pages[name]
        if name not in self._open:
            given = self._stage.page(shown.path)
            self._open[name] = await self._stack.enter_async_context(given)
        await read(self._open[name], *shown.words)
        return self._open[name]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tabs(running: Stage, seeded: Seeded) -> AsyncIterator[Tabs]:
    async with AsyncExitStack() as stack:
        yield Tabs(running, seeded, stack)


@pytest.mark.parametrize("name", NAMES)
async def test_what_others_wrote_is_read_as_text_in_both_colours_and_on_a_phone(
    stage: Stage, tabs: Tabs, name: str
) -> None:
    page = await tabs.of(name)
    for link in await hrefs(page):
        assert link.startswith("/"), link
    assert await page.evaluate("window.ran") is None
    assert await seriously_wrong(page) == []
    if (shots := keep_shots()) is not None:
        await page.screenshot(path=shots / f"{name}.png")
    if name in IN_THE_DARK:
        await page.emulate_media(color_scheme="dark")
        assert await seriously_wrong(page, "color-contrast", "link-in-text-block") == []
    # Whatever names and errors are there, nothing is wider than a phone.
    await page.set_viewport_size(PHONE)
    assert await page.evaluate(TOO_WIDE) is False
    if (shots := keep_shots()) is not None:
        await page.screenshot(path=shots / f"phone-{name}.png", full_page=True)
    await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


async def hrefs(page: Page) -> list[str]:
    """Return where links of a page lead."""
    links = "all => all.map(one => one.getAttribute('href'))"
    return [str(one) for one in await page.eval_on_selector_all("#main a[href]", links)]


async def test_with_openiap_away_every_page_says_so_keeps_what_it_showed_and_comes_back(
    stage: Stage, seeded: Seeded, tabs: Tabs
) -> None:
    all_ = {name: await tabs.of(name) for name in NAMES}
    async with stage.openiap.away():
        await each(all_, lambda name, tab: told(tab, AWAY))
        await each(all_, lambda name, tab: read(tab, *seeded.pages[name].words))
        # Those that are opened meanwhile say it as well, and are drawn when it is back.
        for name in OPENED_MEANWHILE:
            await all_[name].reload(wait_until="domcontentloaded")
        await each(all_, lambda name, tab: told(tab, AWAY))
    await each(all_, lambda name, tab: read(tab, *seeded.pages[name].words))
    await each(all_, lambda name, tab: gone(tab, AWAY))


async def each(tabs: dict[str, Page], do: Callable[[str, Page], Work]) -> None:
    """Do something with all of them at the same time."""
    async with asyncio.TaskGroup() as all_:
        for name, tab in tabs.items():
            all_.create_task(do(name, tab), name=name)


async def told(tab: Page, words: str) -> None:
    """Wait until a page says something about OpenIAP."""
    await tab.locator(STATUS, has_text=words).wait_for(timeout=LONG)


async def gone(tab: Page, words: str) -> None:
    """Wait until it does not say so any more."""
    await tab.locator(STATUS, has_text=words).wait_for(state="hidden", timeout=LONG)
