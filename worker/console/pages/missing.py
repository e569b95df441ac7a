"""What stands where there is no page."""

from worker.console.page import Page
from worker.console.parts.boxes import empty, page_head
from worker.console.visits import Visit


async def build(visit: Visit) -> None:
    """Draw the page."""
    page_head("There is no such page")
    empty("The address may be mistyped.", to=("To the overview", "/"))


PAGE = Page("/{rest:path}", "No such page", "", build)
