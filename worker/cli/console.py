"""``console``: pages in a browser, and the API, in one process."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.shared.client import run_async
from worker.cli.shared.complete import handler_modules
from worker.cli.shared.console import PORT, require_console
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


@grouped
def console(
    host: Host = "127.0.0.1",
    port: Port = PORT,
    certificate: Certificate = None,
    key: CertificateKey = None,
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy",
            help="A proxy with https stands in front, passes Host and websockets on and writes"
            " X-Forwarded-For.",
        ),
    ] = False,
    read_only: ReadOnly = False,
    contracts: Annotated[
        Path | None,
        typer.Option(
            "--contracts",
            metavar="FILE",
            help="Hold payloads that are changed to these contracts: a file of openiap-worker"
            " contract. Default: they are not checked.",
        ),
    ] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            "--handlers",
            metavar="MODULE",
            help="Modules with handlers whose schedules can be fired here, since their code makes"
            " the payload; may be given several times. Default: none.",
            autocompletion=handler_modules,
        ),
    ] = None,
    as_json: AddressAsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Serve pages to see and steer from a browser, and the API beside them.

    Whoever opens them signs in as a user of OpenIAP, and sees and does what that user may. The
    credentials of the settings are used for nobody.
    """
    require_console()
    # Here and not above: NiceGUI and the server are for this command alone.
    from worker.console.serving import serve_console
    from worker.management.api.server import Serving, ServingError
    from worker.telemetry.standard_logging import StandardLogging
    from worker.web_server import told_to_stop

    serving = Serving(host, port, certificate, key, behind_proxy)
    found = served(given, contracts, handlers)
    log = found.log

    async def serve() -> None:
        spoken = StandardLogging(log)
        spoken.start()
        try:
            with told_to_stop() as stop:
                async with serve_console(
                    found.settings,
                    serving,
                    log,
                    read_only=read_only,
                    contracts=found.contracts,
                    schedules=found.schedules,
                    sources=found.loaded.sources,
                ) as url:
                    _announce(url, found.settings.url, as_json=as_json, read_only=read_only)
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
        print_json({"url": address, "openiap": openiap}, on_one_line=True)
        return
    out = to_stdout()
    out.print("[bold]Console of openiap-worker[/bold]" + (" (read-only)" if read_only else ""))
    rows = [("pages", f"{address}/"), ("API", f"{address}/api/v1"), ("OpenIAP", openiap)]
    show_facts(out, rows)
    out.print("Ctrl-C stops it.", style="dim")
