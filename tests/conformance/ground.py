"""What a probe stands on: one lane's client, its own names and queues, and a second user."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from tests.conformance.facts import CannotAsk, Differs
from tests.conformance.pace import Pace, paced
from tests.conformance.sites import CALL, Lane, Login, Site
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.native import NativeClient
from worker.openiap.values import parse_iso
from worker.openiap.workitem import JsonObject, Workitem, WorkItemQueue

M = TypeVar("M", bound=Message)
T = TypeVar("T")

COLLECTION: Final = "openiap_conformance"
"""Where the documents of all runs go, each with its run's prefix in ``run``: an ordinary user who
makes a collection could not remove it."""
FEW: Final = 30.0
"""Seconds for what comes at once, on a server that may be busy with others."""
SLACK: Final = 5
"""Seconds that two times may be apart which a server notes for one change."""
_ID: Final = re.compile(r"\b[0-9a-f]{24}\b")


class Crew:
    """The clients of one lane, made once: who asks, who prepares, and the second user's."""

    def __init__(self, site: Site, lane: Lane, prefix: str) -> None:
        self.site = site
        self.lane = lane
        self.prefix = prefix
        self.admin = False
        self._stack = AsyncExitStack()
        self._second: Client | None = None
        self._second_lock = asyncio.Lock()

    async def __aenter__(self) -> "Crew":
        self.maker_pace = Pace(self.site.pace)
        # Queues are made by the native client: the official one cannot.
        native = Lane("native", self.lane.url)
        self.maker = await self.signed_in(lane=native, pace=self.maker_pace)
        self.client = self.maker if self.lane == native else await self.signed_in()
        user = self.client.user
        self.admin = "admins" in (user.roles if user else ())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def signed_in(
        self,
        login: Login | None = None,
        *,
        lane: Lane | None = None,
        pace: Pace | None = None,
    ) -> Client:
        """Return one more client, which is closed with the lane."""
        client = self.site.client(lane or self.lane, login)
        self._stack.push_async_callback(client.disconnect)
        await client.connect(timeout=CALL)
        return paced(client, pace or Pace(self.site.pace))

    async def second(self) -> Client:
        """Return the second user's client.

        Raises:
            CannotAsk: there is no second user, or it is an admin.
        """
        if self.site.second is None:
            raise CannotAsk("no second user (--second-user)")
        async with self._second_lock:
            if self._second is None:
                native = Lane("native", self.lane.url)
                self._second = await self.signed_in(self.site.second, lane=native)
        user = self._second.user
        if user is None or "admins" in user.roles:
            raise CannotAsk("the second user is an admin, whom no right is missing")
        return self._second


