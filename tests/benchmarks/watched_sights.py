"""Those who look at a console, in two ways: real browsers, and the websockets of such alone.

Both sign in once, and go to their pages and away from them as often as they are told.
"""

import asyncio
import contextlib
import json
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final, Protocol

from playwright.async_api import Browser, Page, StorageState, async_playwright

from tests.benchmarks.stage import PASSWORD, USER, BenchmarkFailed, first_line, started
from tests.console.stage import FLAGS, chromium

NOWHERE: Final = "about:blank"
WITHIN: Final = 60_000
"""Milliseconds for a page to be there."""
READY: Final = "main#main h1"


class Lookers(Protocol):
    """Look at a console, or not."""

    async def look(self) -> None:
        """Go to the pages, and return when they are there."""

    async def leave(self) -> None:
        """Go away from them."""


class Browsers:
    """Browsers of one user, each with a page of its own."""

    def __init__(self, pages: Sequence[tuple[Page, str]]) -> None:
        self._pages = pages

    async def look(self) -> None:
        """Go to the pages, one after the other."""
        for page, url in self._pages:
            await page.goto(url, wait_until="domcontentloaded")
            await page.locator(READY).wait_for(timeout=WITHIN)

    async def leave(self) -> None:
        """Go nowhere."""
        for page, _ in self._pages:
            await page.goto(NOWHERE)


class Sockets:
    """The websockets of such pages, in a process of their own, which draws nothing."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def look(self) -> None:
        """Open them."""
        await self._told("look")

    async def leave(self) -> None:
        """Close them."""
        await self._told("leave")

    async def _told(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n".encode())
        await self._process.stdin.drain()
        try:
            await first_line(self._process)
        except BenchmarkFailed as error:
            raise BenchmarkFailed(f"{error}: {self._log.read_text()[-400:]}") from None


@asynccontextmanager
async def browsers(
    url: str, paths: Sequence[str], count: int, folder: Path, *, nice: bool
) -> AsyncIterator[Lookers]:
    """Give so many browsers.

    Args:
        nice: at the lowest priority, so that they take no processor that others want.
    """
    async with _launched(folder, nice=nice) as browser:
        state = await _signed_in(browser, url)
        pages = []
        for path in islice(cycle(paths), count):
            context = await browser.new_context(storage_state=state)
            pages.append((await context.new_page(), f"{url}{path}"))
        yield Browsers(pages)


@asynccontextmanager
async def sockets(
    url: str, paths: Sequence[str], count: int, folder: Path
) -> AsyncIterator[Lookers]:
    """Give so many websockets, at the lowest priority."""
    async with _launched(folder, nice=True) as browser:
        state = await _signed_in(browser, url)
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in state["cookies"])
    about = {"url": url, "cookie": cookie, "paths": list(islice(cycle(paths), count))}
    command = ["nice", "-n", "19", sys.executable, "-m", "tests.benchmarks.watched_sockets"]
    log = folder / "sockets.log"
    async with started([*command, json.dumps(about)], log) as process:
        yield Sockets(process, log)


@asynccontextmanager
async def _launched(folder: Path, *, nice: bool) -> AsyncIterator[Browser]:
    program = chromium()
    if nice:
        wrapper = folder / "nice-chromium"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("nice")} -n 19 {program} "$@"\n')
        wrapper.chmod(0o700)
        program = str(wrapper)
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            with contextlib.suppress(Exception):  # it may be gone
                await browser.close()


async def _signed_in(browser: Browser, url: str) -> StorageState:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{url}/", wait_until="domcontentloaded")
    await page.get_by_label("User name").fill(USER)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.locator(READY).wait_for(timeout=WITHIN)
    state = await context.storage_state()
    await context.close()
    return state
