"""The door through the package ``openiap-edge``: the official library behind ctypes.

It has the whole documented API. What the library cannot do raises ``Unsupported`` and names the
native client. Its rooms, each adding a part of the API to the one before:

* ``official_telemetry``: log lines, gauges, small conveniences
* ``official_connection``: connect, sign in, calls with a deadline, disconnect
* ``official_documents``, ``official_files``, ``official_workitems``, ``official_messages``

Below them ``official_link`` (one native connection), ``official_library`` (the loaded library and
its callbacks), ``official_functions`` and ``official_abi`` (its C interface), ``official_items``
and ``official_platform`` (files and environment); ``lane`` has threads for what blocks.
"""

from worker.openiap.client import Client
from worker.openiap.official.messages import OfficialMessages
from worker.openiap.types import ConnectionOptions


class OfficialClient(OfficialMessages):
    """A connection to OpenIAP through the official library.

    Args:
        options: where to and as whom.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__(options)


def official_client(options: ConnectionOptions) -> Client:
    """Return an unconnected official client."""
    return OfficialClient(options)
