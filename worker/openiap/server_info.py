"""What a server says about itself over plain HTTP before anybody signs in (``GET /config``).

Every start waits for this one small answer, so it is asked with the standard library, on a thread:
an HTTP client of its own would take longer to import and set up than the rest of the sign-in.
"""

import asyncio
import json
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    ProxyHandler,
    build_opener,
)

from worker.openiap.address import Address
from worker.openiap.errors import NotConnected
from worker.openiap.threads import DaemonThreads
from worker.openiap.workitem import JsonObject

CONFIG_TIMEOUT: Final = 5.0
LONGEST_CONFIG: Final = 1 << 20
"""Bytes; more is no configuration."""
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443, "grpc": 80}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The answer to ``GET /config``.

    Attributes:
        config: the parsed JSON object, or ``{}``.
        answered: there was an HTTP answer at all.
        status: its status, 0 for none.
        silent: the connection was taken and nothing came back in time.
    """

    config: JsonObject = field(default_factory=dict)
    answered: bool = False
    status: int = 0
    silent: bool = False

    def metrics(self, fallback: str) -> bool:
        """Return whether the official library exports gauges.

        It does when the server's answer switches them on and one of the two names a URL; without an
        answer it does not, and with another status only the environment counts.

        Args:
            fallback: the metric URL of the environment, or "".
        """
        if not self.answered:
            return False
        if self.status != 200:
            return bool(fallback)
        enabled = self.config.get("enable_analytics") is True
        return enabled and bool(self.config.get("otel_metric_url") or fallback)


async def reachable(address: Address) -> None:
    """Open a TCP connection to the server and close it again.

    Raises:
        NotConnected: nobody listens there.
    """
    parts = urlsplit(address.link)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError as error:
        raise NotConnected(f"{address.link}: {error}", operation="connect") from None
    writer.close()


async def read_server_info(web: str, verify: SSLContext | bool) -> ServerInfo:
    """Ask ``GET /config``; every failure is an empty answer.

    Args:
        web: ``http(s)://host[:port]``.
        verify: see ``trusted``.
    """
    threads = DaemonThreads("openiap-config")
    try:
        return await threads.run(lambda: _ask(f"{web}/config", verify))
    finally:
        threads.close()


def _ask(url: str, verify: SSLContext | bool) -> ServerInfo:
    handlers: list[BaseHandler] = [_NoRedirect()]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(ProxyHandler({}))
    if url.startswith("https:"):
        handlers.append(HTTPSHandler(context=verify if isinstance(verify, SSLContext) else None))
    try:
        with build_opener(*handlers).open(url, timeout=CONFIG_TIMEOUT) as answer:
            return ServerInfo(_object(answer.read(LONGEST_CONFIG)), True, answer.status)
    except HTTPError as error:
        error.close()
        return ServerInfo({}, True, error.code)
    except TimeoutError:
        return ServerInfo(silent=True)
    except (OSError, HTTPException, ValueError):
        return ServerInfo()


class _NoRedirect(HTTPRedirectHandler):
    """A server that sends elsewhere has said nothing about itself."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def _object(text: bytes) -> JsonObject:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, where no proxy is asked."""
    return host in ("localhost", "::1") or host.startswith("127.")


def trusted(ca_file: Path | None) -> SSLContext | bool:
    """Return whom HTTP trusts: the CAs of a bundle, or True for the system's roots."""
    return True if ca_file is None else create_default_context(cafile=str(ca_file))
