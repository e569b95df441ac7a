"""A signed-in client for one command, and patience with the server's rate limit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random

from worker._version import __version__
from worker.cli.shared.around_calls import with_around
from worker.cli.shared.errors import CommandError
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, NotConnected, RateLimited, RequestTimeout
from worker.openiap.factory import make_client
from worker.runloop import run_long
from worker.settings import Settings

T = TypeVar("T")

PATIENCE: Final = 120.0
"""Seconds that one call may wait for the server's rate limit."""


def run_async(work: Coroutine[Any, Any, T], *, busy: bool = False) -> T:
    """Run a command's coroutine to its end.

    Args:
        work: what to run.
        busy: whether it runs for long and does much (``run_long``).
    """
    return run_long(work) if busy else asyncio.run(work)


def with_client(settings: Settings, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do a command's work with a signed-in client; raises what ``signed_in`` and the work raise."""

    async def connected() -> T:
        async with signed_in(settings) as client:
            return await work(client)

    return run_async(connected())


@asynccontextmanager
async def signed_in(settings: Settings) -> AsyncIterator[Client]:
    """Connect and sign in, with a client that is ``patient``; the link is closed at the end.

    Raises:
        SettingsError: no URL, or no credentials.
        CommandError: nobody answers there, or the credentials are refused.
    """
    client = make_client(settings, __version__)
    try:
        try:
            await client.connect()
        except AccessDenied as error:
            raise CommandError(refused(settings, error.text)) from error
        except (NotConnected, RequestTimeout) as error:
            raise CommandError(unreachable(settings, error.text)) from error
        yield patient(client)
    finally:
        await client.disconnect()


def refused(settings: Settings, text: str) -> str:
    """Return the sentence for refused credentials."""
    who = f"user {settings.username}" if settings.username else "the token"
    check = "OPENIAP_USERNAME and OPENIAP_PASSWORD" if settings.username else "jwt (OPENIAP_JWT)"
    return f"{settings.url} refused the sign-in of {who}: {text.rstrip('.')}. Check {check}."


def unreachable(settings: Settings, text: str) -> str:
    """Return the sentence for a server that does not answer."""
    reason = text.removeprefix(f"{settings.url}: ").rstrip(".")
    return (
        f"No OpenIAP server answers at {settings.url} ({reason})."
        " Start it, or correct the URL; for a local one: openiap-worker server."
    )


def patient(client: Client) -> Client:
    """Return a client whose calls go again while the server's rate limit refuses them.

    A refused call was not executed (server.md, Errors). After two minutes of it they raise
    ``RateLimited``.
    """

    async def patiently(call: Callable[[], Awaitable[Any]]) -> Any:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(RateLimited),
            wait=wait_random(1.0, 1.5),
            stop=stop_after_delay(PATIENCE),
            reraise=True,
        )
        return await retrying(call)

    return with_around(client, patiently)
