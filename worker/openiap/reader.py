"""The reader: asks for documents that others can write as well; none of them hides the rest.

An answer that is larger than the client carries breaks the link (server.md, Payload), and would
again each time that it is asked for. A field may have megabytes, and so may an ``_id``.

1. A question is asked as it is. Only where the link breaks over it, it is asked with care, and is
   for a while from then on.
2. With care, the ids alone come first, those of a length that workers write, in the order that is
   asked for. Then come the documents, so many at a time as fit: the small ones first, as the server
   knows their sizes (``$bsonSize``).
3. Where a server does not know sizes, fewer are asked for after each break. Of what breaks the link
   twice while it is alone, nothing is read but the id, for an hour.
4. What is too large comes as its ``_id`` and nothing else: it keeps its place, and whoever reads it
   finds that nothing in it fits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from worker.openiap.errors import Disconnected, NotConnected, OpenIAPError, RateLimited, ServerError
from worker.openiap.fields import Misfit, Told, ignored
from worker.openiap.pool import Pool
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject
from worker.uptime import uptime

PAGE: Final = 500
"""Documents in one answer; OpenIAP gives no more unless it is asked to."""
LARGEST: Final = 1_000_000
"""Bytes of what is asked for of one document; no worker writes more."""
LONGEST_ID: Final = 1_000
"""Characters."""
AN_ID: Final = f"^[\\s\\S]{{1,{LONGEST_ID}}}$"
TIERS: Final = ((4_000, PAGE), (60_000, 30), (LARGEST, 2))
"""Bytes of a document, and how many of those are asked for at once: half of what any client
carries, as JSON is longer than what the server counts."""
UNKNOWN: Final = 16
"""So many are asked for at first where no sizes are known."""
AT_ONCE: Final = 2_000_000
"""Characters of an answer."""
NARROWER: Final = 8
"""So many times less is asked for after a break."""
STRIKES: Final = 2
"""Breaks at one document, with its id read before, until it is the document's doing."""
PAUSE: Final = 0.05
LINK_WITHIN: Final = 15.0
"""Seconds that a link which broke has to be back."""
LOOK_WITHIN: Final = 60.0
"""Seconds of breaks that one question bears; the next one goes on with what was found out."""
CAREFUL_FIRST: Final = 60.0
REMEMBERED: Final = 3600.0
"""Seconds for which a document is left out; it may be another by then."""
MOST_REMEMBERED: Final = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Question:
    collection: str
    query: JsonObject
    projection: JsonObject | None
    orderby: JsonObject | None
    top: int
    skip: int

    def key(self, id: str) -> tuple[str, str]:
        """Return what names a part of a document."""
        return f"{self.collection} {id}", ",".join(self.projection or ())


@dataclass(slots=True)
class _Care:
    until: float
    lasts: float


class Asked(Protocol):
    """What is asked: a client."""

    async def query(
        self,
        collectionname: str,
        query: JsonObject,
        projection: JsonObject | None = None,
        orderby: JsonObject | None = None,
        *,
        top: int = PAGE,
        skip: int = 0,
        timeout: float | None = None,
    ) -> list[JsonObject]:
        """See ``Client.query``."""


