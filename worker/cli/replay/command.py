"""``replay``: run the handler of an existing item here, and see what it would do."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.app.registry import Registry, load_modules
from worker.cli.shared.client import run_async, signed_in
from worker.cli.shared.errors import FAILED, CommandError, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.handlers import settings_with_handlers
from worker.cli.shared.options import AsJson, Handlers, Options
from worker.cli.shared.output import print_json, safe, to_stderr, to_stdout
from worker.errors import Retry, Skip
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.app.application import Application
    from worker.testing.replay import Replayed

NO_DEBUGPY = "--debugger needs debugpy, which is not installed: pip install debugpy."


@grouped
def replay(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="The item's id.")],
    handlers: Handlers = None,
    send: Annotated[
        bool,
        typer.Option(
            "--send", help="Let the handler write, and write the outcome to the item at the end."
        ),
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", min=1, help="Which attempt to play. Default: the item's next."),
    ] = None,
    from_step: Annotated[
        str,
        typer.Option(
            "--from-step",
            metavar="STEP",
            help="Run this stored step again, and all that came after it.",
        ),
    ] = "",
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Open the debugger where the handler raised. No timeouts."),
    ] = False,
    debugger: Annotated[
        int | None,
        typer.Option(
            "--debugger",
            metavar="PORT",
            min=1,
            max=65535,
            help="Wait for a debugger (debugpy: VS Code, PyCharm) on this port. No timeouts.",
        ),
    ] = None,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Run the handler of an item here and show what it would change; nothing is sent.

    The item is read, not popped: it keeps its state and its attempts. What the handler itself would
    write to OpenIAP is held back and shown. Exit code 1 if the outcome is not successful.
    """
    # Here and not above: the engine takes as long to import as all the rest.
    from worker.cli.replay.view import as_data, show_replay
    from worker.testing.replay import ReplayRefused

    chosen = settings_with_handlers(given, handlers).settings
    if debugger is not None and find_spec("debugpy") is None:
        raise usage_error(NO_DEBUGPY)
    application = load_modules(chosen.handlers)
    log = to_stderr()
    with tempfile.TemporaryDirectory(
        prefix="openiap-worker-replay-", ignore_cleanup_errors=True
    ) as folder:
        try:
            played = run_async(
                _play(
                    chosen,
                    item,
                    application,
                    Path(folder),
                    send=send,
                    attempt=attempt,
                    from_step=from_step,
                    free=debug or debugger is not None,
                    before=lambda: _await_debugger(debugger),
                    say=lambda line: log.print(safe(line), style="dim", soft_wrap=True),
                )
            )
        except ReplayRefused as error:
            raise CommandError(str(error)) from error
        if as_json:
            print_json(as_data(played, sent=send))
        else:
            show_replay(to_stdout(), played, sent=send)
        raised = played.run.error
        if debug and raised is not None and not isinstance(raised, Retry | Skip):
            _post_mortem(raised)
    if played.run.outcome.kind != "successful":
        raise typer.Exit(FAILED)


async def _play(
    settings: Settings,
    id: str,
    application: "Application",
    folder: Path,
    *,
    send: bool,
    attempt: int | None,
    from_step: str,
    free: bool,
    before: Callable[[], None],
    say: Callable[[object], None],
) -> "Replayed":
    from worker.testing import replay as room

    async with signed_in(settings) as client:
        stored = await room.read(client, id)
        if send:
            room.refuse_to_send(stored)
        provided = frozenset(lifespan.provides for lifespan in application.lifespans)
        handler = Registry(application, resources=provided).for_queue(stored.queue).handler
        if free:
            handler = room.for_debugger(handler)
        before()
        played = await room.replay(
            stored,
            handler,
            client,
            folder,
            application=application,
            attempt=attempt,
            from_step=from_step,
            writes=send,
            namespace=settings.namespace,
            on_log=say,
        )
        if send:
            await room.send(client, played, namespace=settings.namespace)
    return played


def _await_debugger(port: int | None) -> None:
    if port is None:
        return
    debugpy: Any = import_module("debugpy")
    debugpy.listen(("127.0.0.1", port))
    to_stderr().print(f"Waiting for a debugger on 127.0.0.1:{port}.", style="bold")
    debugpy.wait_for_client()


def _post_mortem(error: BaseException) -> None:
    """Open pdb in the frame that raised."""
    import pdb

    to_stderr().print("The debugger is where the handler raised; q leaves it.", style="bold")
    with suppress(SystemExit):
        pdb.post_mortem(error.__traceback__)
