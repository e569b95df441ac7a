"""Serves the console: what ``console``, ``dev`` and ``demo`` start."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from worker.console.app import console
from worker.engine.scheduler.timetable import Fireable
from worker.management.api.api import Api
from worker.management.api.options import ApiOptions
from worker.management.api.server import ApiServer, Serving
from worker.producer.producer import Checks
from worker.settings import Settings
from worker.telemetry.log import Log


@asynccontextmanager
async def serve_console(
    settings: Settings,
    serving: Serving,
    log: Log,
    *,
    read_only: bool = False,
    contracts: Checks | None = None,
    schedules: Sequence[Fireable] | None = None,
    sources: Mapping[str, str] | None = None,
) -> AsyncIterator[str]:
    """Serve pages and API inside ``with``, once a process; gives the address.

    Args:
        settings: where OpenIAP is; the credentials are used for nobody.
        read_only: whether whatever would change anything is refused.
        contracts: what payloads are held to.
        schedules: those that can be fired.
        sources: where the value of each setting came from, for the page that shows them.

    Raises:
        ServingError: it may not be served so, or the port is taken.
        SocketsError: this version of NiceGUI is another than those that are known.
    """
    options = ApiOptions(
        read_only=read_only,
        https=serving.https,
        behind_proxy=serving.behind_proxy,
        hosts=serving.hosts,
    )
    api = Api(settings, options, log, contracts=contracts, schedules=schedules, sources=sources)
    async with ApiServer(console(api), serving, websockets=True) as server:
        yield server.url
