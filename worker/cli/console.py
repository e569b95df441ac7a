"""``console``: pages in a browser, and the API, in one process."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.shared.client import run_async
from worker.cli.shared.complete import handler_modules
from worker.cli.shared.console import PORT, require_console
from worker.cli.shared.errors import usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.handlers import handlers_of
from worker.cli.shared.options import AllOptions, settings_of
from worker.cli.shared.output import print_json, show_facts, to_stdout


@grouped
def console(
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on; beyond this machine with --certificate or --behind-proxy.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="0 takes a free one.")
    ] = PORT,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="Serve https: a certificate, PEM."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The certificate's key, PEM, unencrypted."),
    ] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy",
            help="A proxy with https stands in front, passes Host and websockets on and writes"
            " X-Forwarded-For.",
        ),
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse whatever would change anything.")
    ] = False,
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address as JSON once it listens.")
    ] = False,
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
    from worker.openiap.factory import NO_URL
    from worker.telemetry.log import Log, as_it_is
    from worker.telemetry.log_forms import form_for
    from worker.telemetry.standard_logging import StandardLogging
    from worker.web_server import told_to_stop

    loaded = settings_of(given)
    chosen = loaded.settings
    if not chosen.url:
        raise usage_error(NO_URL)
    if "client" not in loaded.sources:  # it alone changes items on a condition
        chosen = chosen.model_copy(update={"client": "native"})
    serving = Serving(host, port, certificate, key, behind_proxy)
    checks = None
    if contracts is not None:
        from worker.app.contracts import Contracts  # brings jsonschema along

        checks = Contracts.read(contracts)
    schedules = None
    if handlers:
        from worker.engine.scheduler.timetable import timetable

        schedules = timetable(handlers_of(given, handlers)[1], datetime.now(UTC))
    log = Log(
        chosen.log_level,
        form=form_for(chosen.log_format, loaded.environment, sys.stderr),
        write=as_it_is,
    )

    async def serve() -> None:
        spoken = StandardLogging(log)
        spoken.start()
        try:
            with told_to_stop() as stop:
                async with serve_console(
                    chosen,
                    serving,
                    log,
                    read_only=read_only,
                    contracts=checks,
                    schedules=schedules,
                    sources=loaded.sources,
                ) as url:
                    _announce(url, chosen.url, as_json=as_json, read_only=read_only)
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
