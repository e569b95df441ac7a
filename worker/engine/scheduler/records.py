"""How far each schedule has come, and whether it is paused: documents in ``openiap_worker_state``.

1. A schedule has one document: what was declared, since when, and its last tick that is done.
   Whoever did a tick writes it. It may lag behind, when somebody died before writing or two wrote
   at once, and then the ids of the ticks' items protect; it is never ahead of a tick that is not
   done.
2. Whether it is paused stands in its queue's own document (``switches.py``), which only those may
   write who may update the queue. What an earlier version wrote of that beside the schedule counts
   for nothing: anybody could have put it there.

The document of a schedule is written whole and without a condition, so that costs one message, with
either client. It has the rights of its queue: whoever works it, also as another user, is to see it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from worker.engine.scheduler.switches import FIELD, ScheduleKey, Switch, switched, switches_of
from worker.engine.scheduler.ticks import Cursor
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DocumentNotFound, DuplicateKey
from worker.openiap.fields import Misfit, Told, id_of, ignored, moment_of, text_of
from worker.openiap.reader import Reader
from worker.openiap.upsert import upsert
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.state.cells import COLLECTION, cell_id

TYPE: Final = "schedule"
OLD_SWITCH: Final = "schedule_switch"
"""The type of a document by which earlier versions paused a schedule."""
QUEUES: Final = "mq"
SWITCHES: Final[JsonObject] = {"name": 1, FIELD: 1}
KIND: Final = "schedule record"
FIELDS: Final[JsonObject] = dict.fromkeys(
    (
        "_type",
        "queue",
        "schedule",
        "expression",
        "tz",
        "missed",
        "since",
        "last",
        "paused",
        "_modified",
    ),
    1,
)
AHEAD: Final = timedelta(days=1)
"""By so much a record may lie ahead: the server's clock may have been set back since."""
MOST_SHOWN: Final = 100
PAGE: Final = 250
"""Schedules in one question: up to two documents each, and OpenIAP answers 500."""

