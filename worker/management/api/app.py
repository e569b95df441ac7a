"""Puts the API together: routes under ``/api/v1``, bounds around them, errors in one form.

A feature's routes are added in ``ROUTERS``: its ``routes.py`` has a router and nothing of what is
here. ``application`` can be served as it is (``server.py``), or be given pages beside the API.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

from worker._version import __version__
from worker.management.api import routes
from worker.management.api.api import Api
from worker.management.api.bounds import Bounds
from worker.management.api.problems import AsciiJson, add_problem_handlers
from worker.management.api.traffic import Traffic
from worker.management.items.routes import router as items
from worker.management.queues.routes import breakers
from worker.management.queues.routes import router as queues
from worker.management.schedules.routes import router as schedules
from worker.management.workers.routes import hours
from worker.management.workers.routes import router as workers

PREFIX: Final = "/api/v1"
ROUTERS: Final = (
    routes.sessions,
    routes.batches,
    items,
    queues,
    breakers,
    workers,
    hours,
    schedules,
)
COMPRESSED_FROM: Final = 1_000
_FILES: Final = re.compile(rf"{PREFIX}/items/[^/]+/files/[^/]+")


def application(api: Api) -> FastAPI:
    """Return the application; it starts and stops ``api`` with itself."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await api.start()
        try:
            yield
        finally:
            await api.stop()

    app = FastAPI(
        title="openiap-worker",
        summary="Work items of OpenIAP, seen and steered with the rights of whoever is signed in.",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the pages that there are load what they need from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=AsciiJson,
        lifespan=lifespan,
        generate_unique_id_function=_operation,
    )
    app.state.api = api
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(routes.health)
    add_problem_handlers(app)
    # The last one that is added is the outermost.
    app.add_middleware(Bounds, options=api.options, carries_file=_carries_file, log=api.log)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM)
    app.add_middleware(Traffic, counts=api.counts, log=api.log)
    return app


def _operation(route: APIRoute) -> str:
    """Return the name that generated clients give an operation: ``queues_pause_one``."""
    return f"{route.tags[0]}_{route.name}"


def _carries_file(path: str) -> bool:
    return _FILES.fullmatch(path) is not None
