"""A page as its file declares it, and what all pages have: whose it is, the frame, errors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from fastapi import Request
from nicegui import context, ui
from starlette.responses import RedirectResponse, Response

from worker.console.parts.boxes import problem
from worker.console.parts.frame import frame
from worker.console.visits import INSIDE, SIGN_IN, Visit, Visits
from worker.management.api.api import Api
from worker.management.errors import AppError

FIRST_WITHIN: Final = 1.5
"""Seconds for which a page waits for what it shows; later it is drawn as it comes."""
BUILT_WITHIN: Final = 20.0
Area = Literal["overview", "queues", "items", "errors", "workers", "schedules", "settings", ""]


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        path: its address; what it is about stands in the query (``/queue?name=orders``), since a
            name may be anything: a browser would take ``..`` in a path for something else.
        title: of the browser's tab; no data.
        area: which entry of the navigation it belongs to.
        build: draws it; called once for each browser that opens it.
    """

    path: str
    title: str
    area: Area
    build: Callable[[Visit], Awaitable[None]]


def add_page(page: Page, visits: Visits, api: Api) -> None:
    """Serve a page."""

    async def build(request: Request) -> Response | None:
        session = getattr(request.state, "session", None)
        if session is None:  # where a file was asked for that there is not
            return RedirectResponse(SIGN_IN, 303)
        browser = context.client
        visit = visits.begin(browser, session, dict(request.query_params))
        with frame(visit, page.area):
            try:
                await page.build(visit)
                await visit.first(FIRST_WITHIN)
            except AppError as error:
                problem(error.message)
            except Exception as error:
                api.log.failed(f"console: page {page.path}", error)
                problem(INSIDE)
        return None

    # NiceGUI reads the annotations of what it is given.
    ui.page(page.path, title=f"{page.title} · openiap-worker", response_timeout=BUILT_WITHIN)(build)