NOT_OBEYED: Final = (
    "a pause outside of its queue's own document is not obeyed, since anybody could have put it"
    " there; pause the schedule again"
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """A schedule as it is stored; moments are the server's, in UTC.

    Attributes:
        expression, tz, missed: as whoever wrote it last declares it.
        since, last: see ``Cursor``.
        paused: whether it is; resumed: when it went on.
    """

    queue: str
    name: str
    expression: str
    tz: str
    missed: str
    since: datetime
    last: datetime | None = None
    paused: bool = False
    resumed: datetime | None = None

    @property
    def key(self) -> ScheduleKey:
        """Queue and name."""
        return (self.queue, self.name)

    @property
    def cursor(self) -> Cursor:
        """How far it has come."""
        return Cursor(self.since, self.last, self.resumed)


class Records:
    """The documents of one namespace, over any client."""

    def __init__(self, client: Client, namespace: str = "", *, misfits: Told = ignored) -> None:
        self._client = client
        self._reader = Reader(client, KIND, misfits)
        self._misfits = misfits
        self.namespace: Final = namespace

    async def read(
        self, keys: Sequence[ScheduleKey], now: datetime | None = None
    ) -> dict[ScheduleKey, Record]:
        """Return what is stored of some schedules; two messages for each 250.

        Args:
            now: the server's time; what lies far ahead of it is no record.

        Raises:
            OpenIAPError: it cannot be read.
        """
        found: list[JsonObject] = []
        for some in _pages(keys):
            ids = [self._id(kind, key) for key in some for kind in (TYPE, OLD_SWITCH)]
            query = {"_id": {"$in": ids}}
            found += await self._reader.query(COLLECTION, query, FIELDS, top=len(ids))
        switches = await self._switches({queue for queue, _ in keys})
        return records_of(found, now, self._misfits, switches)

    async def all(self) -> list[Record]:
        """Return all schedules of the namespace, by queue and name.

        Raises:
            OpenIAPError: they cannot be read.
        """
        query = {"_type": {"$in": [TYPE, OLD_SWITCH]}, "namespace": self.namespace}
        found: list[JsonObject] = []
        while True:
            page = await self._reader.query(
                COLLECTION, query, FIELDS, {"_id": 1}, skip=len(found), top=2 * PAGE
            )
            found += page
            if len(page) < 2 * PAGE:
                named = {text_of(one.get("queue")) for one in found}
                switches = await self._switches(named)
                records = records_of(found, told=self._misfits, switches=switches)
                return sorted(records.values(), key=lambda record: record.key)

    async def begin(self, record: Record, acl: Sequence[JsonObject] = ()) -> None:
        """Store a schedule that is not there yet; does nothing when another was faster.

        Args:
            acl: the rights of its queue.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        document = self._document(record)
        try:
            await self._client.insert_one(
                COLLECTION, {**document, "_acl": [*acl]} if acl else document
            )
        except DuplicateKey:
            return

    async def store(self, record: Record, acl: Sequence[JsonObject] = ()) -> None:
        """Store how far a schedule has come.

        Args:
            acl: the rights of its queue, should the document not be there.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        await upsert(self._client, COLLECTION, self._document(record), acl=acl)

    async def pause(self, key: ScheduleKey, at: datetime) -> bool:
        """No tick is done from now on; False where this user may not update the queue.

        Args:
            at: the server's time.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        return await self._switch(key, Switch(paused=True, at=at))

    async def resume(self, key: ScheduleKey, at: datetime) -> bool:
        """Go on; what ticked meanwhile was missed. As ``pause``."""
        return await self._switch(key, Switch(paused=False, at=at))

    async def _switch(self, key: ScheduleKey, switch: Switch) -> bool:
        queue, name = key
        query = {"_type": "workitemqueue", "name": queue}
        found = await self._client.query(QUEUES, query, top=1)
        if not found:
            return False
        document = found[0]
        change = {FIELD: switched(document, self.namespace, name, switch)}
        if self._client.capabilities.conditional_updates:
            same = {"_id": document["_id"], FIELD: document.get(FIELD)}
            result = await self._client.update_document(QUEUES, same, {"$set": change})
            return result.matched > 0
        try:
            await self._client.update_one(QUEUES, {**document, **change})
        except DocumentNotFound:
            return False
        return True

    async def _switches(self, queues: Collection[str]) -> dict[ScheduleKey, Switch]:
        found: list[JsonObject] = []
        for some in _pages(sorted(queues)):
            query = {"_type": "workitemqueue", "name": {"$in": list(some)}}
            try:
                found += await self._client.query(QUEUES, query, SWITCHES, top=2 * PAGE)
            except AccessDenied:
                break  # who may not see the queues is told nothing by them
        return switches_of(found, self.namespace)

    def _id(self, kind: str, key: ScheduleKey) -> str:
        return cell_id(self.namespace, kind, "/".join(key))

    def _named(self, kind: str, key: ScheduleKey) -> JsonObject:
        return {
            "_id": self._id(kind, key),
            "_type": kind,
            "name": "/".join(key),
            "namespace": self.namespace,
            "queue": key[0],
            "schedule": key[1],
        }

    def _document(self, record: Record) -> JsonObject:
        return {
            **self._named(TYPE, record.key),
            "expression": record.expression,
            "tz": record.tz,
            "missed": record.missed,
            "since": iso(record.since),
            "last": None if record.last is None else iso(record.last),
        }


def records_of(
    documents: Iterable[Mapping[str, Any]],
    now: datetime | None = None,
    told: Told = ignored,
    switches: Mapping[ScheduleKey, Switch] | None = None,
) -> dict[ScheduleKey, Record]:
    """Read stored documents, in any order; what is not readable counts as not there.

    Args:
        now: the server's time; what lies more than ``AHEAD`` after it is not readable either: no
            tick would come until then.
        told: hears of what does not fit.
        switches: which are paused, as their queues say.
    """
    found: dict[ScheduleKey, Record] = {}
    for document in documents:
        key = (text_of(document.get("queue")), text_of(document.get("schedule")))
        if document.get("_type") == OLD_SWITCH and document.get("paused") is True:
            told(Misfit(KIND, id_of(document), NOT_OBEYED))
        elif document.get("_type") == TYPE:
            record = record_of(document, now, told)
            if record is not None:
                found[key] = record
    for key, switch in (switches or {}).items():
        if key in found:
            at = switch.at if switch.at is None or now is None or switch.at <= now + AHEAD else None
            resumed = None if switch.paused else at
            found[key] = replace(found[key], paused=switch.paused, resumed=resumed)
    return found


def record_of(
    document: Mapping[str, Any], now: datetime | None = None, told: Told = ignored
) -> Record | None:
    """Read how far one schedule has come; None where that is not readable. See ``records_of``."""
    since, last = _moment(document.get("since"), now), _moment(document.get("last"), now)
    if since is None or (last is None and document.get("last") is not None):
        field = "since" if since is None else "last"
        why = f"{field} = {str(document.get(field))[:MOST_SHOWN]!r} is no moment that can be"
        told(Misfit(KIND, id_of(document), why))
        return None
    return Record(
        text_of(document.get("queue")),
        text_of(document.get("schedule")),
        expression=text_of(document.get("expression")),
        tz=text_of(document.get("tz")),
        missed=text_of(document.get("missed")),
        since=since,
        last=last,
    )


def _moment(value: object, now: datetime | None) -> datetime | None:
    moment = moment_of(value)
    if moment is not None and now is not None and moment > now + AHEAD:
        return None
    return moment


def _pages(things: Sequence[T]) -> Iterable[Sequence[T]]:
    return [things[at : at + PAGE] for at in range(0, len(things), PAGE)]
