"""``contract``: what the handlers take and give, for those who push to them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from worker.app.checked import checked
from worker.app.contracts import contracts_of
from worker.app.registry import load_modules
from worker.cli.shared.errors import FAILED, usage_error
from worker.cli.shared.handlers import both, settings_with_handlers
from worker.cli.shared.options import Handlers, Modules, Options, Set, SettingsFile
from worker.cli.shared.output import safe, to_stderr
from worker.cli.shared.paths import read, shown, write


def contract(
    modules: Modules = None,
    handlers: Handlers = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="FILE",
            help="Write nothing; exit code 1 if the file is not what the handlers say now.",
        ),
    ] = None,
    settings: SettingsFile = None,
    assignments: Set = None,
) -> None:
    """Write the contracts of all handlers: JSON Schema of payload and result, files, error codes.

    Who pushes from elsewhere holds pushes to them with worker.Contracts.
    """
    if output is not None and check is not None:
        raise usage_error("--output and --check: give one of them.")
    given = Options(None, settings, None, assignments)
    chosen = settings_with_handlers(given, both(modules, handlers)).settings
    found = checked(load_modules(chosen.handlers))
    contracts = contracts_of(found)
    text = json.dumps(contracts, indent=2, ensure_ascii=False)
    if check is not None:
        _compare(check, text)
    elif output is not None:
        write(output, "--output", text + "\n")
        to_stderr().print(safe(f"{shown(output)} written"), soft_wrap=True)
    else:
        typer.echo(text)


def _compare(file: Path, text: str) -> None:
    try:
        stored = json.loads(read(file, "--check"))
    except (ValueError, RecursionError) as error:
        raise usage_error(f"--check {shown(file)} is not JSON: {error}.") from error
    if stored == json.loads(text):
        to_stderr().print(safe(f"{shown(file)} is what the handlers say"), soft_wrap=True)
        return
    queues, now = stored.get("queues") if isinstance(stored, dict) else None, json.loads(text)
    queues, now = queues if isinstance(queues, dict) else {}, now["queues"]
    changed = sorted(name for name in {*queues, *now} if queues.get(name) != now.get(name))
    to_stderr().print(
        safe(
            f"{shown(file)} is not what the handlers say; changed:"
            f" {', '.join(changed) or 'its format'}."
            f" Write it anew: openiap-worker contract --output {shown(file)}"
        ),
        style="red",
        soft_wrap=True,
    )
    raise typer.Exit(FAILED)
