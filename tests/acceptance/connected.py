"""Producers whose links can be struck."""

from contextlib import AbstractAsyncContextManager

from tests.acceptance.processes import PASSWORD, USER
from tests.acceptance.proxy import Proxy
from worker import Producer, connect


def connected_through(proxy: Proxy, client: str) -> AbstractAsyncContextManager[Producer]:
    """Return a producer behind a proxy, which is quick to be there again once its link was cut."""
    return connect(
        url=f"ws://127.0.0.1:{proxy.port}",
        username=USER,
        password=PASSWORD,
        client=client,
        rate_limit=0,
        reconnect_min=0.05,
        reconnect_max=0.2,
        call_timeout=5,
    )
