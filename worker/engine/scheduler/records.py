"""How far each schedule has come, and whether it is paused: documents in ``openiap_worker_state``.

1. A schedule has one document: what was declared, since when, and its last tick that is done.
   Whoever did a tick writes it. It may lag behind, when somebody died before writing or two wrote
   at once, and then the ids of the ticks' items protect; it is never ahead of a tick that is not
   done.
2. Whether it is paused stands in another document, which only people write, so that neither undoes
   the other. When it went on after a pause is when the server stored that.

Both are written whole and without a condition, so that costs one message, with either client. They
have the rights of their queue: whoever works it, also as another user, is to see them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from worker.engine.scheduler.ticks import Cursor
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey
from worker.openiap.fields import Misfit, Told, id_of, ignored, moment_of, text_of
from worker.openiap.reader import Reader
from worker.openiap.upsert import upsert
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.state.cells import COLLECTION, cell_id

TYPE: Final = "schedule"
SWITCH: Final = "schedule_switch"
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
"""Schedules in one question: two documents each, and OpenIAP answers 500."""

T = TypeVar("T")

ScheduleKey = tuple[str, str]
"""A schedule's queue and name."""


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
        """Return what is stored of some schedules; one message for each 250.

        Args:
            now: the server's time; what lies far ahead of it is no record.

        Raises:
            OpenIAPError: it cannot be read.
        """
        found: list[JsonObject] = []
        for some in _pages(keys):
            ids = [self._id(kind, key) for key in some for kind in (TYPE, SWITCH)]
            query = {"_id": {"$in": ids}}
            found += await self._reader.query(COLLECTION, query, FIELDS, top=len(ids))
        return records_of(found, now, self._misfits)

    async def all(self) -> list[Record]:
        """Return all schedules of the namespace, by queue and name.

        Raises:
            OpenIAPError: they cannot be read.
        """
        query = {"_type": {"$in": [TYPE, SWITCH]}, "namespace": self.namespace}
        found: list[JsonObject] = []
        while True:
            page = await self._reader.query(
                COLLECTION, query, FIELDS, {"_id": 1}, skip=len(found), top=2 * PAGE
            )
            found += page
            if len(page) < 2 * PAGE:
                records = records_of(found, told=self._misfits)
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

    async def pause(self, key: ScheduleKey, acl: Sequence[JsonObject] = ()) -> None:
        """No tick is done from now on.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        await self._switch(key, acl, paused=True)

    async def resume(self, key: ScheduleKey, acl: Sequence[JsonObject] = ()) -> None:
        """Go on; what ticked meanwhile was missed.

        Raises:
            OpenIAPError: it cannot be stored.
        """
        await self._switch(key, acl, paused=False)

    async def _switch(self, key: ScheduleKey, acl: Sequence[JsonObject], *, paused: bool) -> None:
        document = {**self._named(SWITCH, key), "paused": paused}
        await upsert(self._client, COLLECTION, document, acl=acl)

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
    documents: Iterable[Mapping[str, Any]], now: datetime | None = None, told: Told = ignored
) -> dict[ScheduleKey, Record]:
    """Read stored documents, in any order; what is not readable counts as not there.

    Args:
        now: the server's time; what lies more than ``AHEAD`` after it is not readable either: no
            tick would come until then.
        told: hears of what does not fit.
    """
    found: dict[ScheduleKey, Record] = {}
    switches: dict[ScheduleKey, Mapping[str, Any]] = {}
    for document in documents:
        key = (text_of(document.get("queue")), text_of(document.get("schedule")))
        if document.get("_type") == SWITCH:
            switches[key] = document
        elif document.get("_type") == TYPE:
            record = record_of(document, now, told)
            if record is not None:
                found[key] = record
    for key, switch in switches.items():
        paused = switch.get("paused")
        if not isinstance(paused, bool):
            why = f"paused = {str(paused)[:MOST_SHOWN]!r} is neither true nor false"
            told(Misfit(KIND, id_of(switch), why))
        elif key in found:
            resumed = None if paused else _moment(switch.get("_modified"), now)
            found[key] = replace(found[key], paused=paused, resumed=resumed)
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
