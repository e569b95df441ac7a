"""What the commands that listen for operators have in common: ``api`` and ``console``."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.shared.errors import usage_error
from worker.cli.shared.handlers import handlers_of
from worker.cli.shared.options import AllOptions, settings_of
from worker.settings import Loaded, Settings
from worker.telemetry.log import Log

if TYPE_CHECKING:
    from worker.app.contracts import Contracts
    from worker.engine.scheduler.timetable import ScheduleEntry

Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="ADDRESS",
        help="Address to listen on; beyond this machine with --certificate or --behind-proxy.",
    ),
]
Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="0 takes a free one.")
]
Certificate = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE", help="Serve https: a certificate, PEM."),
]
CertificateKey = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The certificate's key, PEM, unencrypted."),
]
ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="Refuse whatever would change anything.")
]
AddressAsJson = Annotated[
    bool, typer.Option("--json", help="Print the address as JSON once it listens.")
]


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


def served(given: AllOptions, contracts: Path | None, handlers: list[str] | None) -> Served:
    """Collect what such a command needs.

    Args:
        contracts: the file of ``--contracts``.
        handlers: the modules of ``--handlers``.

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
    return Served(loaded, chosen, log, checks, schedules)
