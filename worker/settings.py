"""Settings: one flat list of names, and where each value came from.

Order: command line, environment (``OPENIAP_WORKER_<NAME>``, then OpenIAP's own names), systemd's
credentials, settings file, default. Settings are read from the environment in this file alone.
``config/worker.toml`` documents every name with its unit and reason.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from platformdirs import user_state_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from worker.durations import ALLOWED as ALLOWED_DURATIONS
from worker.durations import seconds
from worker.errors import SettingsError
from worker.setting_sources import (
    DEFAULT_FILE,
    MOST_SHOWN,
    from_credentials,
    from_file,
    from_openiap_names,
    from_prefixed,
)

SECRETS: Final = frozenset({"password", "jwt"})
NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{0,64}")
PROTOCOL_PATH: Final = "/ws/v2"
PATHS: Final = frozenset({"state_dir", "ca_file", "handlers"})
"""Settings that may be in the bytes of a file system, which need not be text."""
SCHEMES: Final = ("ws", "wss", "grpc", "http", "https")


def _has_place(url: str) -> bool:
    """Whether a URL can be taken apart, down to its port, and its host can be looked up."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" not in host:
            host.removesuffix(".").encode("idna")
        return parts.port != 0 and not re.search(r"[\s\x00-\x1f]", host)
    except ValueError:  # of idna's, too
        return False


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _seconds(value: object) -> object:
    if isinstance(value, str | int | float):
        return seconds(value)
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Buckets = Annotated[tuple[Seconds, ...], BeforeValidator(_split)]
RateLimit = Annotated[float, Field(ge=0, le=1_000_000)] | Literal["auto"]
Port = Annotated[int, Field(ge=0, le=65535)]


RARELY: Final = 2.4
"""Of whose items the server tells, a queue is looked at so much more seldom than
``poll_interval`` says: the poll is a net below."""
BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
)  # fmt: skip
"""Upper bounds of the histograms' buckets, in seconds, unless others are set."""
MOST_BUCKETS: Final = 50
HEARTBEATS: Final = 2
"""At least so many heartbeats have to be missed before a worker counts as dead."""


