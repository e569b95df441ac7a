"""Both implementations of the door, each test with both at once: most of its time is waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

CLIENTS: Final = ("official", "native")

Body = Callable[[str, Path], Awaitable[None]]


async def with_both(body: Body, folder: Path) -> None:
    """Run a test's body with each client, at the same time, in a folder of its own."""

    async def one(client: str) -> None:
        own = folder / client
        own.mkdir()
        try:
            await body(client, own)
        except BaseException as error:
            error.add_note(f"with the {client} client")
            raise

    done = await asyncio.gather(*(one(client) for client in CLIENTS), return_exceptions=True)
    wrong = [error for error in done if isinstance(error, BaseException)]
    if len(wrong) > 1 and all(isinstance(error, Exception) for error in wrong):
        raise ExceptionGroup("with both clients", wrong)  # type: ignore[type-var]
    if wrong:
        raise wrong[0]


def both_clients(body: Body) -> Callable[[Path], Awaitable[None]]:
    """Make a test of a body that takes the client's name and a folder."""

    async def test(tmp_path: Path) -> None:
        await with_both(body, tmp_path)

    test.__name__ = body.__name__  # not wraps: pytest would look for the body's parameters
    test.__doc__ = body.__doc__
    test.__module__ = body.__module__
    return test
