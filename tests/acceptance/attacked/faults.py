"""Faults while they last: a worker that stands still, a disk that is full, a wrong clock."""

import asyncio
import contextlib
import random
import resource
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.acceptance.attacked.clocks import Clock
from tests.acceptance.attacked.plan import SERVER, Attack, Fault
from tests.acceptance.processes import Server, Worker
from tests.acceptance.proxy import Proxy, Side
from worker.openiap.wire import openiap_pb2 as pb

TEXTS: Final = {
    "rate limit": "Rate limit exceeded consumedPoints: 31",
    "database": "the database does not answer",
    "answered as refused": "the database does not answer",
}
SPARED: Final = frozenset({"signin", "ping", "pong", "getelement", "upload", "download"})
"""Not refused: OpenIAP counts none of these, and whoever may not sign in is not there at all."""


@dataclass
class Faults:
    """Whom they strike, and what was done.

    Attributes:
        clocks: by worker's number, and the server's.
        killed: process ids that ended because of a fault.
    """

    attack: Attack
    server: Server
    workers: Sequence[Worker]
    proxies: Sequence[Proxy]
    clocks: dict[int | str, Clock]
    write: Callable[[], Awaitable[None]]
    done: Counter[str] = field(default_factory=Counter)
    killed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._one_restart = asyncio.Lock()

    async def strike(self, fault: Fault) -> None:
        """Let one happen, and end."""
        acts = {
            "stops": self._stop,
            "disks": self._fill,
            "refusals": self._refuse,
            "clocks": self._leap,
            "kills": self._kill,
            "restarts": self._restart,
            "links": self._hurt,
            "documents": self._write,
        }
        await acts[fault.kind](fault)
        self.done[fault.kind] += 1

    def calm(self) -> None:
        """End whatever still lasts."""
        for clock in self.clocks.values():
            clock.set(0)
        for proxy in self.proxies:
            proxy.refusing = None
            proxy.restore()

    def _worker(self, fault: Fault) -> Worker:
        assert isinstance(fault.whom, int)
        return self.workers[fault.whom]

    def _proxy(self, fault: Fault) -> Proxy:
        assert isinstance(fault.whom, int)
        return self.proxies[fault.whom]

    async def _stop(self, fault: Fault) -> None:
        worker = self._worker(fault)
        pids = [one.pid for one in processes(worker)]
        if fault.how == "alone":
            del pids[1:]
        signal_all(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            signal_all(pids, signal.SIGCONT)

    async def _fill(self, fault: Fault) -> None:
        those = list(processes(self._worker(fault)))
        limit_files(those, int(fault.size))
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            # With what was started meanwhile, which has inherited it.
            limit_files([*those, *processes(self._worker(fault))], resource.RLIM_INFINITY)

    async def _refuse(self, fault: Fault) -> None:
        proxy, chance = self._proxy(fault), random.Random(fault.at)
        side: Side = "request" if fault.how in ("rate limit", "database") else "reply"

        def refusing(seen: Side, request: pb.Envelope) -> str | None:
            if seen != side or request.command in SPARED or chance.random() > fault.size:
                return None
            self.done["refused calls"] += 1
            return TEXTS.get(fault.how, "")

        proxy.refusing = refusing
        await asyncio.sleep(fault.lasts)
        if proxy.refusing is refusing:
            proxy.refusing = None

    async def _leap(self, fault: Fault) -> None:
        self.clocks[fault.whom].set(fault.size)
        await asyncio.sleep(fault.lasts)
        self.clocks[fault.whom].set(0)

    async def _kill(self, fault: Fault) -> None:
        worker = self._worker(fault)
        if worker.alive:
            self.killed.add(worker.pid)
            worker.signal(signal.SIGKILL)

    async def _restart(self, fault: Fault) -> None:
        async with self._one_restart:
            await self.server.restart()

    async def _hurt(self, fault: Fault) -> None:
        proxy = self._proxy(fault)
        {"cut": proxy.cut, "half-open": proxy.half_open, "stalled": proxy.freeze}[fault.how]()
        if fault.how != "cut":
            await asyncio.sleep(fault.lasts)
            proxy.restore()

    async def _write(self, fault: Fault) -> None:
        assert fault.whom == SERVER
        await self.write()


def processes(worker: Worker) -> Iterator[psutil.Process]:
    """Yield a worker's process and all that it started, it first."""
    if worker.alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(worker.pid)
            yield own
            yield from own.children(recursive=True)


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Signal processes, those that are gone left out."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).send_signal(number)


def limit_files(those: Sequence[psutil.Process], limit: int) -> None:
    """Let no file of some processes grow beyond so many bytes, as on a full disk."""
    for process in those:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.rlimit(psutil.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
