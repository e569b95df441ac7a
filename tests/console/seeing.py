"""How soon a page shows a change: from before it is sent to the change of the page itself."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from playwright.async_api import Page

LONG: Final = 60.0
OBSERVE: Final = """([where, words]) => {
  window.seenAt = new Promise((done) => {
    const look = () => {
      const all = [...document.querySelectorAll(where)];
      if (!all.some((one) => one.textContent.includes(words))) return;
      observer.disconnect();
      done(Date.now() / 1000);
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, {subtree: true, childList: true, characterData: true});
    look();
  });
}"""
"""The browser notes the moment itself: how soon somebody asks it for that does not matter."""


async def seconds_until_seen(
    page: Page, where: str, words: str, change: Awaitable[object]
) -> float:
    """Make a change, and return after how many seconds its words stand on a page.

    Args:
        where: a selector.
        words: which are not there yet.
        change: makes it.

    Raises:
        TimeoutError: they do not come.
    """
    await page.evaluate(OBSERVE, [where, words])
    began = time.time()
    await change
    async with asyncio.timeout(LONG):
        return float(await page.evaluate("window.seenAt")) - began
