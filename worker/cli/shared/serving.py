"""What the commands that listen for operators have in common: ``api`` and ``console``."""

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.shared.client import run_async
from worker.cli.shared.complete import handler_modules
from worker.cli.shared.errors import usage_error
from worker.cli.shared.handlers import handlers_of
from worker.cli.shared.options import AllOptions, settings_of
from worker.settings import Loaded, Settings
from worker.telemetry.log import Log

if TYPE_CHECKING:
    from worker.app.contracts import Contracts
    from worker.engine.scheduler.timetable import ScheduleEntry
    from worker.management.api.server import Serving

Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="0 takes a free one.")
]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How something is served, and to whom: options as they were given."""

    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on; beyond this machine with --certificate or --behind-proxy.",
        ),
    ] = "127.0.0.1"
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="Serve https: a certificate, PEM."),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The certificate's key, PEM, unencrypted."),
    ] = None
    behind_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-proxy",
            help="A proxy with https stands in front, passes Host (and for pages websockets) on and"
            " writes X-Forwarded-For.",
        ),
    ] = False
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse whatever would change anything.")
    ] = False
    contracts: Annotated[
        Path | None,
        typer.Option(
            "--contracts",
            metavar="FILE",
            help="Hold payloads that are pushed or changed to these contracts: a file of"
            " openiap-worker contract. Default: they are not checked.",
        ),
    ] = None
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            "--handlers",
            metavar="MODULE",
            help="Modules with handlers whose schedules can be fired here, since their code makes"
            " the payload; may be given several times. Default: none.",
            autocompletion=handler_modules,
        ),
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address as JSON once it listens.")
    ] = False


@dataclass(frozen=True, slots=True)
class Served:
    """What is served for whom.

    Attributes:
        loaded: the settings, with where each comes from.
        settings: the same, with the client that such a command takes.
        contracts: what payloads are held to; None for nothing.
        schedules: what can be fired; None for nothing.
    """

    loaded: Loaded
    settings: Settings
    log: Log
    contracts: "Contracts | None"
    schedules: "list[ScheduleEntry] | None"


def serve_until_stopped(
    how: ServeOptions,
    port: int,
    given: AllOptions,
    opened: Callable[[Served, "Serving"], AbstractAsyncContextManager[str]],
    announce: Callable[[str, str], None],
) -> None:
    """Serve until a signal.

    Args:
        opened: serves, and yields the address.
        announce: tells of it, given the address and OpenIAP's.

    Raises:
        typer.Exit: it cannot be served so; said on standard error.
    """
    # Here and not above: the server is for these commands alone.
    from worker.management.api.server import Serving, ServingError
    from worker.telemetry.standard_logging import StandardLogging
    from worker.web_server import told_to_stop

    serving = Serving(how.host, port, how.certificate, how.key, how.behind_proxy)
    found = _served(how, given)

    async def serve() -> None:
        spoken = StandardLogging(found.log)
        spoken.start()
        try:
            with told_to_stop() as stop:
                async with opened(found, serving) as address:
                    announce(address, found.settings.url)
                    await stop.wait()
        finally:
            spoken.stop()

    try:
        serving.check()
        run_async(serve(), busy=True)
    except ServingError as error:
        raise usage_error(str(error)) from error


def _served(how: ServeOptions, given: AllOptions) -> Served:
    """Collect what such a command needs.

    Raises:
        typer.Exit: no address of OpenIAP is set; said on standard error.
    """
    from worker.openiap.factory import NO_URL  # brings a client along
    from worker.telemetry.log import as_it_is
    from worker.telemetry.log_forms import form_for

    loaded = settings_of(given)
    chosen = loaded.settings
    if not chosen.url:
        raise usage_error(NO_URL)
    if "client" not in loaded.sources:  # it alone changes items on a condition
        chosen = chosen.model_copy(update={"client": "native"})
    checks = None
    if how.contracts is not None:
        from worker.app.contracts import Contracts  # brings jsonschema along

        checks = Contracts.read(how.contracts)
    schedules = None
    if how.handlers:
        from worker.engine.scheduler.timetable import timetable

        schedules = timetable(handlers_of(given, how.handlers)[1], datetime.now(UTC))
    log = Log(
        chosen.log_level,
        form=form_for(chosen.log_format, loaded.environment, sys.stderr),
        write=as_it_is,
    )
    return Served(loaded, chosen, log, checks, schedules)
