"""What every page has: keys, colours, times, a phone's width."""

import json

import pytest

from tests.console.stage import Stage, ready, seriously_wrong

pytestmark = pytest.mark.browser


async def test_keys_lead_to_pages_and_show_themselves_and_colours_are_chosen_and_stay(
    stage: Stage,
) -> None:
    async with stage.page("/settings") as page:
        for key, path in (("i", "/items"), ("q", "/queues")):
            await page.keyboard.press("g")
            await page.keyboard.press(key)
            await page.wait_for_url(f"{stage.console.url}{path}")
            await ready(page)
        await page.keyboard.press("?")
        await page.get_by_role("dialog", name="Keys").wait_for()
        assert await seriously_wrong(page) == []
        await page.keyboard.press("Escape")
        await page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
        paper = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(paper)
        await page.keyboard.press("t")
        await page.keyboard.press("t")
        dark = await page.evaluate(paper)
        assert dark != light
        frames = list[str | bytes]()
        page.on(
            "websocket", lambda link: link.on("framereceived", lambda frame: frames.append(frame))
        )
        await page.reload()
        await ready(page)
        # One that is busy for seconds, as when axe examines it, keeps its page.
        assert json.loads(str(frames[0])[1:])["pingTimeout"] == 15_000
        assert await page.evaluate(paper) == dark
        assert await page.evaluate("document.body.classList.contains('body--dark')")
        await page.set_viewport_size({"width": 390, "height": 800})
        assert await seriously_wrong(page) == []
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert await page.evaluate(wide) is False
        await page.evaluate("localStorage.clear()")
