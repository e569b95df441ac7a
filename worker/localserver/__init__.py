"""The local OpenIAP server: the real protocol and the real rules over one SQLite file.

It is for development, tests and a single machine. It speaks OpenIAP's protocol over websockets and
gRPC to real clients, with OpenIAP's rights, refusals and bugs, so what works on it works on
OpenIAP; it starts none of OpenIAP's agents, though they may register and take orders, and has none
of its workflows, customers or clustering. It knows nothing of the worker's engine.
"""

from worker.localserver.operations.options import Faults, ServerOptions
from worker.localserver.serve import serve
from worker.localserver.server import LocalServer, ServerStartError

__all__ = ["Faults", "LocalServer", "ServerOptions", "ServerStartError", "serve"]
