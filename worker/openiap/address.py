"""Addresses: where the protocol is spoken, and where the same server answers plain HTTP."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from worker.openiap.errors import NotConnected

_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss", "grpc": "grpc"}
_ALLOWED: Final = "ws(s)://, grpc:// or http(s):// with a host"
_NO_HOST: Final = re.compile(r"[\s\\\"'<>|^`{}]")
_GRPC_PORT: Final = 50051
_WEB_PORT: Final = 3000


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, taken apart.

    Attributes:
        link: where the protocol is spoken: ``ws(s)://host[:port]`` or ``grpc://host[:port]``.
        web: where ``/config`` and ``/download/<id>`` are: ``http(s)://host[:port]``.
        username, password: what the URL carried; never part of ``link`` or ``web``.
    """

    link: str
    web: str
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Address(link={self.link!r}, web={self.web!r})"


def parse_address(url: str) -> Address:
    """Take a URL apart; ``http(s)`` is taken as ``ws(s)``, a path is left out.

    Raises:
        NotConnected: the URL is empty, has another scheme, or no host.
    """
    if not url:
        raise NotConnected("no URL is set", operation="connect")
    # What Python says of a URL that it cannot take apart may hold a piece of the password.
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url.removeprefix('//')}")
    except ValueError:
        raise NotConnected(
            f"the URL is not valid; allowed: {_ALLOWED}", operation="connect"
        ) from None
    try:
        port = parts.port
    except ValueError:
        raise NotConnected(
            "the URL is not valid: its port is no number from 0 to 65535; in a password / ? # @ and"
            " % are written %2F %3F %23 %40 and %25",
            operation="connect",
        ) from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None or not parts.hostname or _NO_HOST.search(parts.hostname):
        raise NotConnected(
            f"the URL {_shown(parts)} is not {_ALLOWED}",
            operation="connect",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    suffix = f":{port}" if port is not None else ""
    return Address(
        link=f"{scheme}://{host}{suffix}",
        web=_web(scheme, host, port),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def _web(scheme: str, host: str, port: int | None) -> str:
    # The mapping of the Rust client (protocol.md, Transports).
    if scheme == "wss" or port == 443:
        # 443 is implied by https; a wss on another port keeps it.
        suffix = f":{port}" if port not in (None, 443) else ""
        return f"https://{host.removeprefix('grpc.')}{suffix}"
    if port == _GRPC_PORT:
        port = _WEB_PORT
    return f"http://{host.removeprefix('grpc.')}" + (f":{port}" if port is not None else "")


def _shown(parts: SplitResult) -> str:
    host = "" if "@" in parts.path else parts.netloc.rpartition("@")[2]
    return repr(f"{parts.scheme}://{host}{'/…' if parts.path.strip('/') else ''}")
