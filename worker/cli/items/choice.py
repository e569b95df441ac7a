"""Which items a command is about: the options that make a filter, shared by several commands."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from worker.cli.shared.complete import error_kinds, queue_names, states
from worker.cli.shared.errors import usage_error
from worker.management.errors import named
from worker.management.items.filters import filter_of, past_of
from worker.management.items.types import STATES, ItemFilter

PANEL: Final = "Which items"
Completion = Callable[..., Any]


def _option(flag: str, metavar: str, help: str, completion: Completion | None = None) -> Any:
    return typer.Option(
        flag, metavar=metavar, help=help, autocompletion=completion, rich_help_panel=PANEL
    )


_STATE: Final = _option(
    "--state",
    "STATE",
    f"In this state: {', '.join(STATES)}; may be given several times."
    " Default: those named above, or all.",
    states,
)
_WHERE: Final = _option(
    "--where",
    "CONDITION",
    "By the payload: payload.customer=acme, payload.amount>=10,"
    " 'payload.country in DE,FR'; may be given several times.",
)
_QUEUE: Final = _option("--queue", "NAME", "Of this queue. Default: of all.", queue_names)
_GROUP: Final = _option("--group", "ID", "Of a group of: items errors.")
_ERROR: Final = _option("--error", "TEXT", "With this text in the error, whatever its capitals.")
_PATTERN: Final = _option(
    "--error-pattern", "REGEX", "With an error that has this pattern: a plain one."
)
_KIND: Final = _option(
    "--error-kind",
    "business|application",
    "Of this kind. Default: of both, or of none.",
    error_kinds,
)
_CLASS: Final = _option("--error-class", "NAME", "Ended by an exception of this class.")
_CODE: Final = _option("--error-code", "CODE", "Ended by an error with this code.")
_NAME: Final = _option("--name", "NAME", "Of this name.")
_WORKER: Final = _option("--worker", "NAME", "Failed last by this worker, or worked by this user.")
_KEY: Final = _option("--key", "KEY", "Waiting for this key.")
_SINCE: Final = _option("--since", "WHEN", "Changed since then: 2h ago, or an ISO date and time.")
_UNTIL: Final = _option("--until", "WHEN", "Not changed since then.")
_ATTEMPTS: Final = _option("--attempts", "N", "With so many attempts begun: 3, >=3, <3 or 1..3.")


@dataclass(frozen=True, slots=True)
class Choice:
    """The options as they were given; a command takes them with ``grouped``."""

    queue: Annotated[str | None, _QUEUE] = None
    state: Annotated[list[str] | None, _STATE] = None
    group: Annotated[str | None, _GROUP] = None
    error: Annotated[str | None, _ERROR] = None
    error_pattern: Annotated[str | None, _PATTERN] = None
    error_kind: Annotated[str | None, _KIND] = None
    error_class: Annotated[str | None, _CLASS] = None
    error_code: Annotated[str | None, _CODE] = None
    name: Annotated[str | None, _NAME] = None
    worker: Annotated[str | None, _WORKER] = None
    key: Annotated[str | None, _KEY] = None
    since: Annotated[str | None, _SINCE] = None
    until: Annotated[str | None, _UNTIL] = None
    attempts: Annotated[str | None, _ATTEMPTS] = None
    where: Annotated[list[str] | None, _WHERE] = None

    def filter(self) -> ItemFilter:
        """Return the filter.

        Raises:
            CommandError: an option is wrong.
            FilterError: a condition is.
        """
        for state in self.state or ():
            if state not in STATES:
                raise usage_error(f"--state {named(state)}: allowed: {', '.join(STATES)}.")
        now = datetime.now(UTC)
        try:
            return filter_of(asdict(self), lambda name, text: past(f"--{name}", text, now))
        except ValidationError as error:
            found = error.errors()[0]
            option = str(found["loc"][0]).replace("_", "-")
            given = named(str(found["input"]))
            raise usage_error(f"--{option} {given}: {found['msg']}.") from None


def past(option: str, text: str, now: datetime) -> datetime:
    """Read a moment that is over: ``2h`` (ago), or an ISO date and time.

    Raises:
        CommandError: it is neither.
    """
    try:
        return past_of(text, now)
    except ValueError as error:
        raise usage_error(f"{option} {named(text)}: allowed: {error}.") from error


def is_given(choice: Choice) -> bool:
    """Say whether any of the options was given."""
    return choice != Choice()
