"""Live: what changes is seen soon, and OpenIAP is asked no more for it than it may be."""

import asyncio
import time
from typing import Any, cast

import pytest

from tests.console.fleet import busy_worker
from tests.console.stage import Stage, ready

pytestmark = pytest.mark.browser
WITHOUT = 5.0
SLOW = 1.0
"""Seconds that this machine may take for the rest."""
WINDOW = 3.0
A_SECOND = 2
PATHS = ("/", "/queues", "/workers", "/schedules", "/queue?name=watched")


async def test_what_is_not_watched_is_seen_within_five_seconds(stage: Stage) -> None:
    async with stage.page("/workers") as page, busy_worker(stage, "unwatched", "worker-new"):
        began = time.monotonic()
        await page.get_by_role("link", name="worker-new").wait_for()
        assert time.monotonic() - began < WITHOUT + SLOW


async def test_five_browsers_of_a_user_ask_no_more_than_two_questions_a_second(
    stage: Stage,
) -> None:
    stage.openiap.queue("watched")
    contexts = [await stage.context() for _ in PATHS]
    pages = [await context.new_page() for context in contexts]
    await stage.sign_in(pages[0], stage.boss, PATHS[0])
    for context in contexts[1:]:
        await context.add_cookies([cast(Any, one) for one in await contexts[0].cookies()])
    for page, path in zip(pages[1:], PATHS[1:], strict=True):
        await page.goto(f"{stage.console.url}{path}", wait_until="commit")
    await asyncio.gather(*map(ready, pages))
    await asyncio.sleep(1.5)  # what the opening asked is answered, its debt is paid
    before, began = asked(stage), time.monotonic()
    while time.monotonic() - began < WINDOW:
        await stage.openiap.push("watched")
        await asyncio.sleep(0.1)
    questions = asked(stage) - before
    taken = time.monotonic() - began
    assert 1 <= questions <= A_SECOND * taken + 1
    for context in contexts:
        await context.close()


def asked(stage: Stage) -> int:
    """Return how many questions came to OpenIAP."""
    own = ("connections", "wakeups", "ratelimited", "pushworkitem", "ping", "pong", "refreshtoken")
    return sum(count for name, count in stage.openiap.server.stats.items() if name not in own)
