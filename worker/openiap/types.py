"""The types of the client's API, beside work items (``workitem.py``) and errors (``errors.py``)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from worker.openiap.workitem import JsonObject, WorkitemFile

EventName = Literal["Connecting", "Connected", "SignedIn", "Disconnected"]
Payload = Mapping[str, Any] | Sequence[Any] | str | int | float | bool | None
FileArgument = str | Path | WorkitemFile
JsonText = Mapping[str, Any] | Sequence[Any] | str


class ReadByName(Mapping[str, Any]):
    """An event whose fields can be read as those of a dict, too: ``event["data"]``."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __getitem__(self, name: str) -> Any:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dataclass_fields__)

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class ClientEvent(ReadByName):
    """What happened to the connection; ``reason`` is set with ``Disconnected``."""

    event: EventName
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QueueEvent(ReadByName):
    """A message on a registered message queue or exchange; ``data`` is the parsed JSON."""

    queuename: str
    correlation_id: str
    replyto: str
    routingkey: str
    exchangename: str
    data: Any


@dataclass(frozen=True, slots=True)
class WatchEvent(ReadByName):
    """A change in a watched collection; ``document`` is the document after it."""

    id: str
    operation: str
    document: JsonObject


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """How many documents a conditional update matched and changed."""

    matched: int
    modified: int


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in."""

    id: str
    name: str
    username: str
    email: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a client can do beyond the official library's abilities; the guide's page ``clients``
    has both side by side.

    Attributes:
        conditional_updates: ``update_document`` works, so a fence can be one atomic step.
        nextrun_on_update: a retry can carry its own time, honoured by the server.
        bulk_push: ``push_workitems`` is one message.
        queue_administration: ``add_workitem_queue`` and its siblings work.
        lazy_files: a pop does not download the item's files by itself.
    """

    name: str
    conditional_updates: bool = False
    nextrun_on_update: bool = False
    bulk_push: bool = False
    queue_administration: bool = False
    lazy_files: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How to reach OpenIAP and as whom.

    Attributes:
        url: ``ws(s)://``, ``grpc://`` or ``http(s)://`` (taken as ``ws(s)``), without credentials.
        username, password, jwt: either the pair or the token; secrets never enter ``repr``.
        agent, version: what ``signin`` tells the server about this program.
        ca_file: a CA bundle instead of the system's roots (native client).
        default_timeout: seconds for a call that names none.
        vendor_telemetry: whether the official library may send process metrics to its vendor.
        http_url: where ``/config`` and ``/download`` are, when that does not follow from ``url``.
        metric_url, log_url: OTLP collectors (gRPC) for gauges and log lines, where the server's
            ``/config`` names none (native client).
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)
    agent: str = "openiap-worker"
    version: str = ""
    ca_file: Path | None = None
    default_timeout: float = 30.0
    vendor_telemetry: bool = False
    http_url: str = ""
    metric_url: str = ""
    log_url: str = ""


EventCallback = Callable[[ClientEvent], Any] | Callable[[ClientEvent, int], Any]
QueueCallback = Callable[[QueueEvent], Any] | Callable[[QueueEvent, int], Any]
WatchCallback = Callable[[WatchEvent], Any] | Callable[[WatchEvent, int], Any]
"""Plain or async; one that takes two arguments is given the number of the event, too, from 1."""
ToldEvent = Callable[[ClientEvent], Any]
ToldMessage = Callable[[QueueEvent], Any]
ToldChange = Callable[[WatchEvent], Any]
"""The same as implementations are given them."""
