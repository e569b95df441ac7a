"""Sightings: what this worker saw of the others itself, by its own clock. No I/O.

A document says when the server stamped it, and nothing more: the server's clock may be set back, so
that a stamp lies ahead, and anybody may keep a document fresh that does no work.

1. Who shows the same stamp for a while was silent for that long at least, whatever the stamp says.
2. Who tells of no further round for a while does no work: its items are its own, but it leads
   nothing (``leadership.py``). A version that tells of no rounds counts as idle after that while,
   too, and then two lead, which does no harm.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from worker.engine.fleet.presence import Peer
from worker.uptime import uptime


@dataclass(slots=True)
class _Seen:
    stamp: datetime | None
    stamped_since: float
    rounds: int | None
    idle_since: float


class Sightings:
    """Remembers each worker that is there, and forgets who is not.

    Args:
        clock: seconds that go on while the machine sleeps.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or (lambda: uptime())
        self._seen: dict[str, _Seen] = {}

    def note(self, peers: Iterable[Peer]) -> list[Peer]:
        """Take what was read just now of all workers; returns them as they were seen to be."""
        now = self._clock()
        seen: dict[str, _Seen] = {}
        found = []
        for peer in peers:
            known = self._seen.get(peer.id)
            if known is None:
                known = _Seen(peer.stamp, now, peer.rounds, now)
            if known.stamp != peer.stamp:
                known.stamp, known.stamped_since = peer.stamp, now
            if known.rounds != peer.rounds:
                known.rounds, known.idle_since = peer.rounds, now
            seen[peer.id] = known
            silent = max(peer.silent, now - known.stamped_since)
            found.append(replace(peer, silent=silent, idle=now - known.idle_since))
        self._seen = seen
        return found
