"""The handlers that a command is about: those of the settings, or of ``--handlers``."""

from typing import Any, Final

from worker.app.checked import checked
from worker.app.registry import Registry, load_modules
from worker.cli.shared.errors import usage_error
from worker.cli.shared.options import Options, settings_of
from worker.settings import Loaded, Settings

NO_HANDLERS: Final = (
    "No handlers: name the modules that hold them with --handlers MODULE, OPENIAP_WORKER_HANDLERS,"
    ' or handlers = ["MODULE"] in config/worker.toml.'
)


def settings_with_handlers(given: Options, modules: list[str] | None, **more: Any) -> Loaded:
    """Collect the settings of a command that needs handlers.

    Args:
        given: the shared options.
        modules: what the command line names.
        more: as for ``settings_of``.

    Raises:
        CommandError: no modules.
        SettingsError: an unknown or invalid setting.
    """
    loaded = settings_of(given, handlers=tuple(modules) if modules else None, **more)
    if not loaded.settings.handlers:
        raise usage_error(NO_HANDLERS)
    return loaded


def both(modules: list[str] | None, handlers: list[str] | None) -> list[str]:
    """Return the modules that stand on the command line by themselves and behind ``--handlers``."""
    return [*(modules or ()), *(handlers or ())]


def handlers_of(given: Options, modules: list[str] | None) -> tuple[Settings, Registry]:
    """Return the settings, and the handlers as a worker with them has them.

    Raises:
        CommandError: no modules.
        HandlerError: a module that cannot be imported, or handlers that cannot be.
        SettingsError: an unknown or invalid setting.
    """
    settings = settings_with_handlers(given, modules).settings
    return settings, checked(load_modules(settings.handlers), settings.work_queues())
