"""One OpenIAP, one console in a process of its own, one Chromium: for all tests of a process.

``Stage.page()`` gives a browser page of a signed-in user; what a page does wrong (a script that is
refused, an error in its own code) fails the test that it happens in.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from weakref import WeakSet

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright
from playwright.async_api import TimeoutError as NotThere
from pydantic import BaseModel

from tests.integration.cli.commands import clean_environment
from tests.integration.management.failures import ORDINARY, PASSWORD
from worker import handler
from worker.contract import contracts_of
from worker.testing.local_openiap import LocalOpenIAP
from worker.testing.reserved_ports import reserved_ports

NEWCOMER: Final = "newcomer"
USERS: Final = (ORDINARY, NEWCOMER)
HOSTILE: Final = "<img src=x onerror='window.ran = 1'>"
REPORTS: Final = f"reports {HOSTILE}"
MODULE: Final = "yearly_reports"
CONTRACTED: Final = "held to a contract"
HANDLERS: Final = f"""
from worker import handler, schedule


@schedule("0 3 1 1 *", name="yearly", payload={{"kind": "yearly"}})
@handler({REPORTS!r})
async def report(payload: dict) -> None: ...
"""
STARTS_WITHIN: Final = 120.0
WITHIN: Final = 60_000
"""Milliseconds until what a test waits for must be there, on a machine that does much else."""
WIDTH, HEIGHT = 1280, 900
SERIOUS: Final = frozenset({"serious", "critical"})
FLAGS: Final = (
    "--no-sandbox",  # containers run tests as root
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--in-process-gpu",  # as is the network: fewer processes, and less said between them
    "--enable-features=NetworkServiceInProcess2",
    "--process-per-site",  # the console's scripts are compiled once, not for each page
)
PROGRAMS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first takes half of the CPU: it draws for nobody."""
HARMLESS: Final = ("Failed to load resource", "WebSocket connection to", "handshake failed")
"""What a browser says while a server is away or answers with an error."""


OF_AXE: Final = ("inline style", "preload assets")
EXAMINED: Final[WeakSet[Page]] = WeakSet()
"""Pages that axe has looked at: it sets styles, which the page's policy refuses."""


def chromium() -> str:
    """Return the browser's program.

    Raises:
        FileNotFoundError: there is none; the text says which package brings it.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise FileNotFoundError(
            f"No Chromium here: apt-get install {PROGRAMS[0]} (or {PROGRAMS[1]}), as .ci/run does."
        )
    return found


def lacks_chromium() -> str | None:
    """Return what brings a browser, in a sentence; None where there is one."""
    try:
        chromium()
    except FileNotFoundError as error:
        return str(error)
    return None


@dataclass
class Console:
    """A console that runs; ``again`` ends it, and starts it anew where it was."""

    openiap: LocalOpenIAP
    options: tuple[str, ...]
    folder: Path
    url: str = ""
    lines: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process = field(init=False)
    reading: asyncio.Task[None] = field(init=False)

    async def start(self, port: int = 0) -> None:
        """Start it."""
        self.process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "console", "--port", str(port), "--json"),
            *self.options,
            env=clean_environment(OPENIAP_URL=self.openiap.url, OPENIAP_WORKER_LOG_FORMAT="text"),
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        line = ""
        async with asyncio.timeout(STARTS_WITHIN):
            while not line.startswith("{"):
                line = (await process.stdout.readline()).decode()
                assert line, f"the console ended: {self.lines}"
                self.lines.append(line.rstrip())
        self.url = json.loads(line)["url"]
        self.reading = asyncio.create_task(self._read(process.stdout))

    async def again(self) -> None:
        """End it, and start it anew at the same address; nobody is signed in any more."""
        port = int(self.url.rpartition(":")[2])
        await self.stop()
        with reserved_ports("127.0.0.1", port):  # what is let go may be given to others
            await self.start(port)

    async def _read(self, said: asyncio.StreamReader) -> None:
        async for line in said:
            self.lines.append(line.decode().rstrip())

    async def stop(self) -> None:
        """End it; idempotent."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                async with asyncio.timeout(60):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await self.reading


@asynccontextmanager
async def console_on(openiap: LocalOpenIAP, *options: str, folder: Path) -> AsyncIterator[Console]:
    """Run ``openiap-worker console``."""
    running = Console(openiap, options, folder)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@dataclass
