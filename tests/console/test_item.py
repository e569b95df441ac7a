"""One item: all that is known of it, and each thing that can be done with it."""

from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Page

from tests.console.stage import HOSTILE, Stage, keep_shots, ready, seriously_wrong
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.browser
STEPS = {"done": {"book": {"n": 1, "json": '"V-1001"', "at": 1_790_000_000.0}}, "waits": {}}


def notice(page: Page, words: str) -> object:
    return page.locator(".notice", has_text=words).wait_for()


async def document(stage: Stage, id: str) -> dict[str, object]:
    (found,) = await stage.openiap.client.query("workitems", {"_id": id})
    return found


async def test_all_that_is_known_of_an_item_is_shown(stage: Stage, tmp_path: Path) -> None:
    stage.openiap.queue("whole")
    client = stage.openiap.client
    scan = tmp_path / "scan & 'copy'.pdf"
    scan.write_bytes(b"x" * 3_000)
    pushed = await client.push_workitem("whole", {"customer": "acme"}, files=[scan])
    marks = {"steps": {**STEPS, "of": pushed.id}, "progress": {"share": 0.4, "text": HOSTILE}}
    payload = {"customer": HOSTILE, "lines": [{"sku": "A-1"}], "openiap_worker": marks}
    error = {"errormessage": f"[GONE] {HOSTILE}", "errorsource": f"worker w1, attempt 1\n{HOSTILE}"}
    fields = {"state": "failed", "errortype": "application", "payload": payload, **error}
    (there,) = await client.query("workitems", {"_id": pushed.id})
    fields["files"] = [*there["files"], {"_id": "../..", "name": f"scan {HOSTILE}"}]
    fields["name"] = HOSTILE
    await client.update_document("workitems", {"_id": pushed.id}, {"$set": fields})
    child = await client.push_workitem("whole", {"openiap_worker": {"parent": pushed.id}})
    async with stage.page(f"/item?id={pushed.id}") as page:
        await page.get_by_text("1 field").click()
        for words in ("V-1001", "40%", "Pushed", "Follow-up", "sku"):
            await page.get_by_text(words).first.wait_for()
        assert await page.get_by_text(HOSTILE).count() >= 6
        await page.get_by_text(f"openiap-worker replay {pushed.id}").wait_for()
        await page.get_by_role("img", name="Runs of the item over time").wait_for()
        assert await page.locator(f"a[href='/item?id={child.id}']").count() == 1
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "item.png")
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="scan & 'copy'.pdf").click()
        download = await coming.value
        assert (await download.path()).read_bytes() == b"x" * 3_000
        assert await page.evaluate("window.ran") is None


async def test_an_item_is_edited_under_its_contracts_rules_and_put_back(stage: Stage) -> None:
    stage.openiap.queue("edited")
    stage.openiap.queue("elsewhere")
    (id,) = await fail_items(stage.openiap.client, "edited", [{"amount": 1, "old": "x"}], "gone")
    async with stage.page(f"/item?id={id}") as page:
        await page.get_by_role("button", name="Edit").click()
        dialog = page.get_by_role("dialog")
        text = dialog.get_by_label("Payload")
        for typed, told in (
            ('{"amount": 1,}', "This is no JSON"),
            ("[1]", "A JSON object is needed"),
            ('{"amount": null}', "Field amount cannot become null"),
            ('{"openiap_worker": {"a": 1}}', "which is the worker's own"),
        ):
            await text.fill(typed)
            await dialog.get_by_role("button", name="Save").click()
            await dialog.get_by_role("alert").get_by_text(told).wait_for()
        assert await seriously_wrong(page) == []
        await text.fill('{"amount": 2, "to": {"city": "Bonn"}}')
        await dialog.get_by_role("button", name="Save").click()
        await notice(page, "The payload is changed.")
        assert (await document(stage, id))["payload"] == {"amount": 2, "to": {"city": "Bonn"}}
        await page.get_by_role("button", name="Undo").click()  # it goes by itself
        await notice(page, "The payload is as it was.")
        await page.get_by_text("Payload edited").first.wait_for()
        assert (await document(stage, id))["payload"] == {"amount": 1, "old": "x"}
        await page.get_by_role("button", name="Priority").click()
        await dialog.get_by_label("Priority").fill("5")
        await dialog.get_by_role("button", name="Change it").click()
        await notice(page, "The priority is 5.")
        assert (await document(stage, id))["priority"] == 5
        await page.get_by_role("button", name="Move").click()
        await dialog.get_by_label("To queue").fill("elsewhere")
        await page.get_by_role("option", name="elsewhere").click()
        await dialog.get_by_role("button", name="Move it").click()
        await notice(page, "The item is in elsewhere now.")
        assert (await document(stage, id))["wiq"] == "elsewhere"
        await page.get_by_role("button", name="Retry").click()
        await notice(page, "The item is new again.")
        assert (await document(stage, id))["state"] == "new"
        await page.get_by_text("Put back").wait_for()
        await page.locator(".page-head .badge", has_text="Waiting").wait_for()
        await page.get_by_role("button", name="Delete").click()
        await dialog.get_by_role("button", name="Delete it").click()
        await page.wait_for_url("**/items?queue=elsewhere")
        assert stage.openiap.items("elsewhere") == []
        await page.goto(f"{stage.console.url}/item?id={quote(id)}")
        await ready(page)
        await page.get_by_role("alert").get_by_text("There is no item").wait_for()


async def test_an_item_that_is_worked_is_seen_and_retried_only_after_a_question(
    stage: Stage,
) -> None:
    stage.openiap.queue("worked")
    id = await stage.openiap.push("worked", {})
    async with stage.page(f"/item?id={id}") as page:
        await page.locator(".page-head .badge", has_text="Waiting").wait_for()
        await stage.openiap.client.pop_workitem("worked")
        await page.locator(".page-head .badge", has_text="Running").wait_for()
        assert await page.get_by_role("button", name="Edit").is_hidden()
        await page.get_by_role("button", name="Retry").click()
        await page.get_by_text("the item runs twice").wait_for()
        assert (await document(stage, id))["state"] == "processing"
        await page.get_by_role("button", name="Retry it all the same").click()
        await notice(page, "The item is new again.")
        assert (await document(stage, id))["state"] == "new"
