"""``connect`` and ``client``: pushing and OpenIAP's whole API for programs that are no workers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from worker.errors import SettingsError
from worker.kinds import kind_of
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.factory import client_maker, link_times
from worker.openiap.limiter import limiter_of
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.producer.producer import Checks, Producer, current_producer
from worker.producer.sender import ClientSender
from worker.producer.taking import Pulls
from worker.settings import Settings, load
from worker.state.current import CurrentState, current_state, waiting_for
from worker.telemetry.log import Log


@asynccontextmanager
async def connect(
    settings: Settings | None = None,
    *,
    contracts: Checks | None = None,
    pulling: Callable[[Settings], Pulls] | None = None,
    **values: Any,
) -> AsyncIterator[Producer]:
    """Sign in and push from inside ``async with``; see ``worker.connect``.

    Args:
        pulling: makes what takes items, of the settings; without it nothing can be taken.
    """
    chosen = _chosen(settings, values)
    if contracts is not None and not hasattr(contracts, "check_signal"):
        raise TypeError(
            f"contracts = {contracts!r}; allowed: worker.Contracts, for example"
            ' Contracts.read("contracts.json")'
        )
    async with client(chosen) as pooled:
        pulls = None if pulling is None else pulling(chosen)
        producer = Producer(
            ClientSender(
                pooled,
                chosen.namespace,
                check_signal=None if contracts is None else contracts.check_signal,
            ),
            checks=contracts,
            client=pooled,
            namespace=chosen.namespace,
            pulls=pulls,
        )
        token = current_producer.set(producer)
        wait = waiting_for(asyncio.get_running_loop())
        state = current_state.set(CurrentState(producer.state, wait))
        try:
            yield producer
        finally:
            current_producer.reset(token)
            current_state.reset(state)
            if pulls is not None:
                await pulls.close()


@asynccontextmanager
async def client(settings: Settings | None = None, **values: Any) -> AsyncIterator[Client]:
    """Sign in and make any call that OpenIAP documents, from inside ``async with``::

        async with client() as openiap:
            invoices = await openiap.query("invoices", {"paid": False})

    The link comes back by itself after a break, what is registered is there again, and calls wait
    for a link and for their turn under the server's rate limit.

    Args:
        settings, values: as for ``connect``.

    Raises:
        SettingsError: no URL, no credentials, or an unknown setting.
        AccessDenied: the server refuses the credentials.
    """
    pool = _pool(_chosen(settings, values))
    await pool.start()
    try:
        yield pooled_client(pool)
    finally:
        await pool.stop()


def _chosen(settings: Settings | None, values: Mapping[str, Any]) -> Settings:
    """Return ready settings, or collect them.

    Raises:
        SettingsError: what is given is none, or settings by name stand beside ready ones.
    """
    if settings is None:
        return load(values).settings
    if not isinstance(settings, Settings):
        # What it holds is not told: it may be settings in another form, a password among them.
        raise SettingsError(
            f"settings is {kind_of(settings)}; allowed: worker.settings.Settings, or settings by"
            ' name, for example url="ws://localhost:3000"'
        )
    if values:
        raise SettingsError(
            f"{', '.join(values)} beside ready settings; allowed: one of both, or"
            " settings.model_copy(update={…})"
        )
    return settings


def _pool(settings: Settings) -> Pool:
    make = client_maker(settings, "")
    log = Log(settings.log_level)
    times = link_times(settings)

    async def connected(connection: Connection) -> None:
        """There is nothing to register."""

    def lost(connection: Connection, reason: str) -> None:
        """The connection itself says so, and comes back."""

    return Pool(
        [
            Connection(
                str(number + 1),
                make,
                limiter=limiter_of(settings.rate_limit),
                times=times,
                log=log,
                on_connected=connected,
                on_lost=lost,
            )
            for number in range(settings.connections)
        ]
    )
