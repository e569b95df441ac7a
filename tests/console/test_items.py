"""Items: a view stands in the address, many are changed after a dry run, many are paged."""

import pytest
from playwright.async_api import Page

from tests.console.stage import Stage, keep_shots, seriously_wrong
from tests.integration.management.failures import fail_items, four_failures, states_of
from worker.openiap.workitem import Workitem

pytestmark = pytest.mark.browser
MANY = 160
"""How long pages take is a benchmark's, ``console_pages``, with 100,000 items."""


def notice(page: Page, words: str) -> object:
    return page.locator(".notice", has_text=words).wait_for()


async def choose(page: Page, *which: int) -> None:
    for one in which:
        await page.locator("tbody .q-checkbox").nth(one).click()


async def test_a_view_stands_in_the_address_and_can_be_narrowed_and_widened(stage: Stage) -> None:
    await four_failures(stage.openiap, "views")
    async with stage.page("/items?queue=views&state=failed&where=payload.customer%3Dc1") as page:
        await page.get_by_text("1 to 8 of 8").wait_for()
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "items.png")
        await page.keyboard.press("/")
        await page.keyboard.type("TIMEOUT")
        await page.keyboard.press("Enter")
        await page.get_by_text("1 to 2 of 2").wait_for()
        await page.get_by_label("Without Payload").click()
        await page.get_by_text("1 to 5 of 5").wait_for()
        await page.get_by_role("link", name="Changed").click()
        await page.wait_for_url("**&sort=modified&direction=desc")
        await page.get_by_role("link", name="Clear all").click()
        await page.get_by_role("button", name="Filter").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Queue").fill("views")
        await dialog.get_by_label("Attempts").fill("many")
        await dialog.get_by_role("button", name="Show them").click()
        await dialog.get_by_text("Filter attempts = 'many'").wait_for()
        await dialog.get_by_label("Attempts").fill(">=3")
        await dialog.get_by_label("Error code").fill("GONE")
        assert await seriously_wrong(page) == []
        await dialog.get_by_role("button", name="Show them").click()
        await page.get_by_text("1 to 12 of 12").wait_for()
        assert "error_code=GONE" in page.url


async def test_what_is_no_view_is_told_in_a_sentence_and_what_is_empty_leads_on(
    stage: Stage,
) -> None:
    stage.openiap.queue("nothing")
    async with stage.page("/items?state=lost") as page:
        await page.get_by_role("alert").get_by_text("Filter state = 'lost'; allowed:").wait_for()
        await page.goto(f"{stage.console.url}/items?queue=nothing")
        await page.get_by_text("No item matches.").wait_for()
        await stage.openiap.push("nothing", {})
        await page.get_by_text("1 to 1 of 1").wait_for()


