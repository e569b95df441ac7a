"""HTTP beside the websocket: the configuration, whole files, and the switches of tests.

Made of Starlette, which FastAPI stands on: for a handful of routes the latter would be half of what
a server loads before it listens.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from worker.localserver.operations.services import Services
from worker.localserver.protocol.commands import may_download
from worker.localserver.protocol.configuration import configuration
from worker.localserver.storage.errors import RefusedError


def application(services: Services) -> Starlette:
    """Return the HTTP application of a server."""

    async def root(request: Request) -> Response:
        return PlainTextResponse(
            "The local OpenIAP server of openiap-worker: for development, tests and one machine.\n"
        )

    async def config(request: Request) -> Response:
        return JSONResponse(configuration(services.options))

    async def download(request: Request) -> Response:
        file_id = str(request.path_params["file_id"])
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":  # OpenIAP looks with the eyes of a guest, who sees none
            raise HTTPException(404, f"id {file_id} Not found.")
        try:
            user = services.users.user_of_token(token.strip(), services.options.clock())
        except RefusedError as error:
            raise HTTPException(500, str(error)) from error  # as OpenIAP
        try:
            document = services.files.find(file_id)
            if not may_download(services, services.roles.current(user), document):
                raise RefusedError(f"File {file_id} not found")
        except RefusedError as error:
            raise HTTPException(404, str(error)) from error
        name = str(document.get("filename") or file_id).replace('"', "").encode("ascii", "ignore")
        return StreamingResponse(
            _on_loop(services.files.contents(file_id)),
            media_type=str(document.get("contentType") or "application/octet-stream"),
            headers={
                "Content-Length": str(document.get("length") or 0),
                "Content-Disposition": f'attachment; filename="{name.decode()}"',
            },
        )

    async def faults(request: Request) -> Response:
        try:
            services.options.faults.change(await _object_in(request))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return JSONResponse({"status": "changed"})

    async def stats(request: Request) -> Response:
        return JSONResponse(dict(services.stats))

    routes = [
        Route("/", root, methods=["GET"]),
        Route("/config", config, methods=["GET"]),
        Route("/download/{file_id}", download, methods=["GET"]),
    ]
    if services.options.faults_endpoint:
        routes.append(Route("/faults", faults, methods=["POST"]))
        routes.append(Route("/stats", stats, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


async def _object_in(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        ValueError: there is none; also where it is not called JSON, as no page of a browser can do
            without asking first.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("send a JSON object as application/json")
    found = json.loads(await request.body())
    if not isinstance(found, dict):
        raise ValueError("send a JSON object")
    return found


async def _on_loop(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read on the loop's own thread: the database connection belongs to it."""
    for chunk in chunks:
        yield chunk
