"""Both clients against the local server, as for shared state."""

from tests.integration.state.conftest import client, kind, make, process, server

__all__ = ["client", "kind", "make", "process", "server"]
