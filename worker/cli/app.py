"""``openiap-worker``: puts the commands together and turns errors into one sentence.

1. Every error that this package raises on purpose is shown as a sentence that says what to do.
2. Exit codes: 0 done, 1 it did not work, 2 wrong use or wrong settings.
3. ``--debug``, anywhere on the line, shows the traceback instead.
4. Only the command that is asked for is imported: a worker that is started for one item would spend
   a third of its start on pages, tables and progress bars of the others.
"""

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from worker._version import __version__
from worker.cli.shared.errors import FAILED, explain
from worker.forks import open_standard_streams

HELP = """The work item worker for OpenIAP: typed Python functions, and no item lost.

Try it: [bold]openiap-worker demo[/bold]. Work: [bold]openiap-worker run --handlers MODULE[/bold].
"""

OWN_DEBUG = frozenset({"replay"})
"""Commands to which --debug means more than a traceback."""

COMMANDS: Final = (
    "demo",
    "run",
    "new",
    "dev",
    "server",
    "push",
    "items",
    "replay",
    "queues",
    "schedules",
    "retention",
    "package",
    "contract",
    "doctor",
    "guide",
)
"""Each is ``worker.cli.NAME``, in the order of the help."""
GROUPS: Final = frozenset({"items", "queues", "schedules", "package"})
"""Those that have commands of their own: their file's ``app``; of the others it is ``NAME``."""
FOLDERS: Final = frozenset({"demo", "new", "dev", "replay", "doctor", "package", "guide"})
"""Those with more than one file: the command is in ``worker.cli.NAME.command``."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openiap-worker {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something goes wrong.")
    ] = False,
) -> None:
    """Hold the options of the command itself; ``main`` acts on ``--debug`` before typer does."""


def command_line(first: str = "") -> typer.Typer:
    """Return the command line.

    Args:
        first: the first word; where it is a command, that one alone is imported.
    """
    app = typer.Typer(
        name="openiap-worker",
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in (first,) if first in COMMANDS else COMMANDS:
        inside = ".command" if name in FOLDERS else ""
        room = import_module(f"worker.cli.{name}{inside}")
        if name in GROUPS:
            app.add_typer(room.app, name=name)
        else:
            app.command(name)(getattr(room, name))
    return app


def use_any_encoding() -> None:
    """Let an old code page (Windows) show "?" for what it lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: instead of the process's own.
    """
    open_standard_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    command = next((argument for argument in given if not argument.startswith("-")), "")
    if command not in OWN_DEBUG:
        given = [argument for argument in given if argument != "--debug"]
    use_any_encoding()
    try:
        app = command_line(given[0] if given else "")
        app(args=given, prog_name="openiap-worker")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    except BrokenPipeError:
        # The reader went away (``… | head``); what is left in the buffer has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # the end of the line: what nobody expected is told as a bug
        if debug:
            raise
        # Here and not above: the console library is most of what an error needs, and no worker.
        from worker.cli.shared.output import safe, to_stderr

        problem = explain(error)
        console = to_stderr()
        console.print(safe(problem.text), style="red", soft_wrap=True, highlight=False)
        return problem.code
    return 0
