"""Values that all workers share: set, read, counted up and forgotten again.

Each value is a cell, so of several changes at once one comes after the other and each is made once.
What is stored is the value's JSON as text: a server that takes texts for dates, keeps numbers as
doubles or forbids names with dots changes nothing in it.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.durations import Duration, in_short, seconds
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError, ServerError
from worker.openiap.fields import duration_of, text_of
from worker.openiap.json_path import json_given
from worker.openiap.values import checked_depth, checked_name
from worker.openiap.workitem import JsonObject
from worker.state.cells import (
    COLLECTION,
    KEPT,
    Cells,
    Version,
    cell_id,
    document_id,
    plain_id,
    version_of,
)
from worker.state.retrying import tried
from worker.state.server_clock import ServerClock

KIND: Final = "value"
MOST_BYTES: Final = 256 * 1024
"""Of a value's JSON; what is larger belongs into a document or a file of its own."""
EXACT: Final = 2**63
SHORTEST: Final = 0.001
WAIT_FIRST: Final = 0.01
WAIT_MAX: Final = 1.0
AT_ONCE: Final = 8
"""Keys that one call works on at the same time."""
PAGE: Final = 200
MOST_PAGES: Final = 20
"""Pages that one ``scan`` reads at most; it then returns what it has, and where to go on."""
MOST_COUNT: Final = 1000
END: Final = "\U0010ffff"
HASHED: Final = "sha256:"
PROJECTION: Final[JsonObject] = {
    "name": 1,
    "kind": 1,
    "removed": 1,
    "content.ttl": 1,
    "content.until": 1,
    "_created": 1,
}


Decide = Callable[[bool, Version | None], JsonObject | None]
"""Takes whether there is a value, and the newest version; returns what is to be stored, or None."""


@dataclass(frozen=True, slots=True)
class Value:
    """What ``get`` found.

    Attributes:
        found: whether there is one.
        value: what was set, as JSON has it; None where there is none.
        ttl: seconds until it is forgotten; None: never.
    """

    found: bool
    value: Any = None
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """One page of a scan.

    Attributes:
        keys: of values that there are; none twice in one scan.
        cursor: where the next page begins; "" behind the last one.
    """

    keys: tuple[str, ...]
    cursor: str


NOTHING: Final = Value(False)


