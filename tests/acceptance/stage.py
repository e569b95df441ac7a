"""The stage of an acceptance test: a server, a proxy before it, workers behind it, the books."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.acceptance.accounting import Account, Journal, account
from tests.acceptance.outsider import Outsider
from tests.acceptance.points import Points
from tests.acceptance.processes import PASSWORD, USER, WAIT, Child, Port, Server, Worker, until
from tests.acceptance.proxy import Proxy

DEEDS: Final = "tests.acceptance.deeds"
QUICK: Final[dict[str, Any]] = {
    "username": USER,
    "password": PASSWORD,
    "poll_interval": 0.5,
    "lease": 1.0,
    "heartbeat_interval": 0.5,
    "dead_after": 3.0,
    "rescue_interval": 0.5,
    "unclaimed_after": 4.0,
    "watchdog_interval": 1.0,
    "reconnect_min": 0.1,
    "reconnect_max": 0.5,
    "call_timeout": 3.0,
    "rate_limit": 0,
    "drain_timeout": 5.0,
    "cancel_timeout": 1.0,
}
"""Settings that make recovery fit into a test's time."""
PATIENT: Final[dict[str, Any]] = {"call_timeout": 300, "watchdog_interval": 300}
"""For tests whose links are whole: no machine that halts for a moment makes a worker give up a call
or replace its link, which would lose a pop and cost an attempt. What is held on its way for longer
than anything is waited for is not sent a second time."""


class Stage:
    """Use as ``async with Stage(folder) as stage``; everything it started ends with it."""

    def __init__(self, folder: Path, *server_options: str, client: str = "official") -> None:
        self.folder = folder
        self.client = client
        self.server = Server(folder, *server_options)
        self.journal = Journal(folder / "journal")
        self.points = Points(folder / "points")
        self.workers: list[Worker] = []
        self._ports: list[Port] = []
        self.proxy = Proxy(self.server.port)

    async def __aenter__(self) -> "Stage":
        await self.server.start()
        await self.proxy.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        children: list[Child] = [*self.workers, self.server]
        await asyncio.gather(*(child.clean_up() for child in children))
        await self.proxy.__aexit__()
        for port in self._ports:
            port.close()

    def port(self) -> int:
        """Return a port that nobody else is given until the stage ends."""
        self._ports.append(Port())
        return self._ports[-1].number

    def worker(
        self,
        name: str,
        *queues: str,
        proxy: Proxy | None = None,
        plan: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Worker:
        """Return a worker for some queues, not yet started.

        Args:
            name: its ``worker_id``.
            proxy: what it connects to, instead of the stage's own.
            plan: further entries of the plan (``work.py``).
            settings: instead of those in ``QUICK``.
        """
        port = (proxy or self.proxy).port
        whole = {
            "module": DEEDS,
            "queues": list(queues),
            **(plan or {}),
            "settings": {
                **QUICK,
                "url": f"ws://127.0.0.1:{port}",
                "client": self.client,
                **settings,
            },
        }
        worker = Worker(name, self.folder, whole)
        worker.environment = {
            "ACCEPTANCE_JOURNAL": str(self.journal.path),
            "ACCEPTANCE_POINTS": str(self.folder / "points"),
        }
        self.workers.append(worker)
        return worker

    def outsider(self) -> Outsider:
        """Return a client of the tests' own, around the proxy."""
        return Outsider(self.server.port, USER, PASSWORD)

    async def account(self, queue: str, pushed: Sequence[str]) -> Account:
        """Compare the books of one queue."""
        async with self.outsider() as outsider:
            return account(pushed, await outsider.items(queue), self.journal)

    async def settled(
        self, queue: str, pushed: Sequence[str], deadline: float = 2 * WAIT
    ) -> Account:
        """Wait until every item of a queue has its outcome; returns the account."""
        async with self.outsider() as outsider:

            async def done() -> bool:
                return await outsider.count(queue, "new", "processing") == 0

            try:
                await until(f"all items of {queue} have an outcome", done, deadline, every=0.2)
            except AssertionError as error:
                left = [
                    {
                        k: d.get(k)
                        for k in ("_id", "state", "retries", "lastrun", "nextrun", "errormessage")
                    }
                    for d in await outsider.items(queue)
                    if d["state"] not in ("successful", "failed")
                ]
                logs = "\n".join(worker.tail(40) for worker in self.workers)
                raise AssertionError(f"{error}\n{left[:10]}\n{logs}") from None
            return account(pushed, await outsider.items(queue), self.journal)
