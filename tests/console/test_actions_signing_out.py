"""A session that has ended: the page that was open says why, and comes back after the sign-in."""

import pytest

from tests.console.stage import Stage, ready

pytestmark = pytest.mark.browser


async def test_a_page_whose_session_was_ended_says_so_and_comes_back(stage: Stage) -> None:
    async with stage.visitor() as context:
        page = await context.new_page()
        await stage.sign_in(page, stage.boss, "/items?state=failed&sort=modified")
        await ready(page)
        out = await page.request.post(
            f"{stage.console.url}/sign-out", headers={"Origin": stage.console.url}
        )
        assert out.status == 200
        await page.get_by_role("alert").get_by_text("This session was ended").wait_for()
        await page.get_by_label("User name").fill(stage.boss[0])
        await page.get_by_label("Password", exact=True).fill(stage.boss[1])
        await page.get_by_role("button", name="Sign in", exact=True).click()
        await ready(page)
        assert page.url == f"{stage.console.url}/items?state=failed&sort=modified"
