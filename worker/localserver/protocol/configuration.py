"""What the server tells clients about itself, as ``/config`` and in the answer to a sign-in."""

from typing import Any

from worker._version import __version__
from worker.localserver.operations.options import ServerOptions


def configuration(options: ServerOptions) -> dict[str, Any]:
    """Return the configuration; what it leaves out, clients take from their environment."""
    told: dict[str, Any] = {
        "domain": "localhost.openiap.local",
        "version": __version__,
        "server": "openiap-worker local server",
        "supports_watch": True,
        "enable_analytics": False,
        "amqp_enabled_exchange": True,
    }
    if not options.pops_compete:
        told["pops_compete"] = False
    if options.rate_limit == 0:
        told["rate_limited"] = False
    if options.otel_metric_url is not None:
        told["otel_metric_url"] = options.otel_metric_url
        # With false here the official library sets up no metrics at all. Its vendor gets none
        # either way: clients of this worker forbid that in the library's environment.
        told["enable_analytics"] = True
    return told
