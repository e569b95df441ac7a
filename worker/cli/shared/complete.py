"""What the shell is offered for a word that is begun: queues, states, fields, settings, modules.

It is asked while somebody types, so it takes a second at most, and says nothing where it knows
nothing: a message would land in the middle of the line.
"""

import asyncio
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from worker._version import __version__

PATIENCE: Final = 1.0
"""Seconds that the server has to answer."""
MOST: Final = 500
"""Queues that are offered, and files that are looked into."""
DEPTH: Final = 3
STATES: Final = ("new", "processing", "successful", "failed")
_SKIPPED: Final = frozenset({"__pycache__", "build", "dist", "node_modules", "tests", "venv"})
_MARK: Final = b"handler("


def queue_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the queues that begin so, of the server that the line or the settings name."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found = asyncio.run(_queues(ctx.params))
    except Exception:  # whatever it is: whoever types is not to be disturbed
        return []
    return [name for name in found if name.startswith(incomplete)]


async def _queues(given: dict[str, Any]) -> list[str]:
    # Here and not above: no command needs it to run.
    from worker.management.queues.store import COLLECTION, TYPE
    from worker.openiap.factory import make_client
    from worker.settings import load

    said = dict(text.partition("=")[::2] for text in given.get("assignments") or ())
    overrides = {**said, "url": given.get("url"), "client": "native", "log_level": "error"}
    settings = load(overrides, file=given.get("settings")).settings
    async with asyncio.timeout(PATIENCE):
        client = make_client(settings, __version__)
        try:
            await client.connect(timeout=PATIENCE)
            documents = await client.query(
                COLLECTION, {"_type": TYPE}, projection={"name": 1}, top=MOST
            )
        finally:
            await client.disconnect()
    return sorted(str(document["name"]) for document in documents if document.get("name"))


def states(incomplete: str) -> list[str]:
    """Return the states of items that begin so."""
    return [state for state in STATES if state.startswith(incomplete)]


def error_kinds(incomplete: str) -> list[str]:
    """Return the kinds of errors that begin so."""
    return [kind for kind in ("business", "application") if kind.startswith(incomplete)]


def sort_fields(incomplete: str) -> list[str]:
    """Return what lists of items can be sorted by and begins so."""
    from worker.management.items.types import SORT_FIELDS

    return [name for name in SORT_FIELDS if name.startswith(incomplete)]


def settings_names(incomplete: str) -> list[str]:
    """Return ``NAME=`` of the settings that begin so; secrets are not for a command line."""
    from worker.settings import SECRETS, Settings

    wanted = incomplete.replace("-", "_")
    names = sorted(Settings.model_fields.keys() - SECRETS)
    return [f"{name}=" for name in names if name.startswith(wanted)]


def handler_modules(incomplete: str) -> list[str]:
    """Return the modules below the working directory that seem to hold handlers and begin so."""
    try:
        found = [".".join(path.with_suffix("").parts) for path in _python_files(Path())]
    except OSError:
        return []
    names = sorted(name.removesuffix(".__init__") for name in found)
    return [name for name in names if name.startswith(incomplete)]


def _python_files(root: Path) -> Iterator[Path]:
    looked = 0
    for here, folders, files in os.walk(root):
        below = Path(here).relative_to(root)
        folders[:] = (
            [] if len(below.parts) + 1 >= DEPTH else sorted(filter(_is_looked_into, folders))
        )
        if (Path(here) / "pyvenv.cfg").exists():
            folders.clear()
            continue
        for name in sorted(files):
            if not name.endswith(".py"):
                continue
            looked += 1
            if looked > MOST:
                return
            with contextlib.suppress(OSError), open(Path(here) / name, "rb") as file:
                if _MARK in file.read(1 << 16):
                    yield below / name


def _is_looked_into(folder: str) -> bool:
    return folder.isidentifier() and folder not in _SKIPPED
