"""How the API is to run: who may come, how much, for how long."""

from dataclasses import dataclass, field
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one address, one user and one request may take; times in seconds, sizes in bytes.

    Attributes:
        sign_ins_per_address: attempts a minute, whoever they are for.
        sign_ins_per_name: attempts a minute from one address for one name.
        sign_ins_of_name: attempts a minute for one name from everywhere.
        calls, calls_at_once: of one user, a second and in flight; ``burst`` may come together.
        idle, longest: after which a session ends.
        link_idle: after which the link of a user who asks nothing is closed.
        users: links at once.
        sessions, sessions_of_user: the oldest of a user gives way to the next one.
        jobs, jobs_of_user: running at once.
        request, transfer: until a request must be answered; one that carries a file.
        body, body_within: of a request that carries no file.
        upload, transfers: a file, and how many are carried at once.
        sign_in, link: how long OpenIAP may take for a sign-in, and a link to come back.
    """

    sign_ins_per_address: int = 30
    sign_ins_per_name: int = 10
    sign_ins_of_name: int = 100
    calls: float = 50.0
    burst: int = 200
    calls_at_once: int = 16
    idle: float = 3_600.0
    longest: float = 12 * 3_600.0
    link_idle: float = 300.0
    users: int = 100
    sessions: int = 1_000
    sessions_of_user: int = 20
    jobs: int = 20
    jobs_of_user: int = 4
    request: float = 30.0
    transfer: float = 300.0
    body: int = MIB
    body_within: float = 10.0
    upload: int = 100 * MIB
    transfers: int = 8
    sign_in: float = 15.0
    link: float = 5.0


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the API is to run.

    Attributes:
        read_only: nothing can be changed through it.
        https: it is reached by https: from a certificate of its own, or behind a proxy.
        behind_proxy: who asks stands in ``X-Forwarded-For``, whose last address the proxy wrote.
        hosts: names that a request may be for; None: any. A page of another site that has its
            name resolved to this machine (DNS rebinding) asks under that name.
    """

    read_only: bool = False
    https: bool = False
    behind_proxy: bool = False
    hosts: frozenset[str] | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; with https, one that other sites cannot set."""
        return "__Host-openiap_worker_session" if self.https else "openiap_worker_session"
