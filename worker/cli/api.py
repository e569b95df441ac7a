"""``api``: what operators see and do, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AllOptions
from worker.cli.shared.output import print_json, show_facts, to_stdout
from worker.cli.shared.serving import Port, Served, ServeOptions, serve_until_stopped

if TYPE_CHECKING:
    from worker.management.api.server import Serving

PORT: Final = 8090


@grouped
def api(
    port: Port = PORT,
    *,
    how: ServeOptions,
    given: AllOptions,
) -> None:
    """Serve what operators see and do as an API over HTTP, with OpenAPI under /api/v1.

    Who asks signs in as a user of OpenIAP, and every call has that user's rights. The credentials
    of the settings are used for nobody.
    """

    @asynccontextmanager
    async def opened(found: Served, serving: "Serving") -> AsyncIterator[str]:
        # Here and not above: FastAPI is for this command and the server alone.
        from worker.management.api.api import Api
        from worker.management.api.app import application
        from worker.management.api.options import ApiOptions
        from worker.management.api.server import ApiServer

        options = ApiOptions(
            read_only=how.read_only,
            https=serving.https,
            behind_proxy=how.behind_proxy,
            hosts=serving.hosts,
        )
        state = Api(
            found.settings,
            options,
            found.log,
            contracts=found.contracts,
            schedules=found.schedules,
        )
        async with ApiServer(application(state), serving) as server:
            yield server.url

    def announce(address: str, openiap: str) -> None:
        _announce(address, openiap, as_json=how.as_json, read_only=how.read_only)

    serve_until_stopped(how, port, given, opened, announce)


def _announce(address: str, openiap: str, *, as_json: bool, read_only: bool) -> None:
    if as_json:
        print_json({"url": f"{address}/api/v1", "openiap": openiap}, on_one_line=True)
        return
    console = to_stdout()
    console.print("[bold]API of openiap-worker[/bold]" + (" (read-only)" if read_only else ""))
    rows = [
        ("address", f"{address}/api/v1"),
        ("OpenAPI", f"{address}/api/v1/openapi.json"),
        ("OpenIAP", openiap),
    ]
    show_facts(console, rows)
    console.print("Ctrl-C stops it.", style="dim")
