"""The workers of one test: whole daemons in its own loop, signed in to its server."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Literal

from worker.app.application import Application
from worker.engine.daemon import Daemon
from worker.openiap.client import Client
from worker.openiap.factory import client_maker
from worker.settings import Settings, load
from worker.testing.controlled_server import ControlledServer
from worker.testing.reconnecting_client import TIMEOUT
from worker.testing.virtual_time import in_virtual_time

ClientName = Literal["native", "official"]

# Waits that cost a test time and show it nothing are short; see config/worker.toml for each.
QUICK: Final[Mapping[str, Any]] = {
    "poll_interval": 0.5,
    "rate_limit": 0,
    "call_timeout": 3,
    "drain_timeout": 5,
    "cancel_timeout": 1,
    "heartbeat_interval": 0.5,
    "dead_after": 5,
    "unclaimed_after": 10,  # a cut link may lose a pop: the item comes back within the test
    "rescue_interval": 0.5,
    "reconnect_min": 0.05,
    "reconnect_max": 0.5,
    "watchdog_interval": 3,
    "log_level": "warn",
}


class LocalWorkers:
    """Starts workers, and stops them all at the end."""

    def __init__(self, server: ControlledServer, client: ClientName, state_dir: Path) -> None:
        self._server = server
        self._fixed = {"client": client, "state_dir": str(state_dir)}
        self._stack = AsyncExitStack()
        self._daemons: list[Daemon] = []
        self.queues: Final[set[str]] = set()
        """Those that any of them works."""

    def settings(self, **changes: Any) -> Settings:
        """Return settings for this server; ``changes`` by name, as in ``config/worker.toml``.

        Raises:
            SettingsError: an unknown or invalid setting.
        """
        server = self._server
        here = {
            "url": server.running.ws_url,
            "username": server.username,
            "password": server.password,
            **self._fixed,
        }
        return load({**here, **QUICK, **changes}, environment={}).settings

    def client(self, settings: Settings) -> Client:
        """Return an unconnected client that speaks in this process's time."""
        return in_virtual_time(client_maker(settings, "")(), self._server.clock)

    async def start(self, application: Application, **changes: Any) -> Daemon:
        """Start one and return it.

        Raises:
            HandlerError: a handler that cannot be used.
            SettingsError: an unknown or invalid setting.
        """
        name = f"worker-{len(self._daemons) + 1}"
        settings = self.settings(**{"worker_id": name, **changes})
        daemon = Daemon(settings, application, client_factory=lambda: self.client(settings))
        self.queues.update(handler.options.queue for handler in application)
        self._daemons.append(daemon)
        self._stack.push_async_callback(daemon.stop)
        async with asyncio.timeout(TIMEOUT):
            await daemon.start()
        return daemon

    def busy(self) -> bool:
        """Whether one of them has an item in hand, an outcome to send or follow-ups to push."""
        return any(
            daemon.telemetry.counts.worker().get("outbox_size", 0)
            or any(queue.in_flight for queue in daemon.counts().values())
            or daemon.looks_later
            for daemon in self._daemons
            if daemon.working
        )

    async def tick(self) -> float | None:
        """Let their schedules' ticks happen; returns the server's seconds until the next one."""
        ahead = None
        if not self._server.faults.silent:
            for daemon in self._daemons:
                tick = await daemon.tick()
                if tick is not None:
                    wait = tick.timestamp() - self._server.clock()
                    ahead = wait if ahead is None else min(ahead, wait)
        return ahead

    async def stop(self) -> None:
        """Stop them, the last one first."""
        await self._stack.aclose()
