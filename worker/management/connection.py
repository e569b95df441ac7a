"""A link for operators' programs, which comes back by itself after a break."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from worker.openiap.client import Client
from worker.producer.connect import client
from worker.settings import Settings


@asynccontextmanager
async def connect(settings: Settings | None = None, **values: Any) -> AsyncIterator[Client]:
    """Sign in, for what is in this package::

        async with connect() as client:
            page = await Items(client).get_plist(ItemsGetPListPayload())

    Args:
        settings: ready ones; else they are collected as for the worker.
        values: settings by name, for example ``url="ws://localhost:3000"``.

    Raises:
        SettingsError: no URL, no credentials, or an unknown setting.
        AccessDenied: the server refuses the credentials.
    """
    async with client(settings, **values) as signed_in:
        yield signed_in
