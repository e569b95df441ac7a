"""The work item queues of this worker as the server has them, and their wake-ups.

After every sign-in each queue is read (its name for messages, its maxretries) and the message queue
is registered again: registrations are lost with the link (server.md, Connections). What the server
refuses then is owed, and asked for again (``registration.py``). A watch is believed once an event
came through it, and not before: until then the poll keeps its pace.

Anybody may store a document in ``mq`` that has the name of a queue. The queue is the one that
OpenIAP itself takes for it, the first in its own order; the others count for nothing.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.engine.breakers.circuit import BREAKERS, Circuit, circuits_of
from worker.engine.pause import PAUSE, Pause, pause_of
from worker.engine.watch_test import (
    COLLECTION,
    NEW_ITEMS,
    TAKEN_ITEMS,
    is_test_document,
    write_test_document,
)
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.openiap.errors import AccessDenied, OpenIAPError, QueueNotFound, ServerError
from worker.openiap.fields import Misfit, Told, id_of, ignored, number, objects_of, text_of
from worker.openiap.types import QueueEvent, WatchEvent
from worker.openiap.workitem import NEW, PROCESSING, JsonObject
from worker.telemetry.log import Log

QUEUES: Final = "mq"
ANY_QUEUE: Final = "$[?(@._type == 'workitemqueue')]"
PROJECTION: Final = {
    "name": 1,
    "maxretries": 1,
    "retrydelay": 1,
    "amqpqueue": 1,
    "_acl": 1,
    PAUSE: 1,
    BREAKERS: 1,
}
MOST_TWINS: Final = 100

_Watch = Callable[[Connection], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the server says of a work item queue; ``acl`` is its list of rights, ``pause`` why it is
    not to be popped, ``circuits`` those of its breakers."""

    id: str
    name: str
    maxretries: int
    retrydelay: int
    amqpqueue: str
    acl: tuple[JsonObject, ...] = ()
    pause: Pause | None = None
    circuits: Mapping[str, Circuit] = field(default_factory=dict)


