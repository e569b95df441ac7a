"""The handlers that a command is about: those of the settings, or of ``--handlers``."""

from typing import Annotated

import typer

from worker.app.registry import Registry, load_modules
from worker.cli.run import NO_HANDLERS
from worker.cli.shared.options import Given, settings_of
from worker.cli.shared.problems import wrong_use
from worker.settings import Settings

Handlers = Annotated[
    list[str] | None,
    typer.Option(
        "--handlers",
        metavar="MODULE",
        help="A module with handlers, by name or as a .py file; may be given several times.",
    ),
]


def handlers_of(given: Given, modules: list[str] | None) -> tuple[Settings, Registry]:
    """Return the settings, and the handlers as a worker with them has them.

    Raises:
        Problem: no modules.
        HandlerError: a module that cannot be imported, or handlers that cannot be.
        SettingsError: an unknown or invalid setting.
    """
    # Here and not above: see ``run``.
    from worker.app.registry import chosen

    settings = settings_of(given, handlers=tuple(modules) if modules else None).settings
    if not settings.handlers:
        raise wrong_use(NO_HANDLERS)
    registry = Registry(load_modules(settings.handlers))
    return settings, chosen(registry, settings.work_queues())
