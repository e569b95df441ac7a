"""The server that is asked: somebody's, or one of our own that lives as long as the run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from worker.localserver import LocalServer, ServerOptions
from worker.openiap.address import parse_address
from worker.openiap.client import Client
from worker.openiap.native import NativeClient
from worker.openiap.official.client import OfficialClient
from worker.openiap.types import ConnectionOptions

ClientKind = Literal["native", "official"]
PACE: Final = 20.0
"""Messages per second and connection, where OpenIAP takes 30 as it is installed."""
LOCAL_LIMIT: Final = 100
LOCAL_PACE: Final = 80.0
CALL: Final = 60.0
"""Seconds for one call, on whatever machine."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user's name and password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lane:
    """One client over one transport."""

    kind: ClientKind
    url: str

    @property
    def transport(self) -> str:
        """``ws`` or ``grpc``; one that is encrypted counts as the same."""
        return "grpc" if self.url.startswith("grpc") else "ws"

    @property
    def name(self) -> str:
        """For the page: ``native ws``."""
        return f"{self.kind} {self.transport}"


@dataclass(frozen=True, slots=True)
class Site:
    """A server and who asks it.

    Attributes:
        urls: at most one of each transport.
        second: an ordinary user, for what concerns rights.
        pace: messages per second and connection; 0 is without a limit.
        own: whether this suite has started it.
    """

    urls: tuple[str, ...]
    first: Login
    second: Login | None = None
    http_url: str = ""
    pace: float = PACE
    own: bool = False

    def lanes(self, *kinds: ClientKind) -> list[Lane]:
        """Return every client over every transport; the native one first."""
        return [Lane(kind, url) for kind in kinds for url in self.urls]

    def client(self, lane: Lane, login: Login | None = None) -> Client:
        """Return an unconnected client that keeps to no pace."""
        login = login or self.first
        options = ConnectionOptions(
            url=lane.url,
            username=login.username,
            password=login.password,
            agent="openiap-worker conformance",
            http_url=self.http_url,
            default_timeout=CALL,
        )
        return NativeClient(options) if lane.kind == "native" else OfficialClient(options)


def site_of(
    urls: list[str], first: Login, second: Login | None, http_url: str, pace: float
) -> Site:
    """Return the server that was named.

    Raises:
        NotConnected: a URL that is none.
        ValueError: two URLs of one transport.
    """
    addresses = [parse_address(url) for url in urls]
    transports = [Lane("native", address.link).transport for address in addresses]
    if len(set(transports)) < len(transports):
        raise ValueError("give --url once for websockets and once for gRPC at most")
    web = next((a.web for a in addresses if a.link.startswith("ws")), "")
    links = tuple(sorted((a.link for a in addresses), reverse=True))  # websockets first
    return Site(links, first, second, http_url or web, pace)


@asynccontextmanager
async def own_site(*, wakeup_interval: float = 1.0) -> AsyncIterator[Site]:
    """Run the local server, as strict as it can be, and give it away."""
    first, second = Login("boss", "a-boss"), Login("worker", "a-worker")
    options = ServerOptions(
        users={first.username: first.password},
        plain_users={second.username: second.password},
        rate_limit=LOCAL_LIMIT,
        wakeup_interval=wakeup_interval,
        wakeup_spacing=0.1,
        sweep_interval=1.0,
    )
    async with LocalServer(options) as server:
        yield Site(
            (server.ws_url, server.grpc_url),
            first,
            second,
            server.http_url,
            LOCAL_PACE,
            own=True,
        )