class Settings(BaseModel):
    """Everything that can be set; durations are in seconds once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Where and as whom
    url: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    jwt: SecretStr = SecretStr("")
    client: Literal["official", "native"] = "official"
    connections: int = Field(default=1, ge=1, le=64)
    http_url: str = ""
    ca_file: Path | None = None
    call_timeout: Seconds = Field(default=30.0, gt=0, le=600)
    vendor_telemetry: bool = False

    # What to work
    namespace: str = ""
    handlers: Names = ()
    wiq: str = ""
    queues: Names = ()
    queue: str = ""
    once: bool = False
    concurrency: int = Field(default=0, ge=0, le=10_000)

    # Popping
    poll_interval: Seconds = Field(default=15.0, ge=0.05, le=3600)
    pops_in_flight: int = Field(default=8, ge=1, le=64)
    rate_limit: RateLimit = "auto"

    # Stopping
    drain_timeout: Seconds = Field(default=25.0, ge=0, le=86_400)
    cancel_timeout: Seconds = Field(default=3.0, ge=0, le=3600)
    lost_slots: Literal["restart", "exit", "keep"] = "restart"
    lost_slots_after: Seconds = Field(default=20.0, ge=0.1, le=86_400)

    # Nothing lost
    state_dir: Path = Field(default_factory=lambda: user_state_path("openiap-worker"))
    worker_id: str = Field(default="", max_length=100, pattern=r"^[A-Za-z0-9._-]*$")
    outbox: bool = True
    outbox_sync: Literal["normal", "full"] = "normal"
    evidence_days: float = Field(default=7.0, ge=0, le=3650)
    refusal_patience: Seconds = Field(default=600.0, ge=0, le=7 * 86_400)
    lease: Seconds = Field(default=60.0, ge=1, le=86_400)
    presence: bool = True
    heartbeat_interval: Seconds = Field(default=10.0, ge=0.1, le=600)
    steering: bool = True
    operators: Names = ()
    dead_after: Seconds = Field(default=45.0, ge=0.3, le=3600)
    rescue_interval: Seconds = Field(default=30.0, ge=0.1, le=3600)
    unclaimed_after: Seconds = Field(default=900.0, ge=0, le=30 * 86_400)
    max_deaths: int = Field(default=3, ge=1, le=100)
    watchdog_interval: Seconds = Field(default=22.0, ge=0.1, le=600)
    reconnect_min: Seconds = Field(default=1.0, ge=0.01, le=600)
    reconnect_max: Seconds = Field(default=30.0, ge=0.01, le=3600)

    # Telemetry
    log_level: Literal["error", "warn", "info", "verbose", "debug", "trace"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"
    item_log: Literal["all", "failures", "none"] = "all"
    history: int = Field(default=20, ge=0, le=200)
    metric_url: str = ""
    log_url: str = ""
    trace_url: str = ""
    metric_interval: Seconds = Field(default=10.0, ge=0.1, le=600)
    histogram_buckets: Buckets = BUCKETS
    health_host: str = "127.0.0.1"
    health_port: Port | None = None

    @field_validator("url", "http_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value and (
            not _has_place(value)
            or urlsplit(value).scheme not in SCHEMES
            or not urlsplit(value).hostname
        ):
            raise ValueError(f"allowed: {', '.join(f'{s}://HOST:PORT' for s in SCHEMES)}")
        return value

    @field_validator("metric_url", "log_url", "trace_url")
    @classmethod
    def _collector(cls, value: str) -> str:
        if not _has_place(value):
            raise ValueError("allowed: http://HOST:PORT, https://HOST:PORT")
        return value

    @field_validator("histogram_buckets")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        bounds = (0.0, *value)
        if not 0 < len(value) <= MOST_BUCKETS or any(a >= b for a, b in pairwise(bounds)):
            raise ValueError(f"allowed: up to {MOST_BUCKETS} times above 0, each above the last")
        return value

    @field_validator("namespace")
    @classmethod
    def _known_letters(cls, value: str) -> str:
        if not NAMESPACE.fullmatch(value):
            raise ValueError("allowed: letters, digits, dot, dash, underscore; at most 64")
        return value

    def work_queues(self) -> tuple[str, ...]:
        """Return the work item queues asked for by name, or () for those of the handlers."""
        return self.queues or ((self.wiq,) if self.wiq else ())


class Loaded:
    """Settings, where the value of each name came from, and the environment they were read in."""

    def __init__(
        self, settings: Settings, sources: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        self.settings = settings
        self.sources = sources
        self.environment = environment

    def shown(self, name: str) -> str:
        """Return a value for people: secrets are masked."""
        value = getattr(self.settings, name)
        if isinstance(value, SecretStr):
            return "********" if value.get_secret_value() else ""
        if isinstance(value, tuple):
            return ", ".join(map(str, value))
        if isinstance(value, str) and "://" in value:
            return _without_secrets(value)
        return "" if value is None else str(value)


def _without_secrets(url: str) -> str:
    """Return an address for people: what may let somebody in is masked."""
    return re.sub(r"(?s)\?.*", "?********", re.sub(r"(?s)//.+@", "//********@", url))


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """Collect the settings from all sources.

    Args:
        overrides: what the command line gave; None values count as not given.
        file: a settings file; without it ``config/worker.toml`` is read where it exists.
        environment: instead of the process's own.

    Raises:
        SettingsError: an unknown or invalid setting, or a file that cannot be read.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(found: Mapping[str, Any], source: str) -> None:
        for name, value in found.items():
            if name not in Settings.model_fields:
                raise SettingsError(_unknown(name, source))
            if value == "":
                continue  # an empty text is how files and environments say "not set"
            _check_characters(name, value, source)
            values[name] = value
            sources[name] = source

    for name, value in from_file(file).items():
        take({name: value}, str(file or DEFAULT_FILE))
    for name, (path, text) in from_credentials(env).items():
        take({name: text}, path)
    for name, (variable, text) in from_openiap_names(env).items():
        take({name: text}, f"environment {variable}")
    for name, (variable, text) in from_prefixed(env).items():
        take({name: text}, f"environment {variable}")
    take({k: v for k, v in (overrides or {}).items() if v is not None}, "command line")
    if env.get("SF_VMID") and "once" not in values:
        take({"once": True}, "environment SF_VMID")
    _split_credentials(values, sources)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_invalid(error, values, sources)) from error
    if settings.dead_after < HEARTBEATS * settings.heartbeat_interval:
        raise SettingsError(_too_soon_dead(settings, sources))
    return Loaded(settings, sources, env)


