"""The key lock: of the items of a key, only ``per_key`` run at once, whichever worker has them.

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
woken: the worker that leads the queue looks at the lines every ``rescue_interval`` (``maintain``).
Who dies between taking the place and parking leaves an orphan, whose attempt the rescuer ends. A
parked item wakes by itself after ``gate.PARK``, should there be no such worker. One that is
deleted, or moved to another queue, is not live, and is passed over in the line.

A worker that was frozen or cut off for so long that its item was taken over still runs its handler
until it notices: two items of the key run at once for that time, as the first one does twice. It
looks as soon as it is back (``lost``), and what it writes is fenced.

What holds when somebody interferes: a cell that is deleted by hand is as if nobody held the key, so
a second item may begin beside the present one; a place that is deleted leaves its item to wake by
itself; an item that is put back to new by hand while it runs, runs twice, as without a key.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from worker.engine.concurrency.holders import KIND, Hold, Holder, content_of, holders_of
from worker.engine.concurrency.waiting_line import Waiter, WaitingLines
from worker.engine.concurrency.waker import AttemptStatus, Waker
from worker.item.attempt_id import AttemptId, attempt_id
from worker.openiap.workitem import JsonObject, Workitem
from worker.state.cells import Cells, Version
from worker.uptime import uptime

ROUNDS: Final = 20
REMEMBERED: Final = 10_000
AT_A_TIME: Final = 50
"""Lines that are looked at in one go; the others have their turn at the next one."""
FRESH: Final = 5.0
"""Seconds for which an attempt that was made a holder is believed to be one without a look."""
MANY: Final = 100
UNWOKEN: Final = 10.0
"""Seconds after which a holder that still has its place was forgotten."""


class KeyLock:
    """Locks the keys of one queue.

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
        lines: WaitingLines,
        waker: Waker,
        wake: Callable[[], None],
        now: Callable[[], datetime],
        rights: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self._per_key = per_key
        self._cells = cells
        self._lines = lines
        self._waker = waker
        self._on_woken = wake
        self._now = now
        self._rights = rights
        self._running: dict[str, int] = {}
        """By line: holders that run here and have not begun to end."""
        self._made: OrderedDict[AttemptId, Hold] = OrderedDict()
        """Holders that do not run here, or not now, as far as this process made them."""
        self._freed: OrderedDict[str, Version] = OrderedDict()
        """By line: cells that were removed here, so that the next holder costs no look."""
        self._maintained_to = ""

    async def acquire(
        self, line: str, key: str, workitem: Workitem, *, behind: bool = False
    ) -> Hold | None:
        """Become a holder, or None where there is no room.

        Args:
            behind: others of the line come first, even if there is room.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        me = Holder(workitem.id, workitem.retries)
        hold = self._made.pop(attempt_id(workitem), None)
        if hold is None or uptime() - hold.version.seen > FRESH:
            hold = None if self.busy(line) else await self._try_acquire(line, key, me, behind)
        if hold is not None:
            self._running[line] = self._running.get(line, 0) + 1
        return hold

    async def _try_acquire(self, line: str, key: str, me: Holder, behind: bool) -> Hold | None:
        # Who is behind others must not take what was freed, and may be a holder by now.
        freed = self._freed.pop(line, None)
        version = None if behind else freed
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
        """Whether all holders run here; the release of each will look at the line."""
        return self._running.get(line, 0) >= self._per_key

    def stopped(self, hold: Hold) -> None:
        """The item of a hold runs here no more; to be told before ``keep``, ``release`` and
        ``refill``, so that nobody relies on a release that has looked already (``busy``)."""
        count = self._running.pop(hold.line, 0) - 1
        if count > 0:
            self._running[hold.line] = count

    def keep(self, hold: Hold) -> None:
        """Leave an attempt that was handed back a holder: it is next, here or elsewhere."""
        self._remember(hold)

    async def release(self, hold: Hold) -> None:
        """An attempt is over: its room is for who is next.

        Raises:
            OpenIAPError: the server could not be asked, or refuses; ``maintain`` goes on then.
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

    async def refill(self, line: str, waiter: Waiter | None = None) -> None:
        """Look at a line's cell, strike out who is not live, and fill the room.

        Args:
            waiter: the item that was parked just now, if there is one.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        for _ in range(ROUNDS):
            version = await self._cells.tip(KIND, line)
            holders = holders_of(version)
            if version is not None and waiter is not None:
                mine = next((one for one in holders if one.is_(waiter)), None)
                if mine is not None:
                    # Whoever wrote ``woken`` wakes it, or ``maintain``; but not a later run of it.
                    woken = mine.woken and mine.place == waiter.id
                    if woken or await self._wake_holder(line, version, waiter):
                        return
                    continue
            live = [one for one in holders if await self._live(one)]
            if await self._fill(line, "", version, live):
                return

    async def maintain(self) -> None:
        """Look at lines in which somebody waits; a message where nobody does.

        Raises:
            OpenIAPError: the server could not be asked, or refuses.
        """
        heads = await self._lines.heads(self._maintained_to, most=AT_A_TIME)
        self._maintained_to = heads[-1].line if len(heads) == AT_A_TIME else ""
        for head in heads:
            if self.busy(head.line):
                continue
            version = await self._cells.tip(KIND, head.line)
            if version is not None and self._forgotten(version):
                await self._wake_forgotten(head.line, version)
            await self.refill(head.line)

    async def _wake_forgotten(self, line: str, version: Version) -> None:
        """Wake the first holder that waits and has a place still: whoever should have, died."""
        for holder in holders_of(version):
            waiter = await self._lines.read(holder.place) if holder.place else None
            if waiter is None:  # it may wait in a later run, under another place
                waiters = await self._lines.first(line, MANY)
                waiter = next((one for one in waiters if holder.is_(one)), None)
            if waiter is not None:
                await self._wake_holder(line, version, waiter)
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
        for _ in range(ROUNDS):
            room = self._per_key - len(live)
            next_ones = await self._next(line, live, room) if room > 0 else []
            new = [Holder(w.item, w.retries, s.state == "waiting", w.id) for w, s in next_ones]
            if not new and list(live) == holders_of(version):
                return True
            after = await self._write(line, key or _key(version, next_ones), version, [*live, *new])
            if after is None:
                return version is None and not live and not new
            gone = []
            for (waiter, seen), holder in zip(next_ones, new, strict=True):
                if holder.woken and not await self._wake(line, after, waiter, seen):
                    gone.append(holder)
            if not gone:
                return True
            version, live = after, [one for one in (*live, *new) if one not in gone]
        return True  # ``maintain`` goes on: a purge, or somebody who fills the line

    async def _next(
        self, line: str, live: Sequence[Holder], room: int
    ) -> list[tuple[Waiter, AttemptStatus]]:
        """Return the first in line that are not live holders already; who is over is taken out."""
        most = room + len(live)
        for _ in range(ROUNDS):
            waiters = await self._lines.first(line, most)
            others = [w for w in waiters if not any(one.is_(w) for one in live)]
            seen = await self._waker.statuses(others)
            over = [waiter for waiter, one in zip(others, seen, strict=True) if one.state == "over"]
            if not over:
                return list(zip(others, seen, strict=True))[:room]
            await self._lines.clear(over)
            most = max(most, MANY)  # where one is over, as after a purge, many may be
        return []

    async def _live(self, holder: Holder) -> bool:
        return (await self._waker.status(holder.item, holder.retries)).state != "over"

    def _forgotten(self, version: Version) -> bool:
        """Whether an item that was made a holder should have been woken by now."""
        stamped = version.stamped
        return stamped is None or (self._now() - stamped).total_seconds() > UNWOKEN

    async def _wake_holder(self, line: str, version: Version, waiter: Waiter) -> bool:
        """Wake a holder that nobody else wakes; False if that has to be looked at again."""
        seen = await self._waker.status(waiter.item, waiter.retries)
        if seen.state == "processing":
            return True  # it runs, or is being parked
        if seen.state == "over":
            await self._lines.leave(waiter)
            return await self._fill(line, waiter.key, version, _others(version, waiter))
        holder = Holder(waiter.item, waiter.retries, place=waiter.id)
        holders = [*_others(version, waiter), holder]
        after = await self._write(line, waiter.key, version, holders)
        return after is not None and await self._wake(line, after, waiter, seen)

    async def _wake(self, line: str, version: Version, waiter: Waiter, seen: AttemptStatus) -> bool:
        """Wake an item that was made a holder; whether it is still there.

        One that is being parked just now keeps its place, so that ``maintain`` finds it.
        """
        if await self._waker.wake(waiter.item, waiter.retries, seen):
            await self._lines.leave(waiter)
            holder = Holder(waiter.item, waiter.retries)
            self._remember(Hold(line, waiter.key, holder, version))
            self._on_woken()
            return True
        if (await self._waker.status(waiter.item, waiter.retries)).state == "over":
            await self._lines.leave(waiter)
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
        self._made[(hold.holder.item, hold.holder.retries)] = hold
        if len(self._made) > REMEMBERED:
            self._made.popitem(last=False)


def _others(version: Version, waiter: Waiter) -> list[Holder]:
    return [one for one in holders_of(version) if not one.is_(waiter)]


def _key(version: Version | None, next_ones: Sequence[tuple[Waiter, AttemptStatus]]) -> str:
    known = "" if version is None else str(version.content.get("key", ""))
    return next_ones[0][0].key if next_ones else known