class Stage:
    """What a test has in hand."""

    openiap: LocalOpenIAP
    console: Console
    browser: Browser
    folder: Path
    contexts: dict[tuple[str, str], BrowserContext] = field(default_factory=dict)
    visitors: BrowserContext | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def boss(self) -> tuple[str, str]:
        """A user who may do everything, and the password."""
        environment = self.openiap.environment
        return environment["OPENIAP_USERNAME"], environment["OPENIAP_PASSWORD"]

    @property
    def ordinary(self) -> tuple[str, str]:
        """One who may do what queues say."""
        return ORDINARY, PASSWORD

    @property
    def newcomer(self) -> tuple[str, str]:
        """One for whom there is nothing yet."""
        return NEWCOMER, PASSWORD

    async def context(self, *, width: int = WIDTH, dark: bool = False) -> BrowserContext:
        """Return a browser without anybody signed in, closed with the stage."""
        made = await self.browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            color_scheme="dark" if dark else "light",
            locale="en-US",
            timezone_id="UTC",
            reduced_motion="reduce",
        )
        made.set_default_timeout(WITHIN)
        made.on("console", self._said)
        made.on("weberror", lambda error: self.problems.append(f"error: {error.error}"))
        return made

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[BrowserContext]:
        """Give a browser that knows nobody; its pages are closed afterwards.

        It is the same one each time, without its cookies: to compile the console's scripts anew
        takes longer than most tests.
        """
        if self.visitors is None:
            self.visitors = await self.context()
            await self._stay(self.visitors)
        stays = self.visitors.pages[0]
        try:
            yield self.visitors
        finally:
            for page in self.visitors.pages:
                if page != stays:
                    await page.close()
            await self.visitors.clear_cookies()

    async def sign_in(
        self, page: Page, user: tuple[str, str], to: str = "/", url: str = ""
    ) -> None:
        """Sign in on a page, and go to another one."""
        await page.goto(f"{url or self.console.url}{to}", wait_until="domcontentloaded")
        await page.get_by_label("User name").fill(user[0])
        await page.get_by_label("Password", exact=True).fill(user[1])
        await page.get_by_role("button", name="Sign in", exact=True).click()
        await page.locator("main#main").wait_for()

    @asynccontextmanager
    async def page(
        self, to: str = "/", user: tuple[str, str] | None = None, *, url: str = ""
    ) -> AsyncIterator[Page]:
        """Give a page of a signed-in user, drawn and linked to the console; closed afterwards.

        Users stay signed in for all tests of a module.
        """
        who, base = user or self.boss, url or self.console.url
        context = self.contexts.get((who[0], base))
        fresh = context is None
        if context is None:
            context = self.contexts[(who[0], base)] = await self.context()
            if base == self.console.url:
                await self._stay(context)
        page = await context.new_page()
        try:
            if fresh:
                await self.sign_in(page, who, to, base)
            else:
                await page.goto(f"{base}{to}", wait_until="domcontentloaded")
            await ready(page)
            yield page
        finally:
            await page.close()

    async def forget(self, url: str) -> None:
        """Close the browsers of a console that ends."""
        for key in [one for one in self.contexts if one[1] == url]:
            await self.contexts.pop(key).close()

    async def _stay(self, context: BrowserContext) -> None:
        """Open a tab that stays, and shows no page of the console.

        The process of its tabs stays with it, and what that has compiled.
        """
        await (await context.new_page()).goto(f"{self.console.url}/favicon.ico")

    def _said(self, message: ConsoleMessage) -> None:
        if message.page in EXAMINED and any(words in message.text for words in OF_AXE):
            return
        if message.type in ("error", "warning") and not message.text.startswith(HARMLESS):
            self.problems.append(f"{message.type}: {message.text}")

    async def close(self) -> None:
        """Close all browsers."""
        for context in self.contexts.values():
            await context.close()
        if self.visitors is not None:
            await self.visitors.close()


class Invoice(BaseModel):
    """What items of a queue with a contract hold."""

    number: str
    amount: int


@handler(CONTRACTED)
async def booked(invoice: Invoice) -> None: ...


def options_in(folder: Path) -> tuple[str, ...]:
    """Write a schedule that the console can fire, and a contract; return the options for both."""
    (folder / f"{MODULE}.py").write_text(HANDLERS)
    contracts = folder / "contracts.json"
    contracts.write_text(json.dumps(contracts_of([booked])))
    return "--handlers", MODULE, "--contracts", str(contracts)


@asynccontextmanager
async def stage_in(folder: Path) -> AsyncIterator[Stage]:
    """Run all of it."""
    async with (
        LocalOpenIAP(
            folder / "openiap", plain_users={ORDINARY: PASSWORD, NEWCOMER: PASSWORD}
        ) as openiap,
        console_on(openiap, *options_in(folder), folder=folder) as running,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        stage = Stage(openiap, running, browser, folder)
        try:
            yield stage
        finally:
            await stage.close()
            await browser.close()


async def ready(page: Page) -> None:
    """Wait until a page is drawn and linked to the console."""
    await page.locator("main#main h1").first.wait_for()
    await page.wait_for_function("window.did_handshake === true")


async def read(page: Page, *words: str) -> None:
    """Wait until texts can be read on a page."""
    there = """all => {
      const main = document.querySelector("#main");
      if (!main) return false; // the page opens itself anew: its link was away for long
      const lacks = (text) => (window.unread = all.filter((one) => !text.includes(one))).length;
      // What is seen is dear to find out.
      return !lacks(main.textContent) && !lacks(main.innerText);
    }"""
    try:
        await page.wait_for_function(there, arg=words, polling=200)
    except NotThere:
        unread = await page.evaluate("window.unread || 'anything'")
        raise AssertionError(f"{page.url} does not show {unread}") from None


SETTLED: Final = """() => Promise.allSettled(
    document.getAnimations()
        .filter((one) => one instanceof CSSTransition)
        .map((one) => one.finished))"""
"""Waits for what is changing its look."""


async def seriously_wrong(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds serious on a page, by some of its rules or all."""
    # axe takes what lies behind a dialog for the ground of the words on its buttons, and the shade
    # of a dialog for that of what is behind.
    EXAMINED.add(page)
    await page.evaluate(SETTLED)  # colours change over some moments, through all between
    looked: dict[str, list[list[str]]] = {"exclude": [[".q-dialog .q-btn"]]}
    if await page.locator(".q-dialog").count():
        looked["include"] = [[".q-dialog"]]
    options: dict[str, object] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    if not await page.evaluate("'axe' in window"):  # half a megabyte to send and to compile
        await page.evaluate(AXE_SCRIPT)
    examine = "([where, how]) => axe.run(where, how).then((found) => found.violations)"
    found = await page.evaluate(examine, [looked, options])
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def keep_shots() -> Path | None:
    """Return where pictures of pages are kept, where somebody wants to see them."""
    found = os.environ.get("CONSOLE_SHOTS", "")
    return Path(found) if found else None