class Values:
    """The values of one namespace; see ``State.values``."""

    def __init__(
        self, client: Client, cells: Cells, clock: ServerClock, *, chance: random.Random
    ) -> None:
        self._client = client
        self._cells = cells
        self._clock = clock
        self._chance = chance

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Duration | timedelta | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Set a value; returns whether it was set.

        Args:
            key: 1 to 1,000 bytes.
            value: whatever has a JSON form, of 256 KiB at most.
            ttl: when it is forgotten, from the moment in which the server stores it.
            nx: only where there is none; of all that ask at once exactly one is told True.
            xx: only where there is one.

        Raises:
            TypeError, ValueError: a key, a value or a ttl that is not allowed.
            OpenIAPError: no answer for a minute; it may be set.
        """
        checked_name(key, "value")
        for option, given in (("nx", nx), ("xx", xx)):
            if not isinstance(given, bool):
                raise TypeError(f"value: {option} = {given!r}; allowed: True or False")
        if nx and xx:
            raise ValueError("value: nx and xx at once; allowed: one of them, or none")
        content: JsonObject = {"json": json_of(value), "ttl": ttl_seconds(ttl)}

        def decide(there: bool, seen: Version | None) -> JsonObject | None:
            return None if (nx and there) or (xx and not there) else content

        return await self._changed(key, decide) is not None

    async def get(self, key: str) -> Value:
        """Return what is set.

        Raises:
            OpenIAPError: no answer for a minute; or what is stored is no value.
        """
        seen = await self._cells.tip(KIND, checked_name(key, "value"))
        left = await self._left(seen)
        if seen is None or left == 0.0:
            return NOTHING
        return Value(True, value_of(seen), left)

    async def delete(self, *keys: str) -> int:
        """Forget values; returns how many there were. Each is counted for one caller alone.

        Raises:
            OpenIAPError: no answer for a minute; some may be deleted.
        """
        turns = asyncio.Semaphore(AT_ONCE)
        for key in keys:
            checked_name(key, "value")

        async def one(key: str) -> bool:
            async with turns:
                return await self._deleted(key)

        return sum(await asyncio.gather(*(one(key) for key in dict.fromkeys(keys))))

    async def _deleted(self, key: str) -> bool:
        tries = 0
        while True:
            seen = await self._cells.tip(KIND, key)
            if seen is None or await self._left(seen) == 0.0:
                return False
            expires = None if seen.expires is None else await self._goes_at({"ttl": 0.0})
            if await self._cells.remove(seen, expires):
                return True
            tries = await self._pause(tries)

    async def incr(self, key: str, amount: int = 1) -> int:
        """Add to a whole number and return what came of it; where there is no value it is 0 first.

        It is added exactly once, also when an answer is lost. When the value is forgotten stays as
        it was.

        Raises:
            TypeError: no whole number is to be added, or the value is none.
            ValueError: the sum is beyond 2**63.
            OpenIAPError: no answer for a minute; it may be added.
        """
        checked_name(key, "value")
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise TypeError(f"incr({key!r}, {amount!r}): allowed: a whole number")
        result = 0

        def decide(there: bool, seen: Version | None) -> JsonObject | None:
            nonlocal result
            before = value_of(seen) if there and seen is not None else 0
            if isinstance(before, bool) or not isinstance(before, int):
                raise TypeError(f"incr({key!r}): it holds {str(before)[:40]!r}, no whole number")
            result = before + amount
            if abs(result) > EXACT:
                raise ValueError(f"incr({key!r}): {result} is beyond 2**63")
            ends = ends_at(seen) if there and seen is not None else None
            content: JsonObject = {"json": str(result)}
            if ends is not None:
                content["until"] = ends.timestamp()
            return content

        await self._changed(key, decide)
        return result

    async def decr(self, key: str, amount: int = 1) -> int:
        """Subtract from a whole number; see ``incr``."""
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise TypeError(f"decr({key!r}, {amount!r}): allowed: a whole number")
        return await self.incr(key, -amount)

    async def scan(self, prefix: str = "", cursor: str = "", count: int = 100) -> Keys:
        """Return the keys that begin with ``prefix``, page by page, in no promised order::

            page = await state.values.scan("session-")
            while page.cursor:
                page = await state.values.scan("session-", page.cursor)

        A key that is there from the first page to the last is returned exactly once; one that comes
        or goes meanwhile may be.

        Args:
            cursor: the one of the page before; "" for the first.
            count: keys at most, 1 to 1,000. A page may have fewer, or none, and still not be the
                last: the cursor alone says that.

        Raises:
            TypeError, ValueError: a prefix, a cursor or a count that is not allowed.
            OpenIAPError: no answer for a minute.
        """
        if type(count) is not int or not 1 <= count <= MOST_COUNT:
            raise ValueError(f"scan: count = {in_short(count)}; allowed: 1 to {MOST_COUNT:,}")
        if prefix != "":
            checked_name(prefix, "value")
        hashed, below = _place(cursor)
        ranges = [self._ids(prefix), self._ids(HASHED)]
        keys: list[str] = []
        for _ in range(MOST_PAGES):
            low, high = ranges[hashed]
            page = await self._page(low, below or high)
            passed = ""
            for document in page:
                version = version_of(document)
                if version is None:
                    below = min(below or high, text_of(document.get("_id")) or high)
                    continue
                if version.id == passed:
                    continue  # an older one
                passed = version.id
                below = f"{passed}#"  # whatever this cell has below its newest version is older
                if self._wanted(version, prefix, hashed) and await self._left(version) != 0.0:
                    keys.append(version.name)
                    if len(keys) == count:
                        return Keys(tuple(keys), _cursor(hashed, below))
            if len(page) < PAGE:
                if hashed:
                    return Keys(tuple(keys), "")
                hashed, below = True, ""
        return Keys(tuple(keys), _cursor(hashed, below))

    async def _page(self, low: str, below: str) -> list[JsonObject]:
        query: JsonObject = {"_id": {"$gte": low, "$lt": below}}
        return await tried(
            lambda: self._client.query(COLLECTION, query, PROJECTION, {"_id": -1}, top=PAGE)
        )

    def _ids(self, prefix: str) -> tuple[str, str]:
        """Return what the ids of keys that begin so lie between."""
        low = plain_id(self._cells.namespace, KIND, prefix)
        return low, low + END

    def _wanted(self, version: Version, prefix: str, hashed: bool) -> bool:
        """Whether a version is one of a key of that prefix, and stands where such a one stands."""
        name, namespace = version.name, self._cells.namespace
        return (
            bool(name)
            and name.startswith(prefix)
            and version.id == cell_id(namespace, KIND, name)
            and hashed == (version.id != plain_id(namespace, KIND, name))
        )

    async def _changed(self, key: str, decide: Decide) -> Version | None:
        """Change a value to what ``decide`` makes of it; None where it makes nothing of it."""
        tries = 0
        while True:
            looked = self._cells.now()
            seen = await self._cells.tip(KIND, key)
            there = seen is not None and await self._left(seen) != 0.0
            content = decide(there, seen)
            if content is None:
                return None
            expires = None
            if seen is None or seen.expires is not None:
                expires = await self._goes_at(content)
            if seen is None:
                made = await self._cells.create(KIND, key, content, expires=expires, since=looked)
            else:
                made = await self._cells.replace(seen, content, expires)
            if made is not None:
                return made
            tries = await self._pause(tries)

    async def _goes_at(self, content: JsonObject) -> datetime | None:
        """Return when a value's document may go; None: it stays until it is swept."""
        ttl, until = content.get("ttl"), content.get("until")
        try:
            if ttl is not None:
                return await self._clock.now() + timedelta(seconds=ttl + KEPT)
            return None if until is None else datetime.fromtimestamp(until + KEPT, UTC)
        except (OverflowError, OSError, ValueError, OpenIAPError):
            return None

    async def _left(self, seen: Version | None) -> float | None:
        """Return the seconds that a value has left; None for ever, 0 for none that is there."""
        if seen is None or seen.removed:
            return 0.0
        ends = ends_at(seen)
        if ends is None:
            return None
        return max(0.0, (ends - await self._clock.now()).total_seconds())

    async def _pause(self, tries: int) -> int:
        most = min(WAIT_MAX, WAIT_FIRST * 2 ** min(tries + 1, 10))
        await asyncio.sleep(self._chance.uniform(0, most))
        return tries + 1


