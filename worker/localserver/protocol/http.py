"""HTTP beside the websocket: the configuration, whole files, and the switches of tests."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, HTTPException
from fastapi.responses import PlainTextResponse, StreamingResponse

from worker.localserver.operations.services import Services
from worker.localserver.protocol.commands import may_download
from worker.localserver.protocol.configuration import configuration
from worker.localserver.storage.errors import RefusedError


def application(services: Services) -> FastAPI:
    """Return the HTTP application of a server."""
    app = FastAPI(title="OpenIAP local server", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def root() -> PlainTextResponse:
        return PlainTextResponse(
            "The local OpenIAP server of openiap-worker: for development, tests and one machine.\n"
        )

    @app.get("/config")
    async def config() -> dict[str, Any]:
        return configuration(services.options)

    @app.get("/download/{file_id}")
    async def download(
        file_id: str, authorization: Annotated[str, Header()] = ""
    ) -> StreamingResponse:
        kind, _, token = authorization.partition(" ")
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

    if services.options.faults_endpoint:

        @app.post("/faults")
        async def faults(values: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
            try:
                services.options.faults.change(values)
            except ValueError as error:
                raise HTTPException(400, str(error)) from error
            return {"status": "changed"}

        @app.get("/stats")
        async def stats() -> dict[str, int]:
            return dict(services.stats)

    return app


async def _on_loop(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read on the loop's own thread: the database connection belongs to it."""
    for chunk in chunks:
        yield chunk