class Queues:
    """Reads the queues and registers their wake-ups on one connection.

    Args:
        names: the work item queues.
        message_queue: the setting ``queue``: a message queue for all of them, or "".
        wake: called with a queue's name when there may be work in it.
        queues_changed: called when what a queue says may be another than before.
        misfits: hears of documents that are none of a queue's.
        changed: called with a queue's name and the document of an item of it that is new, or, where
            pops compete, in processing; without it new items are told by ``wake``.

    Attributes:
        watched: whether the watch of this sign-in has told of something.
        sign_ins: how many there were.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        message_queue: str,
        wake: Callable[[str], None],
        log: Log,
        queues_changed: Callable[[], None] = lambda: None,
        changed: Callable[[str, JsonObject], None] | None = None,
        misfits: Told = ignored,
    ) -> None:
        self.facts: Final[dict[str, QueueFacts]] = {}
        self.unknown: Final[set[str]] = set()
        self.watched = False
        self.sign_ins = 0
        self._turn = asyncio.Lock()
        self._unread: set[str] = set()
        self._owed: set[_Watch] = set()
        self._said: set[str] = set()
        self._watch_test = f"watch-test-{uuid.uuid4().hex}"
        self._listening: set[str] = set()
        self._names = names
        self._message_queue = message_queue
        self._wake = wake
        self._queues_changed = queues_changed
        self._changed = changed
        self._misfits = misfits
        self._changes = 0
        self.unsure = False
        """Whether another document may be the queue than the one that was read."""
        self._log = log

    def rights(self, name: str) -> tuple[JsonObject, ...]:
        """Return a queue's list of rights; () where it is not known."""
        facts = self.facts.get(name)
        return () if facts is None else facts.acl

    @property
    def told(self) -> bool:
        """Whether a change of a queue is told at once: the watch on queues is registered, and
        watches are known to work here."""
        return self.watched and not self.unsure and self._watch_queues not in self._owed

    async def look(self, connection: Connection) -> None:
        """Read all queues once more, in one message.

        Raises:
            OpenIAPError: the link broke, or the server refuses.
        """
        query: JsonObject = {"_type": "workitemqueue", "name": {"$in": list(self._names)}}
        most = len(self._names) + MOST_TWINS
        changes = self._changes
        found = await connection.call(
            lambda client: client.query(QUEUES, query, PROJECTION, top=most), turn="first"
        )
        if changes != self._changes:
            return  # what was told meanwhile may be newer; the next look tells
        self.unsure = False
        for name in self._names:
            named = [document for document in found if text_of(document.get("name")) == name]
            if named:
                self._is(name, named)
        self._queues_changed()

    def doubt(self) -> None:
        """What was read of a queue is known to be old: it is read once more, soon."""
        self.unsure = True
        self._queues_changed()

    @property
    def owed(self) -> bool:
        """Whether something of this sign-in's was refused, or a queue is not there."""
        missing = self._message_queues() - self._listening
        return bool(self._unread or self.unknown or self._owed or missing)

    async def register(self, connection: Connection) -> None:
        """Read every queue and register what wakes it; to be called after each sign-in.

        Raises:
            OpenIAPError: the link broke; unknown queues and missing rights are said, not raised.
        """
        async with self._turn:
            self.sign_ins += 1
            self.watched = False
            self._said.clear()
            self._listening.clear()
            self._unread = set(self._names)
            watches = bool(connection.client.server_config.get("supports_watch"))
            self._owed = {self._watch, self._try_out, self._watch_queues} if watches else set()
            await self._ask(connection)

    async def register_again(self, connection: Connection, sign_in: int) -> None:
        """Ask for what is owed since that sign-in; nothing once there was another.

        Raises:
            OpenIAPError: the link broke.
        """
        async with self._turn:
            if sign_in == self.sign_ins:
                self._unread |= self.unknown
                await self._ask(connection)

    async def _ask(self, connection: Connection) -> None:
        # First: whoever changes a queue after it was read is heard of.
        if self._watch_queues in self._owed and await self._watch_queues(connection):
            self._owed.discard(self._watch_queues)
        for name in [name for name in self._names if name in self._unread]:
            await self._read(connection, name)
        for message_queue in sorted(self._message_queues() - self._listening):
            await self._listen(connection, message_queue)
        for watch in (self._watch, self._try_out):
            if watch in self._owed and await watch(connection):
                self._owed.discard(watch)
        self._queues_changed()

    def _say(self, say: Callable[..., None], text: str, **fields: object) -> None:
        """Say it once a sign-in: it is tried again and again."""
        if (told := f"{text} {fields}") not in self._said:
            self._said.add(told)
            say(text, **fields)

    def notified(self, name: str) -> bool:
        """Whether the server tells of a queue's items: a watch at once, a message within 10 s."""
        facts = self.facts.get(name)
        if facts is None:
            return False
        heard = {message_queue.lower() for message_queue in self._listening}
        return self.watched or (bool(facts.amqpqueue) and facts.amqpqueue.lower() in heard)

    async def _read(self, connection: Connection, name: str) -> None:
        query = {"_type": "workitemqueue", "name": name}
        changes = self._changes
        try:
            found = await connection.call(
                lambda client: client.query(QUEUES, query, PROJECTION, top=2), turn="first"
            )
        except (AccessDenied, ServerError) as error:
            self._say(self._log.warn, f"the queue cannot be read: {error.text}", queue=name)
            # What an earlier sign-in has read is a better guess than nothing.
            self.facts.setdefault(name, QueueFacts("", name, 0, 0, ""))
            self.unknown.discard(name)
            return
        self._unread.discard(name)
        if found:
            self.unknown.discard(name)
            known = self.facts.get(name)
            if changes == self._changes or known is None or known.id != id_of(found[0]):
                self._is(name, found)
            return
        self.unknown.add(name)
        self._say(
            self._log.error,
            f"Queue {name} does not exist, or this user has no rights on it;"
            f" create it with: openiap-worker queues create {name}",
        )

    def _is(self, name: str, found: Sequence[JsonObject]) -> None:
        """The queue is the first of these documents."""
        self.facts[name] = facts_of(name, found[0])
        for twin in found[1:]:
            self._misfits(Misfit("queue", id_of(twin), f"the queue {name} is another document"))

    def _told_of(self, document: JsonObject, *, gone: bool) -> None:
        """A document of ``mq`` has changed; of those that bear a queue's name one is the queue."""
        name = text_of(document.get("name"))
        for known, facts in self.facts.items():
            if facts.id and facts.id == id_of(document):
                self._changes += 1
                if name == known and not gone:
                    self.facts[name] = facts_of(name, document)
                else:
                    self.unsure = True
            elif name == known:
                self.unsure = True

    def _message_queues(self) -> set[str]:
        if self._message_queue:
            return {self._message_queue}
        return {facts.amqpqueue or name for name, facts in self.facts.items()}

    async def _listen(self, connection: Connection, message_queue: str) -> None:
        async def register(client: Client) -> str:
            return await client.register_queue(message_queue, self._on_message)

        try:
            await connection.call(register, turn="first")
        except (AccessDenied, ServerError, QueueNotFound) as error:
            self._say(
                self._log.warn,
                f"no wake-up messages from {message_queue} ({error.text}); polling alone for now",
            )
        else:
            self._listening.add(message_queue)

    def _on_message(self, event: QueueEvent) -> None:
        for name in self._names:
            facts = self.facts.get(name)
            if is_for(event.data, name, facts.id if facts else ""):
                self._wake(name)

    async def _watch(self, connection: Connection) -> bool:
        """See pushes at once; returns whether it is done with."""
        sign_in = self.sign_ins

        def changed(event: WatchEvent) -> None:
            state = event.document.get("state")
            if state == NEW and sign_in == self.sign_ins:
                self.watched = True  # an earlier link's says nothing of this one's
            if state in (NEW, PROCESSING):  # else it has ended, or is deleted
                self._on_change(event)

        paths = [NEW_ITEMS, TAKEN_ITEMS] if pops_compete(connection.client) else [NEW_ITEMS]
        try:
            await connection.call(
                lambda client: client.watch(COLLECTION, paths, changed), turn="first"
            )
        except OpenIAPError as error:
            if error.maybe_done:
                raise
            self._say(
                self._log.info,
                f"no watch on work items ({error.text}); waiting for messages and polls",
            )
            return False
        return True

    async def _try_out(self, connection: Connection) -> bool:
        """Have the watch tell of something; returns whether it is done with."""
        if self.watched:
            return True
        if self._watch in self._owed:
            return False
        try:
            await connection.call(
                lambda client: write_test_document(client, self._watch_test), turn="first"
            )
        except OpenIAPError as error:
            if error.maybe_done:
                raise
            self._say(
                self._log.info,
                f"the watch on work items cannot be tried out ({error.text}); it is relied upon"
                " once it has told of an item",
            )
            return False
        return True

    async def _watch_queues(self, connection: Connection) -> bool:
        """Hear of changed queues at once; returns whether it is done with."""

        def changed(event: WatchEvent) -> None:
            self._told_of(event.document, gone=event.operation == "delete")
            self._queues_changed()

        try:
            await connection.call(
                lambda client: client.watch(QUEUES, [ANY_QUEUE], changed), turn="first"
            )
        except OpenIAPError as error:
            if error.maybe_done:
                raise
            self._say(
                self._log.debug,
                f"no watch on queues ({error.text}); they are read anew now and then",
            )
            return False
        return True

    def _on_change(self, event: WatchEvent) -> None:
        if is_test_document(event.document):
            return
        name = str(event.document.get("wiq", ""))
        if name not in self._names:
            return
        if self._changed is not None:
            self._changed(name, event.document)
        elif event.document.get("state") == NEW:
            self._wake(name)


