"""``doctor``: is everything there that a worker needs?"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.shared.client import run_async
from worker.cli.shared.errors import FAILED
from worker.cli.shared.groups import grouped
from worker.cli.shared.handlers import both
from worker.cli.shared.options import AllOptions, AsJson, Handlers, Modules, settings_of
from worker.cli.shared.output import many, print_json, safe, show, to_stdout
from worker.settings import Loaded, Settings

if TYPE_CHECKING:
    from worker.cli.doctor.checks import Check

STYLES: Final = {"ok": "green", "note": "yellow", "failed": "bold red"}


@grouped
def doctor(
    modules: Modules = None,
    handlers: Handlers = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Show only settings that are not at their default.")
    ] = False,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Check settings, server, sign-in, queues and clock; exit code 1 if something is wrong."""
    loaded = settings_of(
        given,
        handlers=tuple(both(modules, handlers)) or None,
    )
    shown = _settings(loaded, changed=changed)
    if as_json:
        checks = run_async(_checks(loaded.settings, lambda _: None))
        columns = ("name", "value", "source")
        print_json(
            {
                "settings": [dict(zip(columns, row, strict=True)) for row in shown],
                "checks": [check.as_json() for check in checks],
                "failed": sum(check.verdict == "failed" for check in checks),
            }
        )
    else:
        console = to_stdout()
        show(console, {"setting": "whole", "value": "", "from": "dim"}, shown)
        console.print()
        checks = run_async(_checks(loaded.settings, lambda check: _tell(console, check)))
    failed = sum(check.verdict == "failed" for check in checks)
    if not as_json:
        text = f"{many(failed, 'check')} failed." if failed else "Everything is there."
        console.print(f"\n{text}", style=STYLES["failed" if failed else "ok"])
    if failed:
        raise typer.Exit(FAILED)


async def _checks(settings: Settings, say: Callable[["Check"], None]) -> list["Check"]:
    """Run all checks, each told as soon as it is known."""
    # Here and not above: the checks look into everything, and no other command needs them.
    from worker.cli.doctor import checks

    found: list[Check] = []

    def add(check: "Check") -> None:
        found.append(check)
        say(check)

    handlers, queues = checks.of_handlers(settings)
    for check in (
        *checks.of_library(),
        *checks.of_client(settings),
        *checks.of_state(settings),
        *handlers,
    ):
        add(check)
    async for check in checks.of_server(settings):
        add(check)
    if settings.url:
        async for check in checks.of_sign_in(settings, queues):
            add(check)
    return found


def _settings(loaded: Loaded, *, changed: bool) -> list[tuple[str, str, str]]:
    return [
        (name, loaded.shown(name), loaded.sources.get(name, "default"))
        for name in Settings.model_fields
        if not changed or name in loaded.sources
    ]


def _tell(console: Console, check: "Check") -> None:
    """Write one check. A long answer is broken inside its own column on a terminal; elsewhere it
    stays one line, so that the commands in it are found and pasted whole."""
    if not console.is_terminal:
        console.print(_one_line(check), soft_wrap=True)
        return
    line = Table.grid(padding=(0, 1))
    line.add_column(width=6)
    line.add_column(width=9)
    line.add_column(overflow="fold")
    verdict = Text(check.verdict, style=STYLES[check.verdict])
    line.add_row(verdict, safe(check.name), safe(check.detail))
    console.print(line)


def _one_line(check: "Check") -> Text:
    verdict = f"{check.verdict:6} "
    return Text.assemble(verdict, safe(f"{check.name:9} "), safe(check.detail))
