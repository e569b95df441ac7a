"""Who comes in: with the rights of an OpenIAP user, by a cookie that no script reads."""

import pytest

from tests.console.stage import Stage, ready

pytestmark = pytest.mark.browser


async def test_wrong_password_is_told_in_a_sentence_and_the_right_one_leads_to_the_page(
    stage: Stage,
) -> None:
    async with stage.visitor() as context:
        page = await context.new_page()
        await page.goto(f"{stage.console.url}/queues")
        assert "/sign-in?to=%2Fqueues" in page.url
        await page.get_by_label("User name").fill(stage.boss[0])
        await page.get_by_label("Password", exact=True).fill("wrong")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").get_by_text("OpenIAP refuses these credentials.").wait_for()
        await page.get_by_label("Password", exact=True).fill(stage.boss[1])
        await page.keyboard.press("Enter")
        await ready(page)
        assert page.url == f"{stage.console.url}/queues"
        (cookie,) = [one for one in await context.cookies() if "session" in str(one["name"])]
        assert cookie["httpOnly"] is True
        assert cookie["sameSite"] == "Strict"
    stage.problems.clear()  # the browser itself says that a 401 came


async def test_signing_out_in_one_tab_is_told_in_the_others_which_come_back_after_the_sign_in(
    stage: Stage,
) -> None:
    async with stage.visitor() as context:
        page = await context.new_page()
        await stage.sign_in(page, stage.boss, "/settings")
        other = await context.new_page()
        await other.goto(f"{stage.console.url}/items?state=failed&sort=modified")
        await ready(other)
        await page.locator("details.account summary").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in").wait_for()
        await other.get_by_role("alert").get_by_text("This session was ended").wait_for()
        await other.get_by_label("User name").fill(stage.boss[0])
        await other.get_by_label("Password", exact=True).fill(stage.boss[1])
        await other.get_by_role("button", name="Sign in", exact=True).click()
        await ready(other)
        assert other.url == f"{stage.console.url}/items?state=failed&sort=modified"
