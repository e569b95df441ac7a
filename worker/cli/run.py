"""``run``: the worker."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from worker._version import __version__
from worker.app.registry import load_modules
from worker.cli.shared.client import refused, run_async
from worker.cli.shared.complete import queue_names
from worker.cli.shared.errors import CommandError
from worker.cli.shared.groups import grouped
from worker.cli.shared.handlers import both, settings_with_handlers
from worker.cli.shared.options import AllOptions, Handlers, Modules
from worker.openiap.errors import AccessDenied
from worker.runloop import Restart
from worker.telemetry.printed import Printed

if TYPE_CHECKING:
    from worker.engine.daemon import Daemon


@grouped
def run(
    modules: Modules = None,
    handlers: Handlers = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            metavar="NAME",
            help="Work this queue only; may be given several times. Default: all with a handler.",
            autocompletion=queue_names,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Exit when the queues are empty.", show_default=False)
    ] = False,
    *,
    given: AllOptions,
) -> None:
    """Work the queues until SIGTERM or Ctrl-C.

    The first signal lets items in flight finish, a second one does not wait for them.
    """
    # Here and not above: the engine takes as long to import as all the rest, and no other command
    # but the demo needs it.
    from worker.engine.daemon import Daemon

    restart = Restart()
    loaded = settings_with_handlers(
        given,
        both(modules, handlers),
        queues=tuple(queue) if queue else None,
        once=True if once else None,
    )
    chosen = loaded.settings
    printed = Printed()

    async def work() -> int:
        daemon = Daemon(
            chosen,
            found,
            version=__version__,
            modules=chosen.handlers,
            environment=loaded.environment,
        )
        printed.use(daemon.telemetry.log)
        with _view(daemon):
            return await daemon.run()

    printed.start()
    try:
        found = load_modules(chosen.handlers)
        code = run_async(work(), busy=True)
    except AccessDenied as error:
        raise CommandError(refused(chosen, error.text)) from error
    finally:
        printed.stop()
    restart.after(code, chosen.lost_slots)
    if code:
        raise typer.Exit(code)


def _view(daemon: "Daemon") -> AbstractContextManager[object]:
    """Return what a terminal shows; nothing of it is loaded where there is none."""
    if not sys.stderr.isatty():
        return nullcontext()
    from worker.cli.run_view import RunView

    return RunView(daemon)
