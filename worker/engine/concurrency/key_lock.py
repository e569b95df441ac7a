"""Turns: of the items of a key, only ``per_key`` run at once, whichever worker has them.

A key that is in use has a cell (``worker.state.cells``) that names its holders: the attempts that
may run, ``per_key`` at most. An attempt that finds no room there takes a place in the key's line
(``worker.engine.concurrency.waiting_line``) and is parked: written back to new with a ``nextrun``
that is far off. It costs no attempt and occupies no slot.

1. A holder is live as long as its item is in this queue, in that very attempt (``retries``), in
   state new or processing. It has no lease: that the run of a dead worker ends is the rescuer's
   promise, and from then on the holder is not live. An attempt that is over never comes back, so a
   holder that was found not live stays so, and may be struck out.
2. Every change of the cell is one of ``Cells``: of all who saw the same version exactly one
   succeeds, the others look again.
3. Who ends an attempt strikes it out and writes the head of the line in its place (so that no
   newcomer overtakes it), in one change, and wakes it; the cell goes with its last holder.
4. Who parks an item looks at the cell again afterwards, strikes out who is not live, and fills the
   room with the head of the line.

So the first in line is always woken: the place is taken before the item is parked, and the second
look comes after that. Either the one who ends reads the line after the place was taken, and writes
the head into the cell; or it read the line before, then it has written its outcome back before, and
the second look finds room, or a holder that is not live. Both may see the same version, and one of
them wins. An item that becomes a holder while it is still being parked (``woken`` is false then)
finds that in its second look and wakes itself; so just one wakes, which the official client needs
(``waker.py``).

Whoever dies between two of these writes leaves a holder that is not live, or one that was not
woken: the worker that leads the queue looks at the lines every ``rescue_interval`` (``tend``). Who
dies between taking the place and parking leaves an orphan, whose attempt the rescuer ends. A parked
item wakes by itself after ``gate.PARK``, should there be no such worker. One that is deleted,
or moved to another queue, is not live, and is passed over in the line.

A worker that was frozen or cut off for so long that its item was taken over still runs its handler
until it notices: two items of the key run at once for that time, as the first one does twice. It
looks as soon as it is back (``lost``), and what it writes is fenced.

What holds when somebody interferes: a cell that is deleted by hand is as if nobody held the key, so
a second item may begin beside the present one; a place that is deleted leaves its item to wake by
itself; an item that is put back to new by hand while it runs, runs twice, as without a key.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from worker.engine.concurrency.waiting_line import Lines, Place
from worker.engine.concurrency.waker import Standing, Waker
from worker.openiap.values import number
from worker.openiap.workitem import JsonObject, Workitem
from worker.state.cells import Cells, Version, uptime

KIND: Final = "key"
ROUNDS: Final = 20
REMEMBERED: Final = 10_000
AT_A_TIME: Final = 50
"""Lines that are looked at in one go; the others have their turn at the next one."""
FRESH: Final = 5.0
"""Seconds for which an attempt that was made a holder is believed to be one without a look."""
MANY: Final = 100
UNWOKEN: Final = 10.0
"""Seconds after which a holder that still has its place was forgotten."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An attempt that may run.

    Attributes:
        woken: whoever wrote it wakes the item, should it wait.
        place: the id of the place that it had in the line, "" for one that never waited. The place
            goes when the item was woken.
    """

    item: str
    retries: int
    woken: bool = True
    place: str = ""

    def is_(self, other: "Place | Holder") -> bool:
        """Whether it is the same attempt."""
        return (self.item, self.retries) == (other.item, other.retries)


@dataclass(frozen=True, slots=True)
class Hold:
    """A holder as its worker has it, and the cell when it was seen last."""

    line: str
    key: str
    holder: Holder
    version: Version


class Turns:
    """The keys of one queue.

    Args:
        per_key: holders per key.
        wake: tells the consumer that there is something to pop.
        now: the server's time.
        rights: who may see the cells, as OpenIAP writes rights; () is this user.
    """

    def __init__(
        self,
        per_key: int,
        *,
        cells: Cells,
        lines: Lines,
        waker: Waker,
        wake: Callable[[], None],
        now: Callable[[], datetime],
        rights: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self._per_key = per_key
        self._cells = cells
        self._lines = lines
        self._waker = waker
        self._tell = wake
        self._now = now
        self._rights = rights
        self._running: dict[str, int] = {}
        """By line: holders that run here and have not begun to end."""
        self._given: OrderedDict[tuple[str, int], Hold] = OrderedDict()
        """Holders that do not run here, or not now, as far as this process made them."""
        self._freed: OrderedDict[str, Version] = OrderedDict()
        """By line: cells that were removed here, so that the next holder costs no look."""
        self._tended = ""

    async def take(
        self, line: str, key: str, workitem: Workitem, *, behind: bool = False
    ) -> Hold | None:
        """Become a holder, or None where there is no room.

        Args:
            behind: others of the line come first, even if there is room.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        me = Holder(workitem.id, workitem.retries)
        hold = self._given.pop((me.item, me.retries), None)
        if hold is None or uptime() - hold.version.seen > FRESH:
            hold = None if self.busy(line) else await self._taken(line, key, me, behind)
        if hold is not None:
            self._running[line] = self._running.get(line, 0) + 1
        return hold

    async def _taken(self, line: str, key: str, me: Holder, behind: bool) -> Hold | None:
        version = self._freed.pop(line, None)
        for _ in range(ROUNDS):
            version = version or await self._cells.tip(KIND, line)
            holders = holders_of(version)
            if version is not None and any(me.is_(one) for one in holders):
                return Hold(line, key, me, version)
            # An earlier attempt of this item is over, since this one is here.
            others = [one for one in holders if one.item != me.item]
            if behind or len(others) >= self._per_key:
                return None
            made = await self._write(line, key, version, [*others, me])
            if made is not None:
                return Hold(line, key, me, made)
            version = None
        return None

    def busy(self, line: str) -> bool:
        """Whether all holders run here; the end of each will look at the line."""
        return self._running.get(line, 0) >= self._per_key

    def left(self, hold: Hold) -> None:
        """The item of a hold runs here no more; to be told before ``keep``, ``end`` and ``look``,
        so that nobody relies on an end that has looked at the line already (``busy``)."""
        count = self._running.pop(hold.line, 0) - 1
        if count > 0:
            self._running[hold.line] = count

    def keep(self, hold: Hold) -> None:
        """Leave an attempt that was handed back a holder: it is next, here or elsewhere."""
        self._remember(hold)

    async def end(self, hold: Hold) -> None:
        """An attempt is over: its room is for who is next.

        Raises:
            OpenIAPError: the server could not be asked, or refuses; ``tend`` goes on from there.
        """
        version: Version | None = hold.version
        for _ in range(ROUNDS):
            holders = holders_of(version)
            if not any(hold.holder.is_(one) for one in holders):
                return  # another has struck it out, and seen to the line
            rest = [one for one in holders if not hold.holder.is_(one)]
            if await self._fill(hold.line, hold.key, version, rest):
                return
            version = await self._cells.tip(KIND, hold.line)

    async def look(self, line: str, place: Place | None = None) -> None:
        """Look at a line's cell, strike out who is not live, and fill the room.

        Args:
            place: of the item that was parked just now, if there is one.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        for _ in range(ROUNDS):
            version = await self._cells.tip(KIND, line)
            holders = holders_of(version)
            if version is not None and place is not None:
                mine = next((one for one in holders if one.is_(place)), None)
                if mine is not None:
                    if mine.woken or await self._rouse(line, version, place):
                        return  # whoever wrote ``woken`` does it, or ``tend``
                    continue
            live = [one for one in holders if await self._live(one)]
            if await self._fill(line, "", version, live):
                return

    async def tend(self) -> None:
        """Look at lines in which somebody waits; a message where nobody does.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        heads = await self._lines.heads(self._tended, most=AT_A_TIME)
        self._tended = heads[-1].line if len(heads) == AT_A_TIME else ""
        for head in heads:
            if self.busy(head.line):
                continue
            version = await self._cells.tip(KIND, head.line)
            if version is not None and self._forgotten(version):
                await self._rouse_forgotten(head.line, version)
            await self.look(head.line)

    async def _rouse_forgotten(self, line: str, version: Version) -> None:
        """Wake the first holder that waits and has its place still: whoever should have, died."""
        for holder in holders_of(version):
            place = await self._lines.read(holder.place) if holder.place else None
            if place is not None:
                await self._rouse(line, version, place)
                return

    async def lost(self, hold: Hold) -> bool:
        """Whether an attempt is no holder any more.

        Raises:
            OpenIAPError: the server could not be asked.
        """
        found = await self._cells.tip(KIND, hold.line)
        return not any(hold.holder.is_(one) for one in holders_of(found))

    async def _fill(
        self, line: str, key: str, version: Version | None, live: Sequence[Holder]
    ) -> bool:
        """Write who may run: those who are live, and from the head of the line as many as there is
        room for; and wake these.

        Returns:
            False if the cell is another one by now.
        """
        while True:
            room = self._per_key - len(live)
            next_ones = await self._next(line, live, room) if room > 0 else []
            new = [Holder(p.item, p.retries, s.state == "waiting", p.id) for p, s in next_ones]
            if not new and list(live) == holders_of(version):
                return True
            after = await self._write(line, key or _key(version, next_ones), version, [*live, *new])
            if after is None:
                return version is None and not live and not new
            gone = []
            for (place, seen), holder in zip(next_ones, new, strict=True):
                if holder.woken and not await self._wake(line, after, place, seen):
                    gone.append(holder)
            if not gone:
                return True
            version, live = after, [one for one in (*live, *new) if one not in gone]

    async def _next(
        self, line: str, live: Sequence[Holder], room: int
    ) -> list[tuple[Place, Standing]]:
        """Return the first in line that are not live holders already; who is over is taken out."""
        most = room + len(live)
        while True:
            places = await self._lines.first(line, most)
            others = [p for p in places if not any(one.is_(p) for one in live)]
            seen = await self._waker.standings(others)
            over = [place for place, one in zip(others, seen, strict=True) if one.state == "over"]
            if not over:
                return list(zip(others, seen, strict=True))[:room]
            await self._lines.clear(over)
            most = max(most, MANY)  # where one is over, as after a purge, many may be

    async def _live(self, holder: Holder) -> bool:
        return (await self._waker.standing(holder.item, holder.retries)).state != "over"

    def _forgotten(self, version: Version) -> bool:
        """Whether an item that was made a holder should have been woken by now."""
        stamped = version.stamped
        return stamped is None or (self._now() - stamped).total_seconds() > UNWOKEN

    async def _rouse(self, line: str, version: Version, place: Place) -> bool:
        """Wake a holder that nobody else wakes; False if that has to be looked at again."""
        seen = await self._waker.standing(place.item, place.retries)
        if seen.state == "processing":
            return True  # it runs, or is being parked
        if seen.state == "over":
            await self._lines.leave(place)
            return await self._fill(line, place.key, version, _without(version, place))
        holder = Holder(place.item, place.retries, place=place.id)
        holders = [*_without(version, place), holder]
        after = await self._write(line, place.key, version, holders)
        return after is not None and await self._wake(line, after, place, seen)

    async def _wake(self, line: str, version: Version, place: Place, seen: Standing) -> bool:
        """Wake an item that was made a holder; whether it is still there.

        One that is being parked just now keeps its place, so that ``tend`` finds it.
        """
        if await self._waker.wake(place.item, place.retries, seen):
            await self._lines.leave(place)
            holder = Holder(place.item, place.retries)
            self._remember(Hold(line, place.key, holder, version))
            self._tell()
            return True
        if (await self._waker.standing(place.item, place.retries)).state == "over":
            await self._lines.leave(place)
            return False
        return True

    async def _write(
        self, line: str, key: str, version: Version | None, holders: Iterable[Holder]
    ) -> Version | None:
        """Change the cell to these holders; None if it is another one by now."""
        content = content_of(key, holders)
        if not content["holders"]:
            if version is None or version.removed:
                return version
            if not await self._cells.remove(version):
                return None
            gone = replace(version, number=version.number + 1, removed=True, token="")
            self._freed[line] = gone = replace(gone, seen=uptime())
            if len(self._freed) > REMEMBERED:
                self._freed.popitem(last=False)
            return gone
        if version is None:
            return await self._cells.create(KIND, line, content, acl=self._rights())
        return await self._cells.replace(version, content)

    def _remember(self, hold: Hold) -> None:
        self._given[(hold.holder.item, hold.holder.retries)] = hold
        if len(self._given) > REMEMBERED:
            self._given.popitem(last=False)


def content_of(key: str, holders: Iterable[Holder]) -> JsonObject:
    """Return what a key's cell says."""
    return {
        "key": key,
        "holders": [
            {"item": one.item, "retries": one.retries, "woken": one.woken, "place": one.place}
            for one in holders
        ],
    }


def holders_of(version: Version | None) -> list[Holder]:
    """Read a key's cell; none where there is none, or no more."""
    if version is None or version.removed:
        return []
    found = version.content.get("holders")
    return [
        Holder(
            str(one.get("item", "")),
            number(one.get("retries")),
            bool(one.get("woken")),
            str(one.get("place", "")),
        )
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]


def _without(version: Version, place: Place) -> list[Holder]:
    return [one for one in holders_of(version) if not one.is_(place)]


def _key(version: Version | None, next_ones: Sequence[tuple[Place, Standing]]) -> str:
    known = "" if version is None else str(version.content.get("key", ""))
    return next_ones[0][0].key if next_ones else known
