"""What is kept of a group beside its items: one cell that says how far its making and its end are,
and a sign that it is open.

1. The cell's versions are ``pushing``, ``pushed``, ``closing`` and ``closed``: who makes the next
   one is one, whoever else tries (``worker/state/cells.py``).
2. The sign is a document that lists find by the beginning of its ``_id``. It goes with the group's
   end; one that is left beside a closed group says nothing.
3. A key is a cell that holds the id of its group. It and a closed group's cell are swept after
   ``KEPT``.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from worker.item.group import is_id, new_id
from worker.item.group_desk import GroupNotFound, GroupPlan, GroupProgress
from worker.item.new_item import Push
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey, OpenIAPError
from worker.openiap.fields import id_of, number, object_of, text_of, texts_of
from worker.openiap.workitem import JsonObject
from worker.state.cells import COLLECTION, Cells, Version, plain_id
from worker.state.retrying import tried
from worker.state.server_clock import ServerClock

KIND: Final = "group"
KEY_KIND: Final = "group-key"
OPEN: Final = "group-open"
PUSHING: Final = "pushing"
PUSHED: Final = "pushed"
CLOSING: Final = "closing"
CLOSED: Final = "closed"
KEPT: Final = 30 * 86_400.0
"""Seconds for which a key, and a group that is over, are known."""


@dataclass(frozen=True, slots=True)
class Record:
    """A group's cell, read.

    Attributes:
        queues: of its members; ``marked``: those of them whose items are known by their marks.
        stop: "", or how far the cancelling of those that waited is: ``begun``, ``done``.
        then: the item that comes after the members, or None.
    """

    version: Version
    id: str
    state: str
    of: int
    digest: str
    queues: tuple[str, ...]
    marked: tuple[str, ...]
    stops: bool
    stop: str
    then: Push | None
    parent: str
    then_id: str

    @classmethod
    def read(cls, version: Version) -> "Record":
        """Read a version of the cell; what does not fit counts as not there."""
        content = version.content
        then = object_of(content.get("then"))
        return cls(
            version,
            version.name,
            text_of(content.get("state")),
            number(content.get("of")),
            text_of(content.get("digest")),
            texts_of(content.get("queues")),
            texts_of(content.get("marked")),
            content.get("on_failure") == "stop",
            text_of(content.get("stop")),
            None if not then else _push(then),
            text_of(content.get("parent")),
            text_of(content.get("then_id")),
        )

    def progress(self, done: int, failed: int) -> GroupProgress:
        """Return how far the group is."""
        over = self.state == CLOSED
        return GroupProgress(
            self.id,
            self.of,
            min(done, self.of),
            min(failed, self.of),
            over=over,
            stopped=bool(self.stop),
            whole=self.state != PUSHING,
            then=self.then_id,
        )


class Records:
    """The groups of one namespace, over a client."""

    def __init__(self, client: Client, namespace: str = "") -> None:
        self._client = client
        self._cells = Cells(client, namespace)
        self._clock = ServerClock(client, namespace)
        self._namespace = namespace

    async def of(self, group: str) -> Record:
        """Return what is kept of a group.

        Raises:
            GroupNotFound: nothing is (any more), or this user may not see it.
        """
        version = await self._cells.tip(KIND, group) if is_id(group) else None
        if version is None or version.removed:
            raise GroupNotFound(
                f"there is no group {group!r}: it ended long ago, never was, or this user may not"
                " see it"
            )
        return Record.read(version)

    async def begin(self, plan: GroupPlan[Push], acl: Sequence[JsonObject]) -> Record:
        """Return the group of a plan: the one of its key, or a new one."""
        id = new_id(await self._clock.now_or_own())
        if plan.key:
            id = await self._id_of(plan.key, id, acl)
        content: JsonObject = {
            "state": PUSHING,
            "of": len(plan.members),
            "digest": plan.digest,
            "queues": sorted({push.queue for push in plan.members}),
            "on_failure": plan.on_failure,
            "then": None if plan.then is None else _kept(plan.then),
            "parent": plan.parent,
        }
        while True:
            made = await self._cells.create(KIND, id, content, acl=acl)
            found = made or await self._cells.tip(KIND, id)
            if found is not None and found.removed:  # swept, and called again after so long
                found = await self._cells.replace(found, content)
            if found is not None:
                return Record.read(found)

    async def _id_of(self, key: str, id: str, acl: Sequence[JsonObject]) -> str:
        content: JsonObject = {"id": id, "keep": KEPT}
        while True:
            if await self._cells.create(KEY_KIND, key, content, acl=acl) is not None:
                return id
            found = await self._cells.read(KEY_KIND, key)
            if found is not None:
                known = found.content.get("id")
                if is_id(known):
                    return known
                await self._cells.replace(found, content)

    async def step(self, record: Record, **changes: Any) -> Record | None:
        """Make the next version; None where somebody else did."""
        content = {**record.version.content, **changes}
        made = await self._cells.replace(record.version, content)
        return None if made is None else Record.read(made)

    async def age(self, record: Record) -> float:
        """Return how many seconds ago the version was made, in the server's time."""
        if record.version.stamped is None:
            return 0.0
        now = await self._clock.now()
        return (now - record.version.stamped).total_seconds()

    async def note_open(self, record: Record) -> None:
        """Say that a group is open; nothing where that is said already."""
        document: JsonObject = {
            "_id": self._sign(record.id),
            "_type": OPEN,
            "name": record.id,
            "namespace": self._namespace,
        }
        if record.version.acl:
            document["_acl"] = list(record.version.acl)
        with suppress(DuplicateKey):
            await tried(lambda: self._client.insert_one(COLLECTION, document))

    async def note_closed(self, group: str) -> None:
        """Take the sign away; a sign that stays says nothing."""
        with suppress(OpenIAPError):
            await self._client.delete_one(COLLECTION, self._sign(group))

    async def open(self, after: str = "", top: int = 100) -> list[str]:
        """Return the ids of open groups, in order, from one on."""
        first = self._sign("")
        query: JsonObject = {"_id": {"$gt": first + after, "$lt": first + "g"}}
        found = await self._client.query(COLLECTION, query, {"name": 1}, {"_id": 1}, top=top)
        ids = (id_of(document).removeprefix(first) for document in found)
        return [id for id in ids if is_id(id)]

    def _sign(self, group: str) -> str:
        return plain_id(self._namespace, OPEN, group)


def _kept(push: Push) -> JsonObject:
    return {
        "queue": push.queue,
        "payload": push.payload,
        "name": push.name,
        "priority": push.priority,
    }


def _push(kept: Mapping[str, Any]) -> Push:
    return Push(
        text_of(kept.get("queue")),
        object_of(kept.get("payload")),
        text_of(kept.get("name")),
        number(kept.get("priority")),
    )
