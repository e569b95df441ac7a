"""Live: what changes is seen soon, and OpenIAP is asked no more for it than it may be."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.console.fleet import busy_worker
from tests.console.seeing import LONG, seconds_until_seen
from tests.console.stage import Stage
from tests.integration.management.failures import INVOKE, READ, UPDATE, fail_items, queue_for
from worker.console.live.subjects import SELDOM

pytestmark = pytest.mark.browser
WITHOUT = 30_000
"""Milliseconds for what takes 5 s where nothing else is done: ``benchmarks/console_live`` has the
figures."""
WINDOW = 3.0
A_SECOND = 2
CALM = 1.5
PATHS = ("/", "/queues", "/workers", "/schedules", "/queue?name=watched")


async def test_what_is_watched_is_seen_long_before_it_would_be_asked_for_again(
    stage: Stage,
) -> None:
    # For a user who was told of no crowd of changes: after one, items are looked at by the clock.
    await queue_for(stage.openiap, "grouped anew", READ | UPDATE | INVOKE)
    (id,) = await fail_items(stage.openiap.client, "grouped anew", [{}], "none")
    async with stage.page("/errors?queue=grouped+anew", stage.ordinary) as page:
        # Once it was seen it has just been asked for, and by the clock is so in SELDOM seconds.
        took = []
        for words in ("the first", "the second", "the third"):
            changed = stage.openiap.client.update_document(
                "workitems", {"_id": id}, {"$set": {"errormessage": words}}
            )
            took.append(await seconds_until_seen(page, "#main", words, changed))
        assert min(took[1:]) < SELDOM - 1


async def test_what_is_not_watched_is_asked_for_again_and_again(stage: Stage) -> None:
    async with stage.page("/workers") as page, busy_worker(stage, "unwatched", "worker-new"):
        await page.get_by_role("link", name="worker-new").wait_for(timeout=WITHOUT)


async def test_five_pages_of_a_user_ask_no_more_than_two_questions_a_second(
    stage: Stage,
) -> None:
    stage.openiap.queue("watched")
    async with AsyncExitStack() as stack:
        for path in PATHS:
            await stack.enter_async_context(stage.page(path))
        before, began = await calm(stage), time.monotonic()
        while time.monotonic() - began < WINDOW:
            await stage.openiap.push("watched")
            await asyncio.sleep(0.1)
        questions = asked(stage) - before
        taken = time.monotonic() - began
        assert 1 <= questions <= A_SECOND * taken + 1


async def calm(stage: Stage) -> int:
    """Return how many questions came once what opening pages asked is answered and its debt paid:
    on a busy machine that takes its time."""
    before, now = -LONG, asked(stage)
    async with asyncio.timeout(LONG):
        while now - before > A_SECOND * CALM:
            before = now
            await asyncio.sleep(CALM)
            now = asked(stage)
    return now


def asked(stage: Stage) -> int:
    """Return how many questions came to OpenIAP."""
    told = ("connections", "wakeups", "ratelimited", "pushworkitem", "ping", "pong", "unwatch")
    own = (*told, "refreshtoken")
    return sum(count for name, count in stage.openiap.server.stats.items() if name not in own)