@dataclass(slots=True)
class Ground:
    """What one probe is given.

    Attributes:
        client: the lane's client, signed in as the first user: what is asked goes through it.
        maker: the native client of the same user, for what the official one has no call for.
        folder: for the probe's files.
    """

    crew: Crew
    folder: Path
    label: str
    names: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        return self.crew.client

    @property
    def maker(self) -> Client:
        return self.crew.maker

    @property
    def native(self) -> NativeClient:
        """The lane's client where it is the native one."""
        assert isinstance(self.crew.maker, NativeClient)
        return self.crew.maker

    @property
    def site(self) -> Site:
        return self.crew.site

    @property
    def user_id(self) -> str:
        user = self.client.user
        return user.id if user else ""

    def name(self, word: str) -> str:
        """Return a name that nobody else has; the same word gives the same name again."""
        return self.names.setdefault(word, f"{self.crew.prefix}-{self.label}-{word}")

    async def second(self) -> Client:
        """Return the second user's client."""
        return await self.crew.second()

    async def queue(self, word: str = "Q", **fields: Any) -> WorkItemQueue:
        """Make a queue."""
        skiprole = fields.pop("skiprole", True)
        return await self.maker.add_workitem_queue(
            WorkItemQueue(name=self.name(word), **fields), skiprole=skiprole
        )

    async def queue_document(self, queue: WorkItemQueue, **changes: Any) -> JsonObject:
        """Change a queue's document as people do in OpenIAP's pages."""
        (found,) = await self.maker.query("mq", {"_id": queue.id})
        return await self.maker.update_one("mq", {**found, **changes}) if changes else found

    async def push(self, queue: WorkItemQueue, payload: Any = None, **fields: Any) -> Workitem:
        """Push an item."""
        return await self.client.push_workitem(queue.name, payload or {}, **fields)

    async def pushed_pop(self, queue: WorkItemQueue, payload: Any = None) -> Workitem:
        """Push an item and pop it."""
        await self.push(queue, payload)
        return await self.popped(queue)

    async def popped(self, queue: WorkItemQueue) -> Workitem:
        """Pop an item that is there.

        Raises:
            Differs: there is none.
        """
        item = await self.client.pop_workitem(queue.name)
        if item is None:
            raise Differs("a pop brought nothing although an item was due")
        return item

    async def update(self, id: str, state: str = "", **fields: Any) -> Workitem:
        """Update an item, keeping its payload.

        With files, name its queue: what is uploaded is found by that when it is to be removed.
        """
        outer = {k: fields.pop(k) for k in ("files", "ignoremaxretries") if k in fields}
        fields.setdefault("payload", None)
        return await self.client.update_workitem(
            Workitem(id=id, state=state, priority=0, **fields), **outer
        )

    async def item(self, id: str, *keys: str) -> JsonObject:
        """Return an item's document as it is stored, or some keys of it."""
        found = await self.maker.query("workitems", {"_id": id})
        if not found:
            raise Differs(f"the item {id} is not stored any more")
        return {key: found[0].get(key) for key in keys} if keys else found[0]

    async def items(self, queue: WorkItemQueue, **query: Any) -> list[JsonObject]:
        """Return a queue's items in the order of their making."""
        return await self.maker.query(
            "workitems", {"wiq": queue.name, **query}, orderby={"_created": 1}
        )

    def document(self, **fields: Any) -> JsonObject:
        """Return a document of this run, for ``COLLECTION``."""
        return {"run": self.crew.prefix, "name": self.label, **fields}

    async def insert(self, **fields: Any) -> JsonObject:
        """Store a document of this run."""
        return await self.client.insert_one(COLLECTION, self.document(**fields))

    async def ask(self, command: str, request: Message, kind: type[M]) -> M:
        """Send a request as it is, by the native client, and return its reply."""
        session = self.native._link.session_for(command)
        return await self.crew.maker_pace.call(
            lambda: session.request(command, command, request, kind, CALL)
        )

    async def refusal(self, call: Awaitable[Any]) -> str:
        """Return how a call is refused: the text, with this run's own names by their words."""
        try:
            got = await call
        except OpenIAPError as error:
            return self.plain(error.text)
        return f"not refused: {self.plain(str(got))[:200]}"

    def plain(self, text: str) -> str:
        """Return a text without what is different in each run."""
        for word, name in sorted(self.names.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(name, word)
        for login, word in ((self.site.first, "FIRST"), (self.site.second, "SECOND")):
            if login is not None:
                text = re.sub(rf"\b{re.escape(login.username)}\b", word, text)
        return _ID.sub("ID", text)

    def file(self, name: str, content: bytes) -> Path:
        """Write a local file."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    async def until(
        self,
        what: str,
        happened: Callable[[], Awaitable[T | None]],
        seconds: float = FEW,
        every: float = 0.2,
    ) -> T:
        """Return what comes at last.

        Raises:
            Differs: it did not in time.
        """
        end = asyncio.get_running_loop().time() + seconds
        while (found := await happened()) is None:
            if asyncio.get_running_loop().time() > end:
                raise Differs(f"{what}: not within {seconds:g} s")
            await asyncio.sleep(every)
        return found


def moment(value: object) -> datetime:
    """Return a document's time."""
    if isinstance(value, str):
        return parse_iso(value)
    raise Differs(f"{value!r} is no time")


def seconds_between(later: object, earlier: object) -> int:
    """Return whole seconds between two times of a document."""
    return round((moment(later) - moment(earlier)).total_seconds())


def about(wanted: int, later: object, earlier: object) -> int:
    """Return the seconds that are wanted where about so many lie between two times.

    A server notes the times of one change one after another, and may be busy between them.
    """
    found = seconds_between(later, earlier)
    return wanted if abs(found - wanted) <= SLACK else found


def now() -> datetime:
    """Return this machine's time, in milliseconds as OpenIAP keeps it."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def some(document: Mapping[str, Any], *keys: str) -> JsonObject:
    """Return some keys of a document."""
    return {key: document.get(key) for key in keys}
