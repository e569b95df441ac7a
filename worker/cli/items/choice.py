"""Which items a command is about: the options that make a filter, shared by several commands."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from worker.cli.shared.complete import error_kinds, queue_names, states
from worker.cli.shared.errors import usage_error
from worker.management.items.filters import filter_of, past_of
from worker.management.items.types import STATES, ItemFilter

PANEL: Final = "Which items"


@dataclass(frozen=True, slots=True)
class Choice:
    """The options as they were given; a command takes them with ``grouped``."""

    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            metavar="NAME",
            help="Of this queue. Default: of all.",
            autocompletion=queue_names,
            rich_help_panel=PANEL,
        ),
    ] = None
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"In this state: {', '.join(STATES)}; may be given several times."
            " Default: those named above, or all.",
            autocompletion=states,
            rich_help_panel=PANEL,
        ),
    ] = None
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="ID", help="Of a group of: items errors.", rich_help_panel=PANEL
        ),
    ] = None
    error: Annotated[
        str | None,
        typer.Option(
            "--error",
            metavar="TEXT",
            help="With this text in the error, whatever its capitals.",
            rich_help_panel=PANEL,
        ),
    ] = None
    error_pattern: Annotated[
        str | None,
        typer.Option(
            "--error-pattern",
            metavar="REGEX",
            help="With an error that has this pattern: a plain one.",
            rich_help_panel=PANEL,
        ),
    ] = None
    error_kind: Annotated[
        str | None,
        typer.Option(
            "--error-kind",
            metavar="business|application",
            help="Of this kind. Default: of both, or of none.",
            autocompletion=error_kinds,
            rich_help_panel=PANEL,
        ),
    ] = None
    error_class: Annotated[
        str | None,
        typer.Option(
            "--error-class",
            metavar="NAME",
            help="Ended by an exception of this class.",
            rich_help_panel=PANEL,
        ),
    ] = None
    error_code: Annotated[
        str | None,
        typer.Option(
            "--error-code",
            metavar="CODE",
            help="Ended by an error with this code.",
            rich_help_panel=PANEL,
        ),
    ] = None
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of this name.", rich_help_panel=PANEL),
    ] = None
    worker: Annotated[
        str | None,
        typer.Option(
            "--worker",
            metavar="NAME",
            help="Failed last by this worker, or worked by this user.",
            rich_help_panel=PANEL,
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Waiting for this key.", rich_help_panel=PANEL),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Changed since then: 2h ago, or an ISO date and time.",
            rich_help_panel=PANEL,
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="WHEN", help="Not changed since then.", rich_help_panel=PANEL
        ),
    ] = None
    attempts: Annotated[
        str | None,
        typer.Option(
            "--attempts",
            metavar="N",
            help="With so many attempts begun: 3, >=3, <3 or 1..3.",
            rich_help_panel=PANEL,
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="By the payload: payload.customer=acme, payload.amount>=10,"
            " 'payload.country in DE,FR'; may be given several times.",
            rich_help_panel=PANEL,
        ),
    ] = None

    def filter(self) -> ItemFilter:
        """Return the filter.

        Raises:
            CommandError: an option is wrong.
            FilterError: a condition is.
        """
        for state in self.state or ():
            if state not in STATES:
                raise usage_error(f"--state {state}: allowed: {', '.join(STATES)}.")
        now = datetime.now(UTC)
        try:
            return filter_of(asdict(self), lambda name, text: past(f"--{name}", text, now))
        except ValidationError as error:
            found = error.errors()[0]
            option = str(found["loc"][0]).replace("_", "-")
            raise usage_error(f"--{option} {found['input']}: {found['msg']}.") from None


def past(option: str, text: str, now: datetime) -> datetime:
    """Read a moment that is over: ``2h`` (ago), or an ISO date and time.

    Raises:
        CommandError: it is neither.
    """
    try:
        return past_of(text, now)
    except ValueError as error:
        raise usage_error(f"{option} {text}: allowed: {error}.") from error


def is_given(choice: Choice) -> bool:
    """Say whether any of the options was given."""
    return choice != Choice()
