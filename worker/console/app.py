"""Puts the console together: the API with all its bounds, and NiceGUI's pages beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Final

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import core, ui

from worker.console.guard import Guard
from worker.console.live.readers import Readers
from worker.console.page import Page, add_page
from worker.console.sign_in import STATIC, sign_in_routes, static_url
from worker.console.sockets import guard_sockets
from worker.console.visits import Visits
from worker.management.api.api import Api
from worker.management.api.app import application

PAGES: Final = (
    "overview",
    "queues",
    "queue",
    "items",
    "item",
    "error_groups",
    "error_group",
    "workers",
    "worker",
    "schedules",
    "settings",
    "missing",
)
"""Each is ``worker.console.pages.NAME`` and has a ``PAGE``."""
RECONNECTS_WITHIN: Final = 4.0
"""Seconds for which a page is kept that its browser has left, or lost the link to."""
ANSWERS_WITHIN: Final = 15.0
"""Seconds that a browser has to answer before its link is cut: one that is busy for some seconds
would open its page anew, and lose what was typed into a dialog."""
HISTORY: Final = 200
"""Changes of a page that are kept for a browser that lost its link."""
HEAD: Final = f"""
<script src="{static_url("console.js")}"></script>
<link rel="stylesheet" href="{static_url("console.css")}">
"""


def console(api: Api) -> FastAPI:
    """Return the application: pages at ``/``, the API at ``/api/v1``; once a process, since NiceGUI
    is one for each.

    Raises:
        SocketsError: this version of NiceGUI is another than those that are known.
    """
    outer = application(api)
    readers = Readers(api)
    visits = Visits(api, readers)
    api.counts.add_gauge("pages", "Pages of the console that are open", lambda: len(visits))
    api.counts.add_gauge("topics", "What open pages look at", lambda: readers.topics)
    inner = FastAPI(openapi_url=None)
    inner.include_router(sign_in_routes(api))
    config = core.app.config
    config.socket_io_js_transports = ["websocket"]
    config.quasar_config["brand"] = {"primary": "#3352c4", "negative": "#b3261e"}
    config.quasar_config["loadingBar"] = {"skipHijack": True}
    # What somebody chose is set before anything is drawn, and is known to the browser alone.
    config.vue_config_script = config.vue_config_script.replace(
        "setDark(dark)", "setDark(consoleTheme())"
    )
    ui.add_head_html(HEAD, shared=True)
    for name in PAGES:
        page: Page = import_module(f"worker.console.pages.{name}").PAGE
        add_page(page, visits, api)
    ui.run_with(
        inner,
        title="openiap-worker",
        favicon=STATIC / "icon.svg",
        language="en-US",
        dark=None,
        tailwind=False,
        markdown=False,
        storage_secret=None,
        show_welcome_message=False,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECTS_WITHIN,
        message_history_length=HISTORY,
        gzip_middleware_factory=None,  # the API's own does it for all
    )
    guard_sockets(api, visits)
    nicegui_app.on_exception(lambda error: api.log.failed("console: a page", error))
    outer.mount("/", Guard(inner, api))
    _live_with(outer, inner, visits)
    return outer


def _live_with(outer: FastAPI, inner: FastAPI, visits: Visits) -> None:
    """Have an application start and stop another one that is mounted in it, and the pages."""
    before = outer.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with before(app), inner.router.lifespan_context(inner):
            core.sio.eio.ping_timeout = ANSWERS_WITHIN  # NiceGUI has set its own by now
            await visits.start()
            try:
                yield
            finally:
                await visits.stop()

    outer.router.lifespan_context = lifespan