def _check_characters(name: str, value: object, source: str) -> None:
    """Refuse what neither OpenIAP nor a file system can be asked for."""
    texts = value if isinstance(value, list | tuple) else (value,)
    for text in (one for one in texts if isinstance(one, str)):
        if "\0" in text or (name not in PATHS and not is_text(text)):
            shown = "********" if name in SECRETS or name == "url" else ascii(text)[:MOST_SHOWN]
            raise SettingsError(
                f"Setting {name} = {shown} ({source}): allowed: UTF-8 text, without NUL."
            )


def is_text(text: str) -> bool:
    """Whether text can be written as UTF-8; bytes that are none come as half characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _split_credentials(values: dict[str, Any], sources: dict[str, str]) -> None:
    """Move a user and password out of the URL, so that the URL can be shown."""
    url = values.get("url")
    if not isinstance(url, str):
        return
    parts = _taken_apart(url, sources["url"])
    if "@" not in url:
        return
    host = parts.netloc.rpartition("@")[2]
    values["url"] = urlunsplit((parts.scheme, host, parts.path, "", ""))
    if parts.username and "username" not in values:
        values["username"] = unquote(parts.username)
        sources["username"] = f"the URL ({sources['url']})"
    if parts.password and "password" not in values:
        values["password"] = unquote(parts.password)
        sources["password"] = f"the URL ({sources['url']})"


def _taken_apart(url: str, source: str) -> SplitResult:
    """Return the parts of the server's URL.

    Its own path is the protocol's: OpenIAP's library asks at no other, whatever the URL says. What
    seems to be one may as well be the rest of a password.

    Raises:
        SettingsError: it has something that cannot be used; nothing of it is shown.
    """
    try:
        parts = urlsplit(url)
        usable = parts.port is None or parts.port > 0
    except ValueError:
        usable = False
    more = usable and (parts.query or parts.fragment)
    if usable and not more and parts.path.rstrip("/") in ("", PROTOCOL_PATH):
        return parts
    raise SettingsError(
        f"Setting url ({source}) has more than a host and a port, or characters that an URL cannot"
        " have; it is not shown, since it may hold a password. Allowed:"
        " ws://[USER:PASSWORD@]HOST[:PORT], without a path; in a user name and a password @ is"
        " written %40, / %2F, # %23, ? %3F, [ %5B and ] %5D."
    )


def _unknown(name: str, source: str) -> str:
    near = get_close_matches(name, Settings.model_fields, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    allowed = ", ".join(sorted(Settings.model_fields))
    return f"Unknown setting {name} ({source}).{hint} Allowed: {allowed}."


def _too_soon_dead(settings: Settings, sources: Mapping[str, str]) -> str:
    beat, dead = settings.heartbeat_interval, settings.dead_after
    return (
        f"Setting dead_after = {dead:g} s ({sources.get('dead_after', 'default')}): allowed: at"
        f" least {HEARTBEATS} times heartbeat_interval, which is {beat:g} s"
        f" ({sources.get('heartbeat_interval', 'default')}); living workers would count as dead."
    )


def _invalid(error: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    value = values.get(name)
    secret = name in SECRETS or (isinstance(value, str) and "://" in value and "@" in value)
    shown = "********" if secret else repr(value)
    if len(shown) > MOST_SHOWN:
        shown = f"{shown[:MOST_SHOWN]}…"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "float_parsing" or ALLOWED_DURATIONS in message:
        message = f"allowed: {ALLOWED_DURATIONS}" if "duration" in message else message
    return f"Setting {name} = {shown} ({sources.get(name, 'default')}): {message}."
