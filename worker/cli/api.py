"""``api``: what operators see and do, over HTTP."""

from pathlib import Path
from typing import Annotated, Final

import typer

from worker.cli.shared.client import run_async
from worker.cli.shared.complete import handler_modules
from worker.cli.shared.errors import usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AllOptions
from worker.cli.shared.output import print_json, show_facts, to_stdout
from worker.cli.shared.serving import (
    AddressAsJson,
    Certificate,
    CertificateKey,
    Host,
    Port,
    ReadOnly,
    served,
)

PORT: Final = 8090


@grouped
def api(
    host: Host = "127.0.0.1",
    port: Port = PORT,
    certificate: Certificate = None,
    key: CertificateKey = None,
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy",
            help="A proxy with https stands in front, passes Host on and writes X-Forwarded-For.",
        ),
    ] = False,
    read_only: ReadOnly = False,
    contracts: Annotated[
        Path | None,
        typer.Option(
            "--contracts",
            metavar="FILE",
            help="Hold payloads that are pushed or patched to these contracts: a file of"
            " openiap-worker contract. Default: they are not checked.",
        ),
    ] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            "--handlers",
            metavar="MODULE",
            help="Modules with handlers whose schedules can be fired through it, since their code"
            " makes the payload; may be given several times. Default: none.",
            autocompletion=handler_modules,
        ),
    ] = None,
    as_json: AddressAsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Serve what operators see and do as an API over HTTP, with OpenAPI under /api/v1.

    Who asks signs in as a user of OpenIAP, and every call has that user's rights. The credentials
    of the settings are used for nobody.
    """
    # Here and not above: FastAPI is for this command and the server alone.
    from worker.management.api.api import Api
    from worker.management.api.app import application
    from worker.management.api.options import ApiOptions
    from worker.management.api.server import ApiServer, Serving, ServingError
    from worker.telemetry.standard_logging import StandardLogging
    from worker.web_server import told_to_stop

    serving = Serving(host, port, certificate, key, behind_proxy)
    found = served(given, contracts, handlers)
    log = found.log

    async def serve() -> None:
        options = ApiOptions(
            read_only=read_only,
            https=serving.https,
            behind_proxy=behind_proxy,
            hosts=serving.hosts,
        )
        state = Api(
            found.settings, options, log, contracts=found.contracts, schedules=found.schedules
        )
        spoken = StandardLogging(log)
        spoken.start()
        try:
            with told_to_stop() as stop:
                async with ApiServer(application(state), serving) as server:
                    _announce(server.url, found.settings.url, as_json=as_json, read_only=read_only)
                    await stop.wait()
        finally:
            spoken.stop()

    try:
        serving.check()
        run_async(serve(), busy=True)
    except ServingError as error:
        raise usage_error(str(error)) from error


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
