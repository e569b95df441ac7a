"""Groups of items that end together: who wrote the outcome of a member looks whether it was the
last, and one worker looks after what a death left.

1. A look costs one message for all members. It is made when the members that this worker has ended
   since the last look may have been all that were left, and else a second after the first of them.
   So a group of 10,000 that one worker works costs a few looks, and no slot waits for them but that
   of the last member, until what comes after is pushed.
2. What is done then is ``producer/groups/desk.py``'s, and safe to do twice.
3. Whatever died in between: the leading worker looks at all open groups every ``rescue_interval``,
   a hundred at a time. So it also finds members that programs of another kind have ended.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from worker.engine.fleet.leadership import Fleet
from worker.engine.fleet.led_service import LedService
from worker.item.group import MOST_MEMBERS
from worker.item.group_desk import GroupNotFound, GroupProgress
from worker.openiap.client import Client
from worker.producer.groups.desk import ClientGroups
from worker.producer.sender import ClientSender
from worker.service import cancelled
from worker.settings import Settings
from worker.telemetry.log import Log

SOON: Final = 1.0
"""Seconds until a look that nobody waits for."""
LONGEST: Final = 30.0
"""Seconds between two looks, where the server refuses them."""
AT_ONCE: Final = 100
MOST_KNOWN: Final = 10_000


@dataclass(slots=True)
class _Known:
    """What this worker knows of a group.

    Attributes:
        left: members that had not ended at the last look; None before the first.
        ended: those that this worker has ended since.
    """

    left: int | None = None
    ended: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    later: asyncio.Task[None] | None = None


class Groups(LedService):
    """Looks after the groups of one namespace.

    Args:
        queues: this worker's.
        groups: over the worker's own client.
        every: seconds between two looks at all open groups.
    """

    def __init__(
        self,
        queues: Sequence[str],
        groups: ClientGroups,
        *,
        every: float,
        fleet: Fleet,
        log: Log,
        chance: random.Random,
        soon: float = SOON,
    ) -> None:
        super().__init__(
            "groups",
            queues,
            fleet,
            first=every / 2,
            pause=every,
            on_error=partial(log.failed, "open groups could not be looked at"),
            chance=chance,
        )
        self._groups = groups
        self._log = log
        self._soon = soon
        self._known: dict[str, _Known] = {}
        self._over: set[str] = set()
        """Groups that need no look any more, also where this user cannot take their sign away."""
        self._after = ""
        self._looking = 0

    @property
    def pending(self) -> bool:
        """Whether a look that nobody waits for is still to be made, or is being made."""
        return self._looking > 0 or any(known.ended for known in self._known.values())

    async def stop(self) -> None:
        """End; looks that nobody waited for are made good by others, or by the next life."""
        await super().stop()
        for known in self._known.values():
            if known.later is not None:
                await cancelled(known.later)

    async def ended(self, group: str) -> None:
        """The outcome of a member is written: see whether it was the last.

        Raises nothing: what cannot be done now is done by a later look.
        """
        if group in self._over:
            return
        known = self._known.get(group)
        if known is None:
            for other in list(self._known) if len(self._known) >= MOST_KNOWN else ():
                self._forget(other)
            known = self._known[group] = _Known()
        known.ended += 1
        if known.left is None or known.ended >= known.left:
            async with known.turn:
                if known.ended and (known.left is None or known.ended >= known.left):
                    await self._look(group, known)
        if group in self._known and known.later is None and known.ended:
            known.later = asyncio.create_task(self._look_later(group, known), name="group")

    async def _look_later(self, group: str, known: _Known) -> None:
        wait = self._soon
        while known.ended and self._known.get(group) is known:
            await asyncio.sleep(wait)
            wait = min(LONGEST, 2 * wait)
            async with known.turn:
                if known.ended:
                    await self._look(group, known)
        known.later = None

    async def _look(self, group: str, known: _Known) -> None:
        counted, known.ended = known.ended, 0
        try:
            found = await self._settle(group)
        except GroupNotFound:
            self._forget(group)
            return
        except Exception as error:  # whatever it is: the item is done, and its slot goes on
            known.ended += counted
            known.left = MOST_MEMBERS  # whoever ends a member now does not wait for the next look
            self._log.failed(f"group {group} could not be looked at, and is again", error)
            return
        known.left = found.of - found.done - found.failed
        if found.over:
            self._note_over(group)

    async def _settle(self, group: str) -> GroupProgress:
        self._looking += 1
        try:
            return await self._groups.settle(group)
        finally:
            self._looking -= 1

    def _note_over(self, group: str) -> None:
        self._forget(group)
        if len(self._over) >= MOST_KNOWN:
            self._over.clear()
        self._over.add(group)

    def _forget(self, group: str) -> None:
        known = self._known.pop(group, None)
        if known is not None and known.later not in (None, asyncio.current_task()):
            known.later.cancel()

    async def round(self) -> float | None:
        """Look at open groups, where this worker leads; returns when to go on with the rest."""
        if not self.leads:
            self._after = ""
            return None
        some = await self._groups.open(self._after, AT_ONCE)
        for group in some:
            if group in self._over:
                continue
            try:
                found = await self._settle(group)
            except GroupNotFound:  # its cell was never made, is swept, or is not for this user
                continue
            except Exception as error:  # one odd group must not keep the others from their end
                self._log.failed(f"group {group} is not brought to its end", error)
                continue
            if found.over:
                self._note_over(group)
        self._after = some[-1] if len(some) == AT_ONCE else ""
        return self._soon if self._after else None


def groups_for(
    settings: Settings,
    queues: Sequence[str],
    client: Client,
    fleet: Fleet,
    *,
    log: Log,
    chance: random.Random,
) -> Groups:
    """Return what looks after groups in a worker of these queues."""
    namespace = settings.namespace
    cancel = ClientSender(client, namespace).cancel
    groups = ClientGroups(client, namespace, cancel, claim_for=settings.dead_after)
    every = settings.rescue_interval
    return Groups(queues, groups, every=every, fleet=fleet, log=log, chance=chance)
