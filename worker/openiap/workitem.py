"""What the client gives and takes: work items, their files and their queues, as Python values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.openiap.payload import payload as payload_of

JsonObject = dict[str, Any]

NEW: Final = "new"
PROCESSING: Final = "processing"
SUCCESSFUL: Final = "successful"
FAILED: Final = "failed"
RETRY: Final = "retry"

SMALL: Final = 64 * 1024
"""Characters of a payload's text that is small enough to be kept, and sent again."""
READ_LATER: Final = 2 * 1024
"""Characters of a payload's text from which on it is read when it is first asked for: many a
handler is given a model that is read from the text itself."""
MOST_FILES: Final = 1_000
"""Files that are given to an item: each is an upload of its own, and the official library fetches
all of them whenever the item is popped."""

BUSINESS: Final = "business"
APPLICATION: Final = "application"


@dataclass(slots=True)
class WorkitemFile:
    """A file of a work item.

    Attributes:
        filename: base name; for an upload by path it may be left "" (the path's name is taken).
        id: the stored file's id in ``fs.files``, or "" when it is not stored yet.
        path: the local copy, where there is one.
    """

    filename: str = ""
    id: str = ""
    path: Path | None = None


@dataclass(slots=True)
class Workitem(Mapping[str, Any]):
    """A unit of work as OpenIAP holds it (protocol.md, Work items); its fields can be read as those
    of a dict, too: ``item["payload"]``, ``item.get("_id")``.

    ``payload`` is the JSON object; ``None`` in an update keeps the stored one. Times are UTC-aware.
    ``size`` is the length of the payload's text as it came, 0 for an item that did not come;
    ``text`` is that text where it is known and pydantic's core reads it, else ""; ``came`` is the
    same of a small one that the official library brought. A payload that came long, as the text of
    an object, is read when it is first asked for; a text that is none after all is dropped then.
    """

    id: str = ""
    name: str = ""
    payload: JsonObject | None = field(default_factory=dict)
    priority: int = 2
    nextrun: datetime | None = None
    lastrun: datetime | None = None
    files: list[WorkitemFile] = field(default_factory=list)
    state: str = ""
    wiq: str = ""
    wiqid: str = ""
    retries: int = 0
    username: str = ""
    success_wiqid: str = ""
    failed_wiqid: str = ""
    success_wiq: str = ""
    failed_wiq: str = ""
    errormessage: str = ""
    errorsource: str = ""
    errortype: str = ""
    size: int = field(default=0, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    came: str = field(default="", compare=False, repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Read the payload of an item whose slot for it is empty."""
            if name != "payload":
                raise AttributeError(f"a work item has no {name!r}")
            return self._read()

    def _read(self) -> JsonObject:
        self.payload, known = payload_of(self.text)
        if not known:
            self.text = ""
        return self.payload

    def checked_text(self) -> str:
        """Return its ``text``, looked at if nobody has yet."""
        if self.unread:
            self._read()
        return self.text

    @property
    def unread(self) -> bool:
        """Whether its payload is still the text that came, of which nobody has asked the values."""
        try:
            _SLOT.__get__(self)
        except AttributeError:
            return True
        return False

    def __getitem__(self, name: str) -> Any:
        if name == "_id":
            return self.id
        if name not in OF_WORKITEM:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(OF_WORKITEM)

    def __len__(self) -> int:
        return len(OF_WORKITEM)


_SLOT: Final[Any] = Workitem.__dict__["payload"]
OF_WORKITEM: Final = tuple(one.name for one in fields(Workitem) if one.compare)
"""Its fields, but for what the worker itself keeps there."""


def later(text: str) -> bool:
    """Whether a payload's text is read when somebody asks for it, and not before."""
    return len(text) >= READ_LATER and text[0] == "{"


@dataclass(slots=True)
class WorkItemQueue:
    """A work item queue; delays in seconds, ``maxretries`` counts all attempts (server.md).

    Attributes:
        acl: who may do what, ``{"_id", "rights"}`` each. An update of a queue replaces all of it.
    """

    name: str = ""
    id: str = ""
    maxretries: int = 3
    retrydelay: int = 0
    initialdelay: int = 0
    amqpqueue: str = ""
    robotqueue: str = ""
    workflowid: str = ""
    projectid: str = ""
    usersrole: str = ""
    packageid: str = ""
    success_wiqid: str = ""
    failed_wiqid: str = ""
    success_wiq: str = ""
    failed_wiq: str = ""
    acl: list[JsonObject] = field(default_factory=list)
