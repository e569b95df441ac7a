"""``demo``: server, worker and items of all kinds in one process, with every result checked."""

import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.app.registry import load_modules
from worker.cli.demo.examples import examples
from worker.cli.demo.plan import MODULES
from worker.cli.demo.report import results, show_summary
from worker.cli.shared.client import run_async
from worker.cli.shared.console import require_console
from worker.cli.shared.errors import FAILED, usage_error
from worker.cli.shared.options import AsJson
from worker.cli.shared.output import many, print_json, safe, to_stderr, to_stdout

if TYPE_CHECKING:
    from worker.cli.demo.run import DemoResult

CLIENTS = ("official", "native")
NEXT: Final = (
    ("openiap-worker new my-robot", "a project of your own: handlers, settings, tests, an image"),
    ("cd my-robot", "what to type there is shown, and stands in its README"),
    ("openiap-worker guide", "the pages: operating, deploying and others"),
)
"""What somebody who has seen it work does next."""
SHOWN_PROBLEMS = 10


def demo(
    items: Annotated[int, typer.Option("--items", min=1, help="How many items to push.")] = 200,
    client: Annotated[
        str,
        typer.Option(
            "--client", metavar="official|native", help="Which implementation talks to the server."
        ),
    ] = "official",
    patience: Annotated[
        float, typer.Option("--timeout", min=1, max=86_400, help="Give up after so many seconds.")
    ] = 300.0,
    console: Annotated[
        bool,
        typer.Option("--console", help="Open pages in a browser on it, and stay until Ctrl-C."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """See it work: a local server, the worker with the example handlers, and 200 items.

    Some items succeed, some fail once and then succeed, some are business errors, some carry files,
    some go down a chain of two queues. Exit code 1 if any of them ends otherwise than expected.
    """
    if client not in CLIENTS:
        raise usage_error(f"--client {client}: allowed: {', '.join(CLIENTS)}.")
    if console:
        require_console()
    # Here and not above: the demo brings the local server and the engine along.
    from worker.cli.demo.run import run_demo
    from worker.web_server import told_to_stop

    folder, modules = examples(MODULES)
    handlers = load_modules(modules, folder=folder)
    if not as_json:
        to_stdout().print(
            f"[bold]openiap-worker demo[/bold]: {many(items, 'item')} over the real protocol,"
            f" local server, {client} client"
        )
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="openiap-worker-", ignore_cleanup_errors=True) as temp,
        _progress(hidden=as_json) as bar,
    ):

        async def stay(result: "DemoResult") -> None:
            bar.stop()
            _report(result, items, time.monotonic() - began, as_json=as_json)
            with told_to_stop() as stop:
                if not as_json:
                    to_stdout().print("The pages are open; Ctrl-C ends it.", style="dim")
                await stop.wait()

        result = run_async(
            run_demo(
                items,
                client,
                handlers,
                Path(temp),
                bar=bar,
                patience=patience,
                console=_opened if console else None,
                stay=stay if console else None,
            )
        )
    if not console:
        _report(result, items, time.monotonic() - began, as_json=as_json)
    if result.problems:
        raise typer.Exit(FAILED)


def _opened(url: str, credentials: tuple[str, str]) -> None:
    """Say where the pages are; on stderr, beside the progress and never in what is piped."""
    name, password = credentials
    to_stderr().print(safe(f"Pages: {url}/  sign in as {name} with {password}"), style="bold")


def _report(result: "DemoResult", pushed: int, took: float, *, as_json: bool) -> None:
    found = results(result.documents)
    if as_json:
        print_json(
            {
                "queues": [asdict(result) for result in found],
                "problems": result.problems,
                "seconds": round(took, 3),
            }
        )
        return
    console = to_stdout()
    console.print()
    show_summary(console, found)
    console.print("p50, p99: from push to finish.\n", style="dim")
    if not result.problems:
        # What one queue hands on to the next is an item there too, though nobody pushed it.
        handed_on = sum(result.pushed for result in found) - pushed
        led_to = f", and {handed_on} that they led to," if handed_on else ""
        console.print(
            f"{many(pushed, 'item')}{led_to} ended as expected, in {took:.1f} s.",
            style="bold green",
        )
        for command, what in NEXT:
            console.print(f"  [bold]{command:<30}[/bold]{what}")
        return
    for problem in result.problems[:SHOWN_PROBLEMS]:
        console.print(safe(problem), style="red")
    more = len(result.problems) - SHOWN_PROBLEMS
    if more > 0:
        console.print(f"and {more} more", style="red")
    console.print(
        f"{many(len(result.problems), 'thing')} did not end as expected.", style="bold red"
    )


def _progress(*, hidden: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=to_stderr(),
        disable=hidden,
    )
