"""Where an OpenIAP URL leads: which transport, to which host and port, with TLS or without."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from worker.openiap.address import Address
from worker.openiap.errors import NotConnected

GRPC_PORT: Final = 50051
WEBSOCKET_PATH: Final = "/ws/v2"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server as the native client reaches it (protocol.md, Transports)."""

    transport: Literal["websocket", "grpc"]
    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """Return ``host:port``, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Return the URL that a websocket is opened with."""
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{WEBSOCKET_PATH}"


def endpoint_of(address: Address) -> Endpoint:
    """Choose the transport for an address.

    The scheme ``grpc``, a host name that starts with ``grpc.`` and port 50051 mean gRPC; port 443
    means TLS. Without a port, a ``grpc.`` host is an ingress on 443 and another is on 50051.
    """
    parts = urlsplit(address.link)
    host = parts.hostname or ""
    port = parts.port
    ingress = host.startswith("grpc.")
    grpc = parts.scheme == "grpc" or ingress or port == GRPC_PORT
    tls = parts.scheme == "wss" or port == 443 or (ingress and port is None)
    if port is None:
        port = 443 if tls else GRPC_PORT if grpc else 80
    return Endpoint("grpc" if grpc else "websocket", host, port, tls)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's roots, or only those of ``ca_file``.

    Raises:
        NotConnected: the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise NotConnected(
            f"the CA file {ca_file} cannot be used: {error}", operation="connect"
        ) from None
