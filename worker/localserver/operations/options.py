"""What a local server is started with, and the faults that tests switch on while it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from worker.kinds import kind_of


def _no_log(_line: str) -> None:
    """Drop a log line: a server inside a test or another program is quiet by default."""


@dataclass
class Faults:
    """Bugs of the real server and accidents for tests; every field may change while it runs.

    The first group are bugs that were seen on the real server (shared facts in ``server.md``); a
    strict server has those about times, chains, ``$or`` and upserts in any case.

    Attributes:
        whole_second_nextrun_is_1970: a ``nextrun`` without nanoseconds in an update becomes 1970,
            so the item is due at once and the queue's retry delay is bypassed.
        ignore_item_chains: ``success_wiq`` and ``failed_wiq`` (and ids) that arrive over the
            protocol are ignored, and never returned.
        truncate_downloads: downloads above 255 KiB over the protocol end early at a multiple of
            261,120 bytes; ``/download/<id>`` gives the whole file.
        or_beside_id_is_lost: in ``updatedocument`` and ``deletemany`` an ``$or`` beside an ``_id``
            of 12 or 24 characters is replaced by one over that id (openflow 1.5.10.62, source).
        upserts_forget_ids: an ``insertorupdateone`` that finds no document of its ``_id`` inserts
            one under another id (openflow 1.5.10.62, source).
        grpc_large_replies_break: a gRPC reply above 4 MiB breaks the connection.
        lose_pop_replies: the next N pops are executed and not answered.
        lose_update_replies: the next N updates are executed and not answered.
        lose_replies: command name to how many of its next replies are not sent.
        delay: command name to seconds that pass before the command is executed.
        refuse: command name to how many of its next requests are answered with an error and not
            executed, as by a server whose database is away.
        refuse_collections: documents of these collections may not be written (missing rights).
        silent: take everything, execute nothing and answer nothing, as a frozen server does.
    """

    whole_second_nextrun_is_1970: bool = False
    ignore_item_chains: bool = False
    truncate_downloads: bool = False
    or_beside_id_is_lost: bool = False
    upserts_forget_ids: bool = False
    grpc_large_replies_break: bool = False
    lose_pop_replies: int = 0
    lose_update_replies: int = 0
    lose_replies: dict[str, int] = field(default_factory=dict)
    delay: dict[str, float] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    refuse_collections: set[str] = field(default_factory=set)
    silent: bool = False

    def change(self, values: dict[str, Any]) -> None:
        """Set the named faults.

        Args:
            values: fault name to new value, as it came from JSON.

        Raises:
            ValueError: a name that is no fault, or a value of another type.
        """
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no fault {name}; there are {', '.join(known)}")
            present = known[name]
            if isinstance(present, set) and isinstance(value, list):
                value = set(value)
            if type(value) is not type(present):
                raise ValueError(f"{name} takes {kind_of(present)}, not {value!r}")
            known[name] = value
        for name in values:
            setattr(self, name, known[name])

    def refuses(self, command: str) -> bool:
        """Say whether this request is to be refused, and count it."""
        if self.refuse.get(command, 0) <= 0:
            return False
        self.refuse[command] -= 1
        return True

    def loses_reply(self, command: str) -> bool:
        """Say whether this reply is to be lost, and count it."""
        if command == "popworkitem" and self.lose_pop_replies > 0:
            self.lose_pop_replies -= 1
            return True
        if command == "updateworkitem" and self.lose_update_replies > 0:
            self.lose_update_replies -= 1
            return True
        if self.lose_replies.get(command, 0) > 0:
            self.lose_replies[command] -= 1
            return True
        return False


@dataclass
class ServerOptions:
    """How the local server is to run.

    Attributes:
        host: address to listen on.
        port: port of websockets and HTTP; 0 picks a free one.
        grpc_port: port of gRPC; 0 picks a free one.
        data: the SQLite file; none keeps everything in memory.
        users: user name to password, of those who may do everything. None given: one with a random
            password is made, and kept beside the data file in a file that only its owner can read;
            that is for loopback addresses only.
        plain_users: the same of those who have the rights alone that documents give them.
        wakeup_interval: seconds between two rounds of wake-up messages (OpenIAP: 10).
        wakeup_spacing: seconds between two clients of one round (OpenIAP: 1).
        sweep_interval: seconds between two sweeps of documents whose time is over by an index with
            ``expireAfterSeconds`` (MongoDB: 60).
        rate_limit: messages per 1 s window and connection; 0 is off (OpenIAP: 30). Signs of life,
            ``getelement``, uploads and downloads do not count; what is refused does.
        grpc_enabled: whether to listen for gRPC at all.
        strict: be no kinder than OpenIAP. Without it a few kindnesses remain that save a newcomer
            from silence: watches take ``$.[?(…)]``, targets of chains count when they come over
            the protocol, whole seconds count in the ``nextrun`` of an update,
            ``updateworkitemqueue`` keeps what it is not told, counting takes no query, an ``$or``
            beside an ``_id`` is seen, a new document of an upsert keeps its ``_id``, and a
            conditional update stores texts with a date inside as they are.
        pops_compete: leave ``pops_compete: false`` out of ``/config``, so that clients treat this
            server like OpenIAP, where several pops at once on one queue disturb each other.
        pop_contention: pop in the real server's loop, where pops at once on one queue read the same
            first item and all but one start over, on a database that takes its time; ``poprounds``
            and ``lostrounds`` count in the stats.
        faults: bugs and accidents, see ``Faults``.
        faults_endpoint: answer ``POST /faults`` and ``GET /stats``; for tests only.
        ping_interval: seconds between two looks at the clients: whose token is to be renewed, who
            was silent for too long; those who asked for it at the sign-in are pinged (OpenIAP: 10).
        silence_limit: seconds after which a client is dropped that asked for pings and was silent.
        signin_limit: seconds after which a client that did not sign in is dropped (OpenIAP: 120).
        token_lifetime: seconds that a token of a sign-in is valid (OpenIAP: 300).
        otel_metric_url: where clients send their gauges; told in ``/config`` when set.
        clock: seconds since 1970; tests inject their own.
        log: called with each line worth a log.
    """

    host: str = "127.0.0.1"
    port: int = 0
    grpc_port: int = 0
    data: Path | None = None
    users: dict[str, str] = field(default_factory=dict)
    plain_users: dict[str, str] = field(default_factory=dict)
    wakeup_interval: float = 10.0
    wakeup_spacing: float = 1.0
    sweep_interval: float = 60.0
    rate_limit: int = 0
    grpc_enabled: bool = True
    strict: bool = True
    pops_compete: bool = False
    pop_contention: bool = False
    faults: Faults = field(default_factory=Faults)
    faults_endpoint: bool = False
    ping_interval: float = 10.0
    silence_limit: float = 60.0
    signin_limit: float = 120.0
    token_lifetime: float = 300.0
    otel_metric_url: str | None = None
    clock: Callable[[], float] = time.time
    log: Callable[[str], None] = _no_log
