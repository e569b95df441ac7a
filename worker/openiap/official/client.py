"""The official client: the library of the package ``openiap-edge`` behind ctypes.

It has the whole documented API. What the library cannot do raises ``Unsupported`` and names the
native client. Its parts: ``link`` (connect, sign in, disconnect), ``operations`` (calls with one
answer), ``files``, ``messages`` with ``subscriptions``, ``telemetry``. Below them
``library_client`` (one client of the library) with ``pending_call``, ``library`` (the loaded
library and its callbacks), ``functions`` and ``abi`` (its C interface), ``items`` (work items as
its structures) and ``platform`` (files and environment).
"""

from worker.openiap.backend import Backend
from worker.openiap.callbacks import Callbacks, ConnectionEvents
from worker.openiap.client import Client
from worker.openiap.official.files import Files
from worker.openiap.official.link import Link
from worker.openiap.official.messages import Messages
from worker.openiap.official.operations import Operations
from worker.openiap.official.subscriptions import Subscriptions
from worker.openiap.official.telemetry import Telemetry
from worker.openiap.replies import Replies
from worker.openiap.types import Capabilities, ConnectionOptions


class OfficialClient(Client):
    """A client of OpenIAP through the official library.

    Args:
        options: where to and as whom.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        telemetry = Telemetry(options)
        callbacks = Callbacks(telemetry.report)
        events = ConnectionEvents(callbacks)
        replies = Replies()
        subscriptions = Subscriptions(replies)
        link = self._link = Link(options, subscriptions, events, telemetry)
        super().__init__(
            Backend(
                capabilities=Capabilities(name="official"),
                options=options,
                link=link,
                operations=Operations(link),
                files=Files(link),
                messages=Messages(link, subscriptions, callbacks, replies),
                telemetry=telemetry,
                events=events,
                replies=replies,
            )
        )
