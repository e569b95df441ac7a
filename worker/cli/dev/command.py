"""``dev``: the local server and the worker, and the worker anew whenever the code changes."""

import os
import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.shared.client import run_async
from worker.cli.shared.console import has_console, require_console
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.handlers import both, settings_with_handlers
from worker.cli.shared.options import ClientName, Handlers, Modules, Options, Set, SettingsFile
from worker.cli.shared.paths import shown

FOLDER = Path(".openiap")


def dev(
    modules: Modules = None,
    handlers: Handlers = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The server's port; 0: a free one.")
    ] = 3000,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="FOLDER", help="Where items and state are kept."),
    ] = FOLDER,
    in_memory: Annotated[
        bool,
        typer.Option("--in-memory", help="Keep nothing: all is gone at the end."),
    ] = False,
    watch: Annotated[
        list[Path] | None,
        typer.Option(
            "--watch",
            metavar="PATH",
            help="A folder or file whose changes count; may be given several times. Default: the"
            " working directory.",
        ),
    ] = None,
    console: Annotated[
        bool | None,
        typer.Option(
            "--console/--no-console",
            help="Open pages in a browser on it. Default: where openiap-worker[console] is"
            " installed.",
            show_default=False,
        ),
    ] = None,
    settings: SettingsFile = None,
    client: ClientName = None,
    assignments: Set = None,
) -> None:
    """Develop: a local server and the worker, which takes new code as you save it.

    Items in flight finish on the code that they began with. Code that does not import is shown, and
    the old code goes on. Queues of the handlers are made by themselves. Ctrl-C stops all.
    """
    # Here and not above: the server, the engine and watchfiles are for this command alone.
    from worker.cli.dev.session import DevOptions, DevSession
    from worker.localserver import ServerStartError

    if console:
        require_console()
    given = Options(None, settings, client, assignments)
    loaded = settings_with_handlers(given, both(modules, handlers))
    for path in watch or ():
        if not os.path.exists(path):
            raise usage_error(f"--watch {shown(path)}: there is no such file or folder.")
    overrides = {
        name: getattr(loaded.settings, name)
        for name, source in loaded.sources.items()
        if source == "command line"
    }
    session = DevSession(
        DevOptions(
            overrides=overrides,
            settings_file=str(settings) if settings else "",
            folder=Path.cwd(),
            port=port,
            data=None if in_memory else data,
            watch=tuple(watch or (Path.cwd(),)),
            drain=loaded.settings.drain_timeout,
            cancel=loaded.settings.cancel_timeout,
            console=loaded.settings if has_console() and console is not False else None,
        )
    )
    try:
        run_async(session.run(), busy=True)
    except ServerStartError as error:
        raise CommandError(f"{error}. Choose another with --port.") from error
    except (OSError, sqlite3.Error) as error:
        said = error.strerror if isinstance(error, OSError) else ""
        raise CommandError(f"--data {data}: {said or error}.") from error
