"""The scaler: answers autoscalers for any queues, and works none.

1. It listens first: probes and KEDA get an answer, if only an error, while OpenIAP is away.
2. It signs in, and stays signed in; one connection, one user, no presence of its own.
3. A signal ends the streams, lets calls finish, and ends it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from worker.cli.scaler.external import ExternalScaler
from worker.cli.scaler.fleet_queues import FleetQueues
from worker.engine.maintenance.scale_endpoint import ScaleEndpoint
from worker.engine.signals import Signals
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.factory import client_maker, link_times
from worker.openiap.limiter import limiter_of
from worker.openiap.pool import Pool
from worker.settings import Settings
from worker.telemetry.telemetry import Telemetry


class Scaler:
    """One scaler.

    Args:
        settings: with a health port; ``/scale`` is on it.
        queues: those that may be asked about; () for all that this user may see.
        grpc_port: KEDA's, on the health listener's host; 0 for a free one.
        environment: where systemd's names are read.

    Raises:
        SettingsError: no URL or no credentials.
    """

    def __init__(
        self,
        settings: Settings,
        queues: Sequence[str],
        *,
        grpc_port: int,
        version: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings: Final = settings
        facts = {"version": version, "part": "scaler"}
        self.telemetry: Final = Telemetry(settings, environment=environment, facts=facts)
        self._log = self.telemetry.log
        self._make = client_maker(settings, version)
        self._pool = Pool([self._connection()])
        self._queues = FleetQueues(
            queues, pool=self._pool, namespace=settings.namespace, log=self._log
        )
        self._answers = ScaleEndpoint(
            self._queues, pool=self._pool, fresh=self._queues.fresh, stale=0.0
        )
        self._grpc_port = grpc_port
        self._external = ExternalScaler(self._answers.told, self._queues.fresh)
        self._asked = asyncio.Event()
        self._signals = Signals(stop=self.stop, hurry=self.stop, log=self._log)

    @property
    def grpc_port(self) -> int:
        """The port that KEDA asks; the one asked for before it listens."""
        return self._external.port or self._grpc_port

    def stop(self) -> None:
        """End ``run``."""
        self._asked.set()

    async def run(self, *, signals: bool = True) -> None:
        """Answer until a signal, or ``stop``.

        Raises:
            AccessDenied: the server refuses the credentials.
            StateError: a port cannot be had.
        """
        let_go = self._signals.catch() if signals else None
        try:
            async with AsyncExitStack() as stack:
                await self._listen(stack)
                signing_in = asyncio.create_task(self._pool.start(), name="sign-in")
                asked = asyncio.create_task(self._asked.wait())
                await asyncio.wait({signing_in, asked}, return_when=asyncio.FIRST_COMPLETED)
                if signing_in.done():
                    asked.cancel()
                    signing_in.result()
                    self.telemetry.ready("answering autoscalers")
                    await self._asked.wait()
                signing_in.cancel()
                await asyncio.gather(signing_in, asked, return_exceptions=True)
                self.telemetry.stopping()
        finally:
            if let_go is not None:
                let_go()

    async def _listen(self, stack: AsyncExitStack) -> None:
        """Answer whoever asks; the stack ends it all in reverse order."""
        health = self.telemetry.health
        await self.telemetry.start(lambda: "")
        stack.push_async_callback(self.telemetry.stop)
        self.telemetry.watch(self._pool, None, {}, self._queues)
        stack.push_async_callback(self._pool.stop)
        self._answers.start()
        stack.push_async_callback(self._answers.stop)
        if health is not None:
            health.add_route("/scale", self._answers.answer)
            self.telemetry.metrics.add(self._answers)
        await self._queues.start()
        stack.push_async_callback(self._queues.stop)
        await self._external.start(self.settings.health_host, self._grpc_port)
        stack.push_async_callback(self._external.stop)
        address = f"{self.settings.health_host}:{self._external.port}"
        self._log.info("KEDA's external scaler answers", address=address)

    def _connection(self) -> Connection:
        settings = self.settings

        async def connected(connection: Connection) -> None:
            self.telemetry.use(connection.client)
            self._log.info("signed in to OpenIAP", connection=connection.name)
            self._queues.trigger()

        return Connection(
            "1",
            self._client,
            limiter=limiter_of(settings.rate_limit),
            times=link_times(settings),
            log=self._log,
            on_connected=connected,
            on_lost=lambda connection, reason: None,
        )

    def _client(self) -> Client:
        client = self._make()
        self.telemetry.listen_to(client)
        return client
