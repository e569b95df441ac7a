"""The local server of one test: its clock is moved, its links are cut, it restarts on its ports."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from worker.localserver import Faults, LocalServer, ServerOptions
from worker.localserver.operations.sweep import Sweep
from worker.localserver.operations.wakeups import WakeUps
from worker.localserver.protocol.commands import COMMANDS
from worker.localserver.storage.item_table import COLLECTION
from worker.testing.reserved_ports import reserved_ports
from worker.testing.server_items import TESTER
from worker.testing.virtual_time import VirtualClock

TOKENS_LAST: Final = 100 * 365 * 86400.0
"""Seconds; a test that goes a year ahead does not have to sign in again."""


class ControlledServer:
    """One server; shape: ``start``, ``stop``.

    Attributes:
        clock, faults: the server's; both act at once.
        running: another one after a restart.
        changed: set whenever an item may have changed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        plain_users: Mapping[str, str] | None = None,
        pop_contention: bool = False,
    ) -> None:
        """Make one that is not started yet; its data lies in the folder."""
        self.clock: Final = VirtualClock()
        self.faults: Final = Faults()
        self.changed: Final = asyncio.Event()
        self.username: Final = TESTER.username
        self.password: Final = secrets.token_urlsafe(12)
        self._options = ServerOptions(
            data=folder / "openiap.sqlite",
            users={self.username: self.password},
            plain_users=dict(plain_users or {}),
            pop_contention=pop_contention,
            wakeup_interval=0.05,
            wakeup_spacing=0.0,
            token_lifetime=TOKENS_LAST,
            faults=self.faults,
            clock=self.clock,
        )
        self.running = LocalServer(self._options)

    async def start(self) -> None:
        """Listen; returns when clients can connect."""
        await self.running.start()
        changes = self.running.services.changes
        changes.subscribe(COLLECTION, lambda *change: self.changed.set())

    async def stop(self) -> None:
        """Stop listening."""
        await self.running.stop()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Stop it, and start it on its data and ports after ``with``."""
        port, grpc_port = self.running.port, self.running.grpc_port
        await self.stop()
        with reserved_ports(self._options.host, port, grpc_port):
            try:
                yield
            finally:
                self._options = replace(self._options, port=port, grpc_port=grpc_port)
                self.running = LocalServer(self._options)
                await self.start()

    async def advance(self, by: float) -> None:
        """Move its clock ahead by so many seconds, and offer to the workers what is due then."""
        self.clock.advance(by)
        services = self.running.services
        await Sweep(services).round()
        await WakeUps(services).round()

    def lose_replies(self, command: str, times: int) -> None:
        """Execute the next so many of a command without answering.

        Raises:
            ValueError: the protocol has no such command.
        """
        if command not in COMMANDS:
            raise ValueError(f"the protocol has no command {command!r}")
        self.faults.lose_replies[command] = self.faults.lose_replies.get(command, 0) + times

    def rate_limit(self, messages: int) -> None:
        """Refuse more than so many messages per second and connection; 0: none."""
        self._options.rate_limit = messages
