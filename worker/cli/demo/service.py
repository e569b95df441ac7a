"""The HTTP service that the demo's items call: busy at the first call of each booking."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException


@asynccontextmanager
async def demo_service() -> AsyncIterator[str]:
    """Serve on a free port of loopback; yields the URL."""
    app, seen = FastAPI(openapi_url=None), set[str]()

    @app.post("/bookings/{number}")
    async def book(number: str) -> dict[str, str]:
        if number not in seen:
            seen.add(number)
            raise HTTPException(503, "busy, come again", {"Retry-After": "1"})
        return {"booked": number}

    listener = socket.create_server(("127.0.0.1", 0))
    options = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", loop="asyncio")
    server = uvicorn.Server(options)
    # In a thread: only there does uvicorn leave the process's signals alone.
    serving = asyncio.create_task(asyncio.to_thread(server.run, [listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
