"""Two users side by side: each sees and does what it may, and nothing of the other's; what is
refused to all, and who is told to have done what."""

from typing import Any, cast

import httpx
import pytest

from tests.console.fleet import ME, busy_worker
from tests.console.stage import Console, Stage, read
from tests.integration.management.failures import fail_items
from worker.console.live.readers import Readers
from worker.console.visits import Visit
from worker.management.api.api import Api
from worker.management.api.options import ApiOptions
from worker.management.errors import ForbiddenError
from worker.management.items.service import Items
from worker.management.items.types import ItemGetHistoryPayload
from worker.settings import load
from worker.telemetry.log import Log

pytestmark = pytest.mark.browser
MOST_SIGN_INS = 10
"""For one name from one address in a minute, ``Limits.sign_ins_per_name``."""


async def test_what_one_user_sees_is_never_shown_to_another(stage: Stage) -> None:
    async with (
        busy_worker(stage, "of the boss"),
        stage.page("/workers") as boss,
        stage.page("/workers", stage.ordinary) as other,
    ):
        await boss.get_by_role("link", name=ME).wait_for()
        await other.get_by_text("No worker was heard of").wait_for()
        for page in (boss, other):
            await page.goto(f"{stage.console.url}/worker?id={ME}", wait_until="domcontentloaded")
        await boss.get_by_text("of the boss").first.wait_for()
        await other.get_by_role("alert").get_by_text("There is no worker").wait_for()
        assert not await other.get_by_role("button", name="Stop").is_visible()
        assert "of the boss" not in await other.inner_text("#main")


async def test_what_was_done_is_logged_and_stands_in_the_timeline_by_whom(stage: Stage) -> None:
    stage.openiap.queue("by whom")
    (id,) = await fail_items(stage.openiap.client, "by whom", [{}], "Gone: gone")
    async with stage.page("/") as page:
        done = await page.request.post(
            f"{stage.console.url}/api/v1/items/{id}/retry",
            headers={"Origin": stage.console.url},
            data={},
        )
        assert done.status == 200, await done.text()
    history = await Items(stage.openiap.client).get_history(ItemGetHistoryPayload(id=id))
    assert stage.boss[0] in str(history.entries[-1])
    assert any(stage.boss[0] in line and id in line for line in stage.console.lines)


async def test_a_read_only_console_has_no_buttons_and_refuses_what_is_asked_past_them(
    stage: Stage, read_only: Console
) -> None:
    console = read_only
    async with (
        busy_worker(stage, "only read") as id,
        stage.page("/items?queue=only+read", url=console.url) as page,
    ):
        for path, words in (
            ("", "1 to 1 of 1"),
            (f"/item?id={id}", "Timeline"),
            (f"/worker?id={ME}", "only read"),
            ("/schedules", "Schedules"),
            ("/queue?name=only+read", "Attempts in all"),
            ("/errors", "Errors"),
        ):
            if path:
                await page.goto(f"{console.url}{path}", wait_until="domcontentloaded")
            await read(page, words)
            actions = page.locator("#main .action").filter(has_not_text="Filter")
            assert await actions.count() == 0, path
            for name in ("Retry", "Delete", "Edit", "Move", "Stop", "Pause", "New queue"):
                assert await page.get_by_role("button", name=name).count() == 0, (path, name)
            assert await page.get_by_role("checkbox").count() == 0, path
        for path in ("queues/only read/pause", f"workers/{ME}/stop", "schedules/any/pause"):
            refused = await page.request.post(
                f"{console.url}/api/v1/{path}", headers={"Origin": console.url}, data={}
            )
            assert refused.status == 403
            assert "read-only" in await refused.text()
        # Signing in is limited for each address and name; this console is nobody else's.
        wrong = {"username": "somebody", "password": "wrong"}
        origin = {"Origin": console.url}
        async with httpx.AsyncClient(trust_env=False, headers=origin) as http:
            answers = [
                await http.post(f"{console.url}/sign-in", data=wrong)
                for _ in range(MOST_SIGN_INS + 1)
            ]
        assert [one.status_code for one in answers] == [401] * MOST_SIGN_INS + [429]
        assert 'role="alert"' in answers[-1].text


async def test_what_a_read_only_page_is_made_to_do_is_not_done() -> None:
    class Browser:
        def on_connect(self, _: Any) -> None: ...

    api = Api(load({"url": "wss://openiap.example"}).settings, ApiOptions(read_only=True), Log())
    visit = Visit(cast(Any, Browser()), cast(Any, None), {}, api, Readers(api))
    asked: list[Any] = []

    async def work(services: Any) -> None:
        asked.append(services)

    with pytest.raises(ForbiddenError, match="read-only"):
        await visit.done("delete everything", work)
    assert asked == []
