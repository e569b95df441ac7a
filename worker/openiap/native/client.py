"""The native client: websockets or gRPC and protobuf over asyncio, without the official library.

Its parts: ``link`` (the connection across reconnects, with ``registrations``), ``session`` (one
connection) over ``websocket`` or ``grpc``; ``operations`` (requests with one reply), ``files`` with
``streams``, ``messages``; ``telemetry`` with ``log_lines``, ``gauges`` and ``otlp``.
"""

from contextlib import AbstractContextManager
from typing import Final, TextIO

from worker.openiap.backend import Backend
from worker.openiap.callbacks import Callbacks, ConnectionEvents
from worker.openiap.client import Client
from worker.openiap.native.files import Files
from worker.openiap.native.link import Link
from worker.openiap.native.messages import Messages
from worker.openiap.native.operations import Operations
from worker.openiap.native.registrations import Registrations
from worker.openiap.native.scope import entered
from worker.openiap.native.telemetry import Telemetry
from worker.openiap.native.transport import Times
from worker.openiap.replies import Replies
from worker.openiap.types import Capabilities, ConnectionOptions

CAPABILITIES: Final = Capabilities(
    name="native",
    conditional_updates=True,
    nextrun_on_update=True,
    bulk_push=True,
    queue_administration=True,
    lazy_files=True,
)


class NativeClient(Client):
    """A client that speaks the protocol by itself.

    It reconnects by itself once ``connect`` has succeeded, and registers queues, exchanges and
    watches again before ``SignedIn`` is told.

    Args:
        options: where to and as whom.
        times: the seconds that rule the link.
        output: where log lines go; None for stderr.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        times: Times = Times(),  # noqa: B008 (frozen)
        output: TextIO | None = None,
    ) -> None:
        telemetry = Telemetry(options, output)
        callbacks = Callbacks(telemetry.report)
        events = ConnectionEvents(callbacks)
        replies = Replies()
        registrations = Registrations(callbacks, telemetry.report, replies)
        link = self._link = Link(options, times, registrations, events, telemetry)
        operations = Operations(link)
        super().__init__(
            Backend(
                capabilities=CAPABILITIES,
                options=options,
                link=link,
                operations=operations,
                files=Files(link, operations),
                messages=Messages(link),
                telemetry=telemetry,
                events=events,
                replies=replies,
            )
        )

    def scope(
        self, *, jwt: str = "", traceid: str = "", spanid: str = ""
    ) -> AbstractContextManager[None]:
        """Let every call inside carry these; for the caller's task and those it starts.

        Args:
            jwt: act as another user.
            traceid, spanid: the trace that the calls belong to.
        """
        return entered(self._link, jwt, traceid, spanid)
