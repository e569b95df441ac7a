"""From settings to a client: the one place that chooses between the implementations."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

from worker.errors import SettingsError
from worker.openiap.client import Client
from worker.openiap.connection import LinkTimes
from worker.openiap.types import ConnectionOptions
from worker.setting_sources import MOST_SHOWN
from worker.settings import Settings

NO_URL = (
    "No URL of OpenIAP: set apiurl or OPENIAP_WORKER_URL in the environment, url in"
    " config/worker.toml, or --url; for example ws://localhost:3000."
)
NO_CREDENTIALS = (
    "No credentials: set OPENIAP_USERNAME and OPENIAP_PASSWORD, or jwt, in the environment;"
    " OpenIAP would sign you in as guest, who may do nothing."
)


def connection_options(settings: Settings, version: str) -> ConnectionOptions:
    """Return how to reach OpenIAP.

    Raises:
        SettingsError: no URL, no credentials, or a CA file that is none.
    """
    password = settings.password.get_secret_value()
    jwt = settings.jwt.get_secret_value()
    if not settings.url:
        raise SettingsError(NO_URL)
    if settings.username and not password:
        raise SettingsError(
            f"Setting password is missing for username = {settings.username!r}:"
            " set OPENIAP_PASSWORD in the environment."
        )
    if not settings.username and not jwt:
        raise SettingsError(NO_CREDENTIALS)
    if settings.ca_file is not None:
        _check_ca_file(settings.ca_file)
    return ConnectionOptions(
        url=settings.url,
        username=settings.username,
        password=password,
        jwt="" if settings.username else jwt,
        version=version,
        http_url=settings.http_url,
        ca_file=settings.ca_file,
        default_timeout=settings.call_timeout,
        vendor_telemetry=settings.vendor_telemetry,
        metric_url=settings.metric_url,
        log_url=settings.log_url,
    )


def link_times(settings: Settings) -> LinkTimes:
    """Return how long a connection waits."""
    return LinkTimes(
        reconnect_min=settings.reconnect_min,
        reconnect_max=settings.reconnect_max,
        watchdog_interval=settings.watchdog_interval,
        connect_timeout=settings.call_timeout,
    )


def _check_ca_file(path: Path) -> None:
    """Refuse a CA file at the start, where every attempt to connect would fail of it.

    Raises:
        SettingsError: it cannot be read, or holds no certificates.
    """
    problem = ""
    try:
        if not os.path.isfile(path):
            problem = "there is no such file"
        else:
            ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        problem = "no certificates in PEM form are in it"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise SettingsError(f"Setting ca_file = {str(path)[:MOST_SHOWN]!a}: {problem}.")


def client_maker(settings: Settings, version: str) -> Callable[[], Client]:
    """Return a function that makes a new, unconnected client each time.

    The implementation is imported here and not above: each brings a large library along, and a
    worker uses one of them.

    Raises:
        SettingsError: no URL, or no credentials.
    """
    options = connection_options(settings, version)
    if settings.client == "native":
        from worker.openiap.native import NativeClient

        return lambda: NativeClient(options)
    from worker.openiap.official.client import OfficialClient

    return lambda: OfficialClient(options)


def make_client(settings: Settings, version: str = "") -> Client:
    """Return one unconnected client.

    Raises:
        SettingsError: no URL, or no credentials.
    """
    return client_maker(settings, version)()