async def test_chosen_items_are_changed_after_a_dry_run(stage: Stage) -> None:
    client = stage.openiap.client
    for name in ("chosen", "moved"):
        stage.openiap.queue(name)
    ids = await fail_items(client, "chosen", [{"n": n} for n in range(4)], "gone")
    async with stage.page("/items?queue=chosen&sort=created&direction=asc") as page:
        await choose(page, 0, 1)
        await page.get_by_text("2 selected").wait_for()
        await page.get_by_role("button", name="Retry").click()
        await page.get_by_text("It would be 2 items.").wait_for()
        assert {one[0] for one in (await states_of(client, "chosen")).values()} == {"failed"}
        await page.get_by_role("button", name="Retry 2 items").click()
        await notice(page, "2 items were put back.")
        states = await states_of(client, "chosen")
        assert sorted(one[0] for one in states.values()) == ["failed", "failed", "new", "new"]
        await page.get_by_text("Waiting").nth(1).wait_for()
        await choose(page, 0)
        await page.get_by_role("button", name="Priority").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Priority").fill("7")
        await dialog.get_by_role("button", name="Dry run").click()
        await dialog.get_by_role("button", name="Change 1 item").click()
        changed = page.locator(".notice", has_text="1 item was changed.")
        await changed.get_by_role("button", name="Dismiss").click()
        await changed.wait_for(state="detached")  # the next one says the same
        assert [one.priority for one in stage.openiap.items("chosen")].count(7) == 1
        await choose(page, 3)
        await page.get_by_role("button", name="Move").click()
        await dialog.get_by_label("To queue").fill("moved")
        await page.get_by_role("option", name="moved").click()
        await dialog.get_by_role("button", name="Dry run").click()
        await dialog.get_by_role("button", name="Move 1 item").click()
        await notice(page, "1 item was moved.")
        assert len(stage.openiap.items("moved")) == 1
        await page.get_by_text("1 to 3 of 3").wait_for()
        await choose(page, 0)
        await page.get_by_role("button", name="Payload").click()
        await dialog.get_by_label("Patch").fill('{"paid": tru}')
        await dialog.get_by_role("button", name="Dry run").click()
        await dialog.get_by_text("This is no JSON").wait_for()
        await dialog.get_by_label("Patch").fill('{"paid": true}')
        await dialog.get_by_role("button", name="Dry run").click()
        await dialog.get_by_role("button", name="Change 1 item").click()
        await notice(page, "1 item was changed.")
        await page.get_by_label("Choose all of this page").click()
        await page.get_by_role("button", name="Cancel items").click()
        await dialog.get_by_text("It would be 2 items.").wait_for()  # the third has failed
        await dialog.get_by_label("Reason").fill("shut")
        await dialog.get_by_role("button", name="Cancel 2 items").click()
        await notice(page, "2 items were cancelled.")
        errors = [one.document["errormessage"] for one in stage.openiap.items("chosen")]
        assert errors.count("[CANCELLED] shut") == 2
        payloads = [one.payload for one in stage.openiap.items("chosen")]
        assert [one.get("paid") for one in payloads].count(True) == 1
    assert len(ids) == 4


async def test_all_that_match_are_chosen_and_what_is_deleted_has_to_be_typed(stage: Stage) -> None:
    client = stage.openiap.client
    stage.openiap.queue("many")
    await fail_items(client, "many", [{"n": n} for n in range(52)], "gone")
    async with stage.page("/items?queue=many") as page:
        await page.get_by_text("1 to 50 of 52").wait_for()
        await page.get_by_role("checkbox", name="Choose all of this page").click()
        await page.get_by_text("50 selected").wait_for()
        await page.get_by_role("button", name="Select all 52 that match").click()
        await page.get_by_text("All 52 that match are selected").wait_for()
        await page.get_by_role("button", name="Delete").click()
        dialog = page.get_by_role("dialog")
        does = dialog.get_by_role("button", name="Delete 52 items")
        await does.wait_for()
        assert await does.is_disabled()
        await dialog.get_by_label("Type delete 52").fill("delete 52")
        await does.click()
        await notice(page, "52 items were deleted.")
        await page.get_by_text("No item matches.").wait_for()
        assert stage.openiap.items("many") == []


async def test_many_items_are_paged_sorted_and_filtered(stage: Stage) -> None:
    stage.openiap.queue("heaps")
    some = [Workitem(payload={"n": n}) for n in range(MANY)]
    await stage.openiap.client.push_workitems("heaps", some)
    async with stage.page("/items?queue=heaps&page=2") as page:
        await page.get_by_text(f"51 to 100 of {MANY:,}").wait_for()
        for path, told in (
            ("&where=payload.n>=100", f"1 to 50 of {MANY - 100:,}"),
            ("&state=new&sort=priority&page=4", f"151 to 160 of {MANY:,}"),
        ):
            await page.goto(
                f"{stage.console.url}/items?queue=heaps{path}", wait_until="domcontentloaded"
            )
            await page.get_by_text(told).wait_for()
        await page.get_by_role("link", name="Previous").click()
        await page.get_by_text("101 to 150").wait_for()


async def test_others_items_are_not_seen(stage: Stage) -> None:
    stage.openiap.queue("hidden")
    await stage.openiap.push("hidden", {})
    async with stage.page("/items?queue=hidden", stage.ordinary) as page:
        await page.get_by_role("alert").get_by_text("There is no queue").wait_for()
