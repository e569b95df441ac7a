"""Whether there is what the console needs, and a console on a local server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from worker.cli.shared.errors import usage_error
from worker.settings import Settings
from worker.telemetry.log import Log
from worker.web_server import listening_socket

if TYPE_CHECKING:
    from worker.engine.scheduler.timetable import Fireable
    from worker.producer.producer import Checks

PORT: Final = 8090
MISSING: Final = (
    "The console needs NiceGUI, which is not installed here:"
    ' pip install "openiap-worker[console]" brings it.'
)


def has_console() -> bool:
    """Say whether the extra is installed."""
    return find_spec("nicegui") is not None


def require_console() -> None:
    """Refuse to go on without the extra.

    Raises:
        CommandError: it is not installed; the text says how to get it.
    """
    if not has_console():
        raise usage_error(MISSING)


@asynccontextmanager
async def local_console(
    settings: Settings,
    log: Log,
    *,
    schedules: "Sequence[Fireable] | None" = None,
    contracts: "Checks | None" = None,
) -> AsyncIterator[str]:
    """Serve a console inside ``with``, on its usual port or else a free one; gives the address.

    Args:
        settings: where the server is.
        schedules: those that can be fired.
        contracts: what payloads are held to that somebody edits.
    """
    # Here and not above: they bring NiceGUI and the server along.
    from worker.console.serving import serve_console
    from worker.management.api.server import Serving

    native = settings.model_copy(update={"client": "native"})
    port = PORT if _is_free(PORT) else 0
    serving = Serving(port=port)
    async with serve_console(native, serving, log, contracts=contracts, schedules=schedules) as url:
        yield url


def _is_free(port: int) -> bool:
    try:
        listening_socket("127.0.0.1", port).close()
    except OSError:
        return False
    return True
