"""Item."""

from worker.console.page import Page
from worker.console.parts.boxes import empty, page_head
from worker.console.visits import Visit


async def build(visit: Visit) -> None:
    """Draw the page."""
    page_head("Item")
    empty("This page is not written yet.")


PAGE = Page("/item", "Item", "items", build)