def pops_compete(client: Client | None) -> bool:
    """Whether several pops at once on one queue disturb each other; a server that does not say
    otherwise is OpenIAP, where they do."""
    return client is None or client.server_config.get("pops_compete") is not False


def is_for(data: object, queue: str, queue_id: str) -> bool:
    """Whether a wake-up message means this queue; one that names none means every queue."""
    if not isinstance(data, dict):
        return True
    named, named_id = data.get("wiq"), data.get("wiqid")
    return (not named and not named_id) or named == queue or bool(queue_id and named_id == queue_id)


def facts_of(name: str, document: Mapping[str, Any]) -> QueueFacts:
    """Read a queue's document (server.md, Documents)."""
    return QueueFacts(
        id=id_of(document),
        name=name,
        maxretries=number(document.get("maxretries")),
        retrydelay=number(document.get("retrydelay")),
        amqpqueue=text_of(document.get("amqpqueue")),
        acl=tuple(objects_of(document.get("_acl"))),
        pause=pause_of(document),
        circuits=circuits_of(document),
    )


def acl_over(facts: Iterable[QueueFacts]) -> list[JsonObject]:
    """Return the rights of all queues together, each user and role once."""
    found: dict[str, JsonObject] = {}
    for queue in facts:
        for ace in queue.acl:
            found.setdefault(str(ace.get("_id")), ace)
    return list(found.values())