class FirstTurn:
    """A pool whose answers come before others': what writes outcomes back waits for them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def query(self, *args: Any, **more: Any) -> list[JsonObject]:
        """See ``Client.query``; without a link it raises at once."""
        return await self._pool.call(lambda client: client.query(*args, **more), turn="first")


class Reader:
    """Reads for one purpose.

    Args:
        client: a plain one, or the worker's own, which waits for a link and for its turn.
        kind: of document, as log lines call it.
        told: hears of documents that are left out.
        timeout: seconds for one message; None is the client's own.
        large: whether those that are large by right are asked for as well, each alone; else nothing
            is read of what is larger than ``LARGEST``.
    """

    def __init__(
        self,
        client: Asked,
        kind: str,
        told: Told = ignored,
        *,
        timeout: float | None = None,
        large: bool = False,
    ) -> None:
        self._large = large
        self._client = client
        self._kind = kind
        self._told = told
        self._more: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        self._sizes_known = True
        self._care: dict[str, _Care] = {}
        self._too_large: dict[tuple[str, str], float] = {}
        """Until when (``uptime``)."""

    async def query(
        self,
        collection: str,
        query: JsonObject,
        projection: JsonObject | None = None,
        orderby: JsonObject | None = None,
        *,
        top: int = PAGE,
        skip: int = 0,
        about: str = "",
        needed: JsonObject | None = None,
    ) -> list[JsonObject]:
        """Return documents as ``Client.query`` does; fewer than ``top`` are all that there are.

        Args:
            query: without ``$expr``.
            about: what is asked about: care with the one costs the others nothing.
            needed: the fields that are read instead of those that are too large.

        Raises:
            OpenIAPError: they cannot be read.
        """
        question = _Question(collection, query, projection, orderby, top, skip)
        care = self._care.get(about)
        if care is None or care.until <= uptime():
            try:
                plain = await self._asked(question)
            except Disconnected:
                self._take_care(about)
            else:
                self._care.pop(about, None)
                return plain
        ids = await self._ids(question)
        found = await self._with_care(question, ids)
        large = [id for id, document in found.items() if is_bare(document)]
        if large and needed is not None:
            narrow = replace(question, projection=needed)
            found.update(await self._with_care(narrow, large))
        return [found[id] for id in ids if id in found]

    def _take_care(self, about: str) -> None:
        before = self._care.get(about)
        lasts = CAREFUL_FIRST if before is None else min(REMEMBERED, 8 * before.lasts)
        if len(self._care) >= MOST_REMEMBERED:
            self._care.clear()
        self._care[about] = _Care(uptime() + lasts, lasts)

    async def _asked(self, question: _Question) -> list[JsonObject]:
        return await self._client.query(
            question.collection,
            question.query,
            question.projection,
            question.orderby,
            top=question.top,
            skip=question.skip,
            **self._more,
        )

    async def _with_care(self, question: _Question, ids: Sequence[str]) -> dict[str, JsonObject]:
        """Return documents by their ids, in any order."""
        found: dict[str, JsonObject] = {}
        now = uptime()
        self._too_large = {key: end for key, end in self._too_large.items() if end > now}
        for id in ids:
            if question.key(id) in self._too_large:
                found[id] = {"_id": id}
        left = [id for id in ids if id not in found]
        if self._sizes_known:
            left = await self._by_size(question, left, found)
        most = PAGE if not (self._large and self._sizes_known) else 1
        await self._read(question, left, found, {}, min(UNKNOWN, most), most=most)
        return found

    async def _ids(self, question: _Question) -> list[str]:
        """Ask for the ids alone: of a length that any link carries."""
        if isinstance(question.query.get("_id"), str):
            query = question.query
        else:
            also = question.query.get("$and", [])
            query = {**question.query, "$and": [*also, {"_id": {"$regex": AN_ID}}]}
        ask = partial(
            self._client.query,
            question.collection,
            query,
            {"_id": 1},
            question.orderby,
            top=question.top,
            skip=question.skip,
            **self._more,
        )
        found = await _again(ask, breaks=True)
        return [id for document in found if isinstance(id := document.get("_id"), str)]

    async def _by_size(
        self, question: _Question, ids: list[str], found: dict[str, JsonObject]
    ) -> list[str]:
        """Read the smallest first; returns the ids of which the server does not say how large."""
        size = _size_of(question.projection)
        left = ids
        try:
            for number, (limit, batch) in enumerate(TIERS):
                if number + 1 < len(TIERS) and len(left) <= TIERS[number + 1][1]:
                    continue
                fits = {"$expr": {"$lte": [size, limit]}}
                left = await self._read(question, left, found, fits, batch, most=batch)
            large = {"$expr": {"$gt": [size, LARGEST]}}
            for some in () if self._large else _parts(left, PAGE):
                query = {**question.query, "_id": {"$in": some}, **large}
                ask = partial(self._client.query, question.collection, query, {"_id": 1}, top=PAGE)
                for document in await _again(ask, breaks=True):
                    self._leave_out(question, str(document["_id"]), found)
        except ServerError:
            self._sizes_known = False
        return [id for id in left if id not in found]

    async def _read(
        self,
        question: _Question,
        ids: Sequence[str],
        found: dict[str, JsonObject],
        fits: JsonObject,
        batch: int,
        *,
        most: int,
    ) -> list[str]:
        """Read documents, fewer at a time after a break; returns the ids of which none came.

        Args:
            fits: what they fulfil beside the question.
            batch: how many at first; at most ``most``.
        """
        waiting, strikes, end = list(ids), 0, uptime() + LOOK_WITHIN
        while waiting:
            some = waiting[:batch]
            query = {**question.query, "_id": {"$in": some}, **fits}
            ask = partial(
                self._client.query,
                question.collection,
                query,
                question.projection,
                top=len(some),
                **self._more,
            )
            try:
                page = await _again(ask, breaks=False)
            except Disconnected:
                if uptime() >= end:
                    raise
                await asyncio.sleep(PAUSE)
                strikes += batch == 1
                batch = max(1, batch // NARROWER)
                if strikes == STRIKES:
                    self._leave_out(question, some[0], found)
                    waiting, strikes = waiting[1:], 0
                continue
            found.update((str(document.get("_id")), document) for document in page)
            waiting, strikes = waiting[len(some) :], 0
            size = sum(map(_length, page))
            if size:
                batch = min(most, 2 * batch, max(1, AT_ONCE * len(page) // size))
        return [id for id in ids if id not in found]

    def _leave_out(self, question: _Question, id: str, found: dict[str, JsonObject]) -> None:
        found[id] = {"_id": id}
        if len(self._too_large) < MOST_REMEMBERED:
            self._too_large[question.key(id)] = uptime() + REMEMBERED
        self._told(Misfit(self._kind, id[:100], "it is larger than this client carries"))


def is_bare(document: JsonObject) -> bool:
    """Whether nothing but the id came of a document: it is too large."""
    return document.keys() == {"_id"}


def _size_of(projection: JsonObject | None) -> JsonObject:
    """Return how a server reckons the size of what is asked for of a document."""
    whole: JsonObject = {"$bsonSize": "$$ROOT"}
    fields = {key: bool(value) for key, value in (projection or {}).items() if key != "_id"}
    parts = {f"f{number}": f"${key}" for number, key in enumerate(fields)}
    if not fields:
        return {"$bsonSize": {"f": "$_id"}} if (projection or {}).get("_id") else whole
    if all(fields.values()):
        return {"$bsonSize": {**parts, "f": "$_id"}}
    return {"$subtract": [whole, {"$bsonSize": parts}]}


def _length(document: JsonObject) -> int:
    """Return about how many characters a document has; a very deep one counts as the most."""
    try:
        return len(json_text(document))
    except (ValueError, RecursionError):
        return AT_ONCE


def _parts(ids: Sequence[str], size: int) -> list[list[str]]:
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]


async def _again(ask: Callable[[], Awaitable[T]], *, breaks: bool) -> T:
    """Ask again until the link is back.

    Args:
        breaks: also where the link broke over this very question, which asks for little.
    """
    end = uptime() + LINK_WITHIN
    while True:
        try:
            return await ask()
        except OpenIAPError as error:
            passing = isinstance(error, NotConnected | RateLimited) or (
                breaks and isinstance(error, Disconnected)
            )
            if not passing or uptime() >= end:
                raise
        await asyncio.sleep(PAUSE)
