"""Queues: listed, made, paused and resumed, emptied and deleted, down to what the server has."""

import pytest
from playwright.async_api import Page

from tests.console.stage import Stage, keep_shots, seriously_wrong
from tests.integration.management.failures import INVOKE, READ, UPDATE, four_failures, queue_for

pytestmark = pytest.mark.browser


async def document(stage: Stage, name: str) -> dict[str, object] | None:
    found = await stage.openiap.client.query("mq", {"_type": "workitemqueue", "name": name})
    return found[0] if found else None


def notice(page: Page, words: str) -> object:
    return page.locator(".notice", has_text=words).wait_for()


async def test_a_queue_is_made_and_found_in_the_list(stage: Stage) -> None:
    async with stage.page("/queues") as page:
        await page.get_by_role("button", name="New queue").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Make it").click()
        await dialog.get_by_text("A queue needs a name.").wait_for()
        await dialog.get_by_label("Name").fill("made here")
        await dialog.get_by_label("Attempts in all").fill("5")
        assert await seriously_wrong(page) == []
        await dialog.get_by_role("button", name="Make it").click()
        await notice(page, "Queue made here is there.")
        assert (await document(stage, "made here") or {})["maxretries"] == 5
        await page.keyboard.press("/")
        await page.keyboard.type("made")
        await page.get_by_role("link", name="made here").click()
        await page.get_by_role("heading", name="made here").wait_for()
        assert page.url.endswith("/queue?name=made+here")


async def test_a_pause_has_a_reason_and_can_be_undone(stage: Stage) -> None:
    stage.openiap.queue("paused")
    async with stage.page("/queue?name=paused") as page, stage.page("/") as overview:
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_label("Reason").fill("the bank is shut")
        await page.get_by_role("button", name="Pause it").click()
        await notice(page, "The queue is paused")
        await page.get_by_text("the bank is shut").wait_for()
        await overview.get_by_text("the bank is shut").wait_for()
        await page.get_by_role("button", name="Undo").click()
        await notice(page, "The queue is popped again.")
        await page.get_by_role("button", name="Pause").wait_for()
        found = await document(stage, "paused")
        assert found is not None
        assert not any("pause" in key for key in found)


async def test_what_cannot_be_undone_asks_and_has_to_be_typed(stage: Stage) -> None:
    ids = await four_failures(stage.openiap, "emptied")
    count = sum(map(len, ids.values()))
    async with stage.page("/queue?name=emptied") as page:
        await page.locator(".number .value", has_text=f"{count}").first.wait_for()
        await page.get_by_role("link", name="Timeout: host <address> is away").wait_for()
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "queue.png")
        await page.get_by_role("button", name="Empty").click()
        does = page.get_by_role("button", name="Delete them")
        await does.wait_for()
        assert await does.is_disabled()
        await page.get_by_label(f"Type delete {count}").fill(f"delete {count}")
        await does.click()
        await notice(page, f"{count} items were deleted.")
        assert stage.openiap.items("emptied") == []
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_label("Type delete 0").fill("delete 0")
        await page.get_by_role("button", name="Delete it").click()
        await page.wait_for_url("**/queues")
        assert await document(stage, "emptied") is None


async def test_two_users_see_the_queues_that_each_may(stage: Stage) -> None:
    await queue_for(stage.openiap, "shared", READ | UPDATE | INVOKE)
    stage.openiap.queue("of others")
    async with stage.page("/queues") as boss, stage.page("/queues", stage.ordinary) as other:
        for page in (boss, other):
            await page.get_by_role("link", name="shared").wait_for()
        await boss.get_by_role("link", name="of others").wait_for()
        assert "of others" not in await other.content()
        await other.goto(f"{stage.console.url}/queue?name=of+others")
        await other.get_by_role("alert").get_by_text("There is no queue").wait_for()
        for unseen in (".number", "section.card"):  # of what is not there nothing is zero
            assert await other.locator(f"#main {unseen}:visible").count() == 0
