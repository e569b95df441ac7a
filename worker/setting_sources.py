"""Where settings come from: files, systemd's credentials, and the environment's names.

Each function gives what one source says, by the setting's name; ``settings.py`` lays them over each
other, and hands the environment in.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from worker.errors import SettingsError

PREFIX: Final = "OPENIAP_WORKER_"
DEFAULT_FILE: Final = Path("config/worker.toml")
CREDENTIALS: Final[Mapping[str, str]] = {"password": "openiap-password", "jwt": "openiap-jwt"}
"""The files in systemd's credentials directory that are read."""
MOST_BYTES: Final = 1024 * 1024
"""Of a settings file; a device would never end."""
MOST_SHOWN: Final = 200
"""Characters of a wrong value."""

# OpenIAP's own environment names, first set wins (client.md, Environment; agent.md, The run).
OPENIAP_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "url": ("apiurl", "grpcapiurl", "OPENIAP_URL", "OPENIAP_APIURL", "wsapiurl"),
    "username": ("OPENIAP_USERNAME",),
    "password": ("OPENIAP_PASSWORD",),
    "jwt": ("OPENIAP_JWT", "jwt"),
    "wiq": ("wiq", "SF_AMQPQUEUE"),
    "queue": ("queue",),
    "metric_url": ("OTEL_METRIC_URL",),
    "log_url": ("OTEL_LOG_URL",),
    "trace_url": ("OTEL_TRACE_URL",),
}


def from_file(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    try:
        with path.open("rb") as source:
            data = source.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if file is None:
            return {}
        raise SettingsError(f"settings file {_shown(path)}: {error.strerror}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"settings file {_shown(path)}: {reason}.") from error
    if len(data) > MOST_BYTES:
        raise SettingsError(f"settings file {path} is larger than {MOST_BYTES:,} bytes.")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise SettingsError(f"settings file {path} is not TOML: nested too deeply.") from error
    except ValueError as error:  # TOML, UTF-8, or a number of too many digits
        raise SettingsError(f"settings file {path} is not TOML: {error}.") from error


def from_credentials(env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the secrets that systemd was told to load (systemd.exec(5), LoadCredential): files
    that this service alone may read, while what it starts inherits the environment."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    found: dict[str, tuple[str, str]] = {}
    for name, file in CREDENTIALS.items() if folder else ():
        path = Path(folder or "") / file
        try:
            text = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise SettingsError(f"credential {path}: {reason}.") from error
        found[name] = (str(path), text)
    return found


def _shown(path: Path) -> str:
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def from_openiap_names(env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name, variables in OPENIAP_NAMES.items():
        for variable in variables:
            if env.get(variable):
                found[name] = (variable, env[variable])
                break
    if "username" in found and "password" in found:
        found.pop("jwt", None)  # the pair wins over the token, as in OpenIAP's own clients
    return found


def from_prefixed(env: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    upper = {k.upper(): k for k in env}  # Windows hands names over in capitals
    return {
        name[len(PREFIX) :].lower(): (variable, env[variable])
        for name, variable in upper.items()
        if name.startswith(PREFIX)
    }
