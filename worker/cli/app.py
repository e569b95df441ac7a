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
from functools import lru_cache
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from worker._version import __version__
from worker.cli.shared.errors import FAILED, USAGE_ERROR, CommandError, explain, usage_error
from worker.cli.shared.flags import without_types
from worker.cli.shared.usage import as_sentence
from worker.settings import is_text
from worker.standard_streams import open_standard_streams

HELP = """The work item worker for OpenIAP: typed Python functions, and no item lost.

Try it: [bold]openiap-worker demo[/bold]. Work: [bold]openiap-worker run --handlers MODULE[/bold].
"""

PATHS: Final = frozenset(
    {
        *("--handlers", "--settings", "--data", "--watch", "--file", "--from", "--output", "-o"),
        *("--check", "--keep", "--python", "--wheel", "--out", "--contracts"),
        *("--certificate", "--key"),
    }
)
"""Options that take paths."""
WITH_PATHS: Final = frozenset({"run", "dev", "contract", "doctor", "package"})
"""Commands whose arguments are paths."""
MOST_SHOWN: Final = 200

OWN_DEBUG = frozenset({"replay"})
"""Commands to which --debug means more than a traceback."""

VERSION: Final = "--version"

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
    "breakers",
    "workers",
    "top",
    "schedules",
    "api",
    "console",
    "retention",
    "package",
    "scaler",
    "contract",
    "doctor",
    "guide",
)
"""Each is ``worker.cli.NAME``, in the order of the help."""
GROUPS: Final = frozenset({"items", "queues", "breakers", "workers", "schedules", "package"})
"""Those that have commands of their own: their file's ``app``; of the others it is ``NAME``."""
FOLDERS: Final = frozenset(
    {
        *("demo", "new", "dev", "items", "replay", "queues", "top", "doctor", "package"),
        *("scaler", "guide", "workers"),
    }
)
"""Those with more than one file: the command is in ``worker.cli.NAME.command``."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openiap-worker {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(VERSION, callback=_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something goes wrong.")
    ] = False,
) -> None:
    """Hold the options of the command itself; ``main`` acts on ``--debug`` before typer does."""


def command_line(first: str = "") -> typer.Typer:
    """Return the command line.

    Args:
        first: the first word; where it is a command, that one alone is imported, and none where it
            asks for the version.
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
    wanted = (first,) if first in COMMANDS else () if first == VERSION else COMMANDS
    for name in wanted:
        inside = ".command" if name in FOLDERS else ""
        room = import_module(f"worker.cli.{name}{inside}")
        if name in GROUPS:
            app.add_typer(room.app, name=name)
        else:
            app.command(name)(getattr(room, name))
    return app


def check_text(given: Sequence[str]) -> None:
    """Refuse arguments that are no UTF-8 text, save for paths, which need not be.

    Raises:
        CommandError: one is none; the text names it.
    """
    for place, argument in enumerate(given):
        if is_text(argument) and "\0" not in argument:
            continue
        option = argument.partition("=")[0] if argument.startswith("-") else given[place - 1]
        by_place = place > 0 and not option.startswith("-")
        is_path = given[0] in WITH_PATHS if by_place else option in PATHS
        if "\0" in argument or not is_path:
            name = f"{option} " if option.startswith("-") and option != argument else ""
            value = argument.removeprefix(f"{option}=")
            raise usage_error(f"{name}{value[:MOST_SHOWN]!a}: allowed: UTF-8 text, without NUL.")


def check_folder() -> None:
    """Refuse to begin where there is nothing: settings and handlers are looked for here.

    Raises:
        CommandError: the working directory was removed.
    """
    try:
        os.getcwd()
    except OSError as error:
        reason = error.strerror or error
        raise usage_error(f"The working directory: {reason}; change to another one.") from error


def use_any_encoding() -> None:
    """Let an old code page (Windows) show "?" for what it lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="replace")


def reader_gone() -> int:
    """Forget what is left for whoever went away (``… | head``): it has nowhere to go."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nothing, stream.fileno())
    os.close(nothing)
    return FAILED


def ending(code: int, *, told: bool = False) -> int:
    """Write what is left to be written, and return the exit code; Python would do it too late, and
    show a traceback of its own.

    Args:
        told: whether somebody was told already what went wrong.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return reader_gone()
    except OSError as error:
        if not told:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"Input or output: {error.strerror or error}.\n")
                sys.stderr.flush()
        return reader_gone()
    except (ValueError, AttributeError):  # closed, or taken away by a handler
        return code
    return code


@lru_cache
def _parser(first: str) -> Any:
    """Return what parses and runs a command; made once, where more than one is run in a process."""
    return without_types(typer.main.get_command(command_line(first)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: instead of the process's own.
    """
    open_standard_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    first = next((argument for argument in given if not argument.startswith("-")), "")
    if first not in OWN_DEBUG:
        given = [argument for argument in given if argument != "--debug"]
    use_any_encoding()
    try:
        check_text(given)
        check_folder()
        first = given[0] if given and given[0] in (*COMMANDS, VERSION) else ""
        code = _parser(first)(args=given, prog_name="openiap-worker", standalone_mode=False)
        return ending(code if isinstance(code, int) else 0)
    except SystemExit as stop:
        return ending(stop.code if isinstance(stop.code, int) else FAILED)
    except BrokenPipeError:
        return reader_gone()
    except typer.Abort:
        problem = CommandError("Nothing was done.")
    except Exception as error:  # the end of the line: what nobody expected is told as a bug
        if type(error).__name__ == "NoArgsIsHelpError":
            return ending(USAGE_ERROR)  # the help was shown
        if hasattr(error, "format_message"):  # the command line's library found wrong use
            problem = as_sentence(error, given)
        elif debug:
            raise
        else:
            problem = explain(error)
    return _told(problem)


def _told(problem: CommandError) -> int:
    # Here and not above: the console library is most of what an error needs, and no worker.
    from worker.cli.shared.output import safe, to_stderr

    with contextlib.suppress(OSError):
        to_stderr().print(safe(problem.text), style="red", soft_wrap=True, highlight=False)
    return ending(problem.code, told=True)
