"""What is done with one item, down to what becomes of it: cancelled, worked again, edited under its
contract, its files taken home."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.console.fleet import busy_worker
from tests.console.stage import CONTRACTED, HOSTILE, Stage, seriously_wrong
from tests.integration.management.failures import fail_items

pytestmark = pytest.mark.browser
WHY = f"the order is gone {HOSTILE}"
NAMES = (
    f"scan {HOSTILE}.html",
    "..%2f..%2fetc/passwd",
    "a\r\nSet-Cookie: taken=1\r\n\r\n<script>window.ran = 1</script>.pdf",
    "Übersicht 漢字 \u202efdp.exe",
    'say "x"; filename=other.pdf',
)


def notice(page: Page, words: str) -> object:
    return page.locator(".notice", has_text=words).wait_for()


async def test_an_item_that_waits_is_cancelled_with_a_reason_and_put_back(stage: Stage) -> None:
    stage.openiap.queue("to cancel")
    id = await stage.openiap.push("to cancel", {})
    async with stage.page(f"/item?id={id}") as page:
        await page.get_by_role("button", name="Cancel item").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Reason").fill(WHY)
        assert await seriously_wrong(page) == []
        await dialog.get_by_role("button", name="Leave it").click()
        await dialog.wait_for(state="detached")
        assert stage.openiap.item(id).state == "new"
        await page.get_by_role("button", name="Cancel item").click()
        await dialog.get_by_label("Reason").fill(WHY)
        await dialog.get_by_role("button", name="Cancel it").click()
        await notice(page, "The item is cancelled.")
        found = stage.openiap.item(id).document
        assert (found["state"], found["errormessage"]) == ("failed", f"[CANCELLED] {WHY}")
        event = page.locator(".event", has_text="Cancelled")
        await event.get_by_text(f"by {stage.boss[0]}").wait_for()
        await event.get_by_text(WHY).wait_for()
        assert await page.get_by_role("button", name="Cancel item").is_hidden()
        await page.get_by_role("button", name="Undo").click()
        await notice(page, "The item is new again.")
        assert stage.openiap.item(id).state == "new"
        assert await page.evaluate("window.ran") is None
    await stage.openiap.client.delete_workitem_queue("to cancel", purge=True)


async def test_an_item_that_runs_is_ended_by_its_worker(stage: Stage) -> None:
    async with busy_worker(stage, "to end", "worker-to-end") as id, stage.page("/") as page:
        await page.goto(f"{stage.console.url}/item?id={id}")
        await page.locator(".page-head .badge", has_text="Running").wait_for()
        await page.get_by_role("button", name="Cancel item").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_text("is asked to end now").wait_for()
        await dialog.get_by_role("button", name="Cancel it").click()
        await notice(page, "The worker of the item is told to end it.")
        await page.locator(".page-head .badge", has_text="Failed").wait_for()
        assert stage.openiap.item(id).document["errormessage"].startswith("[CANCELLED]")
    await stage.openiap.client.delete_workitem_queue("to end", purge=True)


async def test_an_item_that_is_done_is_worked_again_only_after_a_question(stage: Stage) -> None:
    stage.openiap.queue("done")
    id = await stage.openiap.push("done", {})
    popped = await stage.openiap.client.pop_workitem("done")
    assert popped is not None
    popped.state = "successful"
    await stage.openiap.client.update_workitem(popped)
    async with stage.page(f"/item?id={id}") as page:
        await page.locator(".page-head .badge", has_text="Done").wait_for()
        dialog = page.get_by_role("dialog")
        for button, state in (("Cancel", "successful"), ("Work it again", "new")):
            await page.get_by_role("button", name="Retry").click()
            await dialog.get_by_text("is done once more").wait_for()
            await dialog.get_by_role("button", name=button).click()
            await dialog.wait_for(state="detached")
            if state == "new":
                await notice(page, "The item is new again.")
            assert stage.openiap.item(id).state == state
    await stage.openiap.client.delete_workitem_queue("done", purge=True)


async def test_an_edit_that_the_contract_refuses_is_told_at_the_field_and_not_written(
    stage: Stage,
) -> None:
    queue, before = CONTRACTED, {"number": "4711", "amount": 1}
    stage.openiap.queue(queue)
    (id,) = await fail_items(stage.openiap.client, queue, [before], "gone")
    async with stage.page(f"/item?id={id}") as page:
        await page.get_by_role("button", name="Edit").click()
        dialog = page.get_by_role("dialog")
        field = dialog.get_by_label("Payload")
        await field.fill('{"number": "4711", "amount": "eleven"}')
        await dialog.get_by_role("button", name="Save").click()
        alert = dialog.get_by_role("alert").filter(has_text="amount")
        await alert.get_by_text("'eleven' is not of type 'integer'").wait_for()
        assert await field.get_attribute("aria-invalid") == "true"
        above, below = await field.bounding_box(), await alert.bounding_box()
        assert above is not None
        assert below is not None
        assert 0 <= below["y"] - (above["y"] + above["height"]) < 60
        assert (await document(stage, id))["payload"] == before
        assert await field.input_value() == '{"number": "4711", "amount": "eleven"}'
        assert await seriously_wrong(page) == []
        await field.fill('{"number": "4711", "amount": 11}')
        await alert.wait_for(state="hidden")
        await dialog.get_by_role("button", name="Save").click()
        await notice(page, "The payload is changed.")
        assert (await document(stage, id))["payload"] == {**before, "amount": 11}
    await stage.openiap.client.delete_workitem_queue(queue, purge=True)


async def document(stage: Stage, id: str) -> dict[str, Any]:
    (found,) = await stage.openiap.client.query("workitems", {"_id": id})
    return found


async def test_files_come_home_whole_and_their_names_are_names_and_nothing_else(
    stage: Stage, tmp_path: Path
) -> None:
    stage.openiap.queue("with files")
    client = stage.openiap.client
    paths = [tmp_path / f"{n}.bin" for n in range(len(NAMES))]
    for n, path in enumerate(paths):
        path.write_bytes(b"%d" % n * 300_000)
    pushed = await client.push_workitem("with files", {}, files=paths)
    files = (await document(stage, pushed.id))["files"]
    given = [{**one, "name": name} for one, name in zip(files, NAMES, strict=True)]
    await client.update_document("workitems", {"_id": pushed.id}, {"$set": {"files": given}})
    async with stage.page(f"/item?id={pushed.id}") as page:
        links = page.locator("a.file")
        await links.nth(len(NAMES) - 1).wait_for()
        for n in range(len(NAMES)):
            async with page.expect_download() as coming:
                await links.nth(n).click()
            download = await coming.value
            assert "/" not in download.suggested_filename
            assert not download.suggested_filename.startswith(".")
            content = await asyncio.to_thread((await download.path()).read_bytes)
            assert content == b"%d" % n * 300_000
            to = await links.nth(n).get_attribute("href")
            headers = (await page.request.get(f"{stage.console.url}{to}")).headers
            assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
            assert "sandbox" in headers["content-security-policy"]
            assert "set-cookie" not in headers
        assert await page.evaluate("window.ran") is None
        assert page.url.endswith(f"/item?id={pushed.id}")
    await stage.openiap.client.delete_workitem_queue("with files", purge=True)
