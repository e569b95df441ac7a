"""Workers."""

from worker.console.page import Page
from worker.console.parts.boxes import empty, page_head
from worker.console.visits import Visit


async def build(visit: Visit) -> None:
    """Draw the page."""
    page_head("Workers")
    empty("This page is not written yet.")


PAGE = Page("/workers", "Workers", "workers", build)
