"""``connect`` as programs know it: pushing, and taking items with the engine's promises."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from worker.engine.pulling.pulls import EnginePulls
from worker.producer import connect as without
from worker.producer.producer import Checks, Producer
from worker.settings import Settings


def connect(
    settings: Settings | None = None, *, contracts: Checks | None = None, **values: Any
) -> AbstractAsyncContextManager[Producer]:
    """Sign in, to push and to take items from inside ``async with``::

        async with connect() as producer:
            pushed = await book_invoice.push(Invoice(number="4711", amount=12))
            booking = await pushed.result(timeout="1m")

    The link comes back by itself after a break, and calls wait for their turn under the server's
    rate limit. Where pushes happen in other tasks than the one that entered (a web application),
    pass ``via=producer``.

    Args:
        settings: ready ones; else they are collected as for the worker: the environment,
            ``config/worker.toml``, defaults.
        contracts: what every push is held to; see ``worker.Contracts``.
        values: settings by name, for example ``url="ws://localhost:3000"``.

    Raises:
        SettingsError: no URL, no credentials, or an unknown setting.
        AccessDenied: the server refuses the credentials.
    """
    return without.connect(settings, contracts=contracts, pulling=EnginePulls, **values)
