"""Settings in force: what has been set and from where; what is secret is never shown."""

import pytest

from tests.console.stage import Stage, keep_shots
from worker.console.pages.settings import rows_of
from worker.settings import load

pytestmark = pytest.mark.browser


async def test_no_secret_is_among_what_the_page_is_given() -> None:
    given = {
        "url": "wss://me:verysecret@openiap.example",
        "jwt": "verysecret",
        "metric_url": "https://me:verysecret@metrics.example/v1?key=verysecret",
    }
    told = {row["name"]: (row["value"], row["source"]) for row in rows_of(load(given))}
    assert "verysecret" not in str(told)
    assert told["password"] == ("********", "the URL (command line)")
    assert told["jwt"][0] == "********"
    assert told["metric_url"][0] == "https://********@metrics.example/v1?********"


async def test_settings_are_told_with_where_they_are_from_and_secrets_never(stage: Stage) -> None:
    async with stage.page("/settings") as page:
        row = page.locator("tr", has_text="url").filter(has_text=stage.openiap.url)
        await row.get_by_text("environment OPENIAP_URL").wait_for()
        await page.get_by_text("this command").first.wait_for()
        if (shots := keep_shots()) is not None:
            await page.screenshot(path=shots / "settings.png")
        await page.keyboard.press("/")
        await page.keyboard.type("dead_after")
        await page.locator("tr", has_text="heartbeat_interval").wait_for(state="detached")
        assert await page.locator("td", has_text="dead_after").count() == 1
