"""The options that several commands share, and the settings made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from worker.cli.shared.complete import handler_modules, settings_names
from worker.cli.shared.errors import usage_error
from worker.settings import SECRETS, Loaded, load

PANEL: Final = "Connection and settings"
VARIABLES: Final = {"password": "OPENIAP_PASSWORD", "jwt": "OPENIAP_JWT"}

Handlers = Annotated[
    list[str] | None,
    typer.Option(
        "--handlers",
        metavar="MODULE",
        help="A module with handlers: its name, a .py file, or a package's folder; may be given"
        " several times. Default: the setting handlers.",
        autocompletion=handler_modules,
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODULE]...",
        help="The same as --handlers.",
        show_default=False,
        autocompletion=handler_modules,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Where OpenIAP is: ws://, wss://, grpc://, http:// or https://."
        " Default: the setting url.",
        rich_help_panel=PANEL,
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="The settings file. Default: config/worker.toml.",
        rich_help_panel=PANEL,
    ),
]
ClientName = Annotated[
    str | None,
    typer.Option(
        "--client",
        metavar="official|native",
        help="Which implementation talks to OpenIAP. Default: the setting client.",
        rich_help_panel=PANEL,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting of config/worker.toml; may be given several times.",
        autocompletion=settings_names,
        rich_help_panel=PANEL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Utc = Annotated[bool, typer.Option("--utc", help="Show moments in UTC, not in local time.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Options:
    """The shared options as they were given, those of a command without ``--set``."""

    url: Url = None
    settings: SettingsFile = None
    client: ClientName = None
    assignments: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class AllOptions(Options):
    """The same with ``--set``."""

    assignments: Set = None


@dataclass(frozen=True, slots=True)
class WithoutClient(AllOptions):
    """The same where there is no choice of a client."""

    client: str | None = None


def settings_of(given: Options, **more: Any) -> Loaded:
    """Collect the settings.

    Args:
        given: the shared options.
        more: settings from a command's own options; None counts as not given.

    Raises:
        CommandError: a secret on the command line, or no NAME=VALUE.
        SettingsError: an unknown or invalid setting.
    """
    overrides: dict[str, Any] = {"url": given.url, "client": given.client, **more}
    for assignment in given.assignments or ():
        name, equals, value = assignment.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise usage_error(f"--set {assignment}: give it as NAME=VALUE.")
        if name in SECRETS:
            raise _secret(f"--set {name}", VARIABLES[name])
        overrides[name] = value.strip()
    url = overrides.get("url")
    if isinstance(url, str) and "@" in url and _has_password(url):
        raise _secret("A password in --url", VARIABLES["password"])
    return load(overrides, file=given.settings)


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return True  # whatever it is, it is not to be shown


def _secret(what: str, variable: str) -> Exception:
    return usage_error(
        f"{what}: other users of this machine can read the command line;"
        f" set {variable} in the environment instead."
    )
