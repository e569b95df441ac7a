"""The client of a test without a server: it says so, and writes log lines."""

from typing import Any, cast

from worker.openiap.client import Client


class NoServerError(Exception):
    """A handler called OpenIAP in a test that has none."""


class OfflineClient:
    """In the place of a ``Client``; log functions and gauges do nothing, the rest refuses."""

    on_late_pop = None
    connected = False
    user = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _SILENT or name.endswith("_observable_gauge"):
            return _nothing
        if not hasattr(Client, name):
            raise AttributeError(f"Client has no {name}")
        raise NoServerError(
            f"client.{name}: worker_test has no server; give it a client,"
            f" worker_test(..., client=local_openiap.client) or one of your own"
        )


_SILENT = frozenset(
    {"info", "warn", "error", "verbose", "debug", "trace", "enable_tracing", "disable_tracing"}
)


def _nothing(*args: object, **more: object) -> None:
    return None


def offline_client() -> Client:
    """Return such a client."""
    return cast(Client, OfflineClient())
