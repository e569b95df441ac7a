"""The local server as a process of its own: runs until it is told to stop."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from worker.kept_memory import keep_freed
from worker.localserver.operations.options import ServerOptions
from worker.localserver.server import LocalServer
from worker.web_server import told_to_stop

MOST_BYTES: Final = 1024 * 1024
"""Of a file with users; a device would never end."""


async def serve(
    options: ServerOptions, *, on_ready: Callable[[LocalServer], None] = lambda _: None
) -> None:
    """Run a local server until SIGTERM or SIGINT.

    Args:
        options: how it is to run.
        on_ready: called once when clients can connect, with the server (URLs, credentials).

    Raises:
        ServerStartError: a port is taken.
        sqlite3.Error: the data cannot be opened.
    """
    keep_freed()
    with told_to_stop() as stopping:
        async with LocalServer(options) as server:
            on_ready(server)
            await stopping.wait()


def parse_users(given: Iterable[str]) -> dict[str, str]:
    """Return user names and passwords out of ``NAME:PASSWORD`` texts.

    ``@FILE`` stands for those in a file, one a line: what stands on a command line, everybody on
    the machine can see.

    Raises:
        ValueError: one is none, or a file cannot be read; the text never holds a password.
    """
    users = {}
    for user in _with_files(given):
        name, _, password = user.partition(":")
        if not (name and password):
            raise ValueError("takes NAME:PASSWORD, or @FILE with one such a line")
        users[name] = password
    return users


def _with_files(given: Iterable[str]) -> Iterator[str]:
    for user in given:
        if not user.startswith("@"):
            yield user
            continue
        try:
            with Path(user[1:]).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            lines = data.decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ValueError(f"{user}: {said}") from error
        if len(data) > MOST_BYTES:
            raise ValueError(f"{user}: it is larger than {MOST_BYTES:,} bytes")
        yield from (line.strip() for line in lines if line.strip())


def addresses(server: LocalServer, options: ServerOptions) -> dict[str, Any]:
    """Return what whoever started a server needs to know, for a line of JSON."""
    return {
        "ws": server.ws_url,
        "grpc": server.grpc_url,
        "http": server.http_url,
        "data": None if options.data is None else str(options.data),
        "users": list(options.users) or [server.credentials[0]],
        "pid": os.getpid(),
    }