def json_of(value: Any) -> str:
    """Return a value's JSON.

    Raises:
        TypeError, ValueError: it has none, or one that is too large.
    """
    text = json_given(value, "value")
    size = len(text.encode())
    if size > MOST_BYTES:
        raise ValueError(
            f"value: {size:,} bytes of JSON; allowed: at most {MOST_BYTES:,}. Keep what is larger"
            " in a document or a file, and its id here"
        )
    return text


def ttl_seconds(ttl: Duration | timedelta | None) -> float | None:
    """Return when a value is to be forgotten, in seconds.

    Raises:
        ValueError: no duration, or none at all.
    """
    if ttl is None:
        return None
    found = seconds(ttl, "ttl")
    if found < SHORTEST:
        raise ValueError(f"value: ttl = {ttl!r}; allowed: at least a millisecond, or None")
    return found


def value_of(version: Version) -> Any:
    """Return the value that a version holds.

    Raises:
        ServerError: it holds none.
    """
    text = version.content.get("json")
    try:
        if not isinstance(text, str) or len(text) > MOST_BYTES:
            raise ValueError("no text")
        return json.loads(checked_depth(text))
    except (ValueError, RecursionError):
        raise ServerError(
            f"value {version.name!r} holds {str(version.content)[:40]!r}, which is none: somebody"
            f" else wrote {document_id(version)} in {COLLECTION}",
            operation="query",
        ) from None


def ends_at(version: Version) -> datetime | None:
    """Return when a version's value is forgotten, in the server's time; None: never."""
    ttl = duration_of(version.content.get("ttl"))
    if ttl is not None and version.stamped is not None:
        return version.stamped + timedelta(seconds=ttl)
    until = duration_of(version.content.get("until"))
    return None if until is None else datetime.fromtimestamp(until, UTC)


def _cursor(hashed: bool, below: str) -> str:
    return f"{'h' if hashed else 'n'}{below}"


def _place(cursor: str) -> tuple[bool, str]:
    if not isinstance(cursor, str):
        raise TypeError(f"scan: cursor = {in_short(cursor)}; allowed: the one of the page before")
    if cursor and cursor[0] not in "hn":
        raise ValueError(f"scan: cursor = {cursor[:40]!r}; allowed: the one of the page before")
    return cursor[:1] == "h", cursor[1:]
