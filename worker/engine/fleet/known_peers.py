"""The workers of this one's queues, as they were when last looked for; asking what is known here
asks nobody.

A look is one for everybody, whoever wanted it (``Heartbeat.peers``).
"""

from collections.abc import Sequence
from typing import Final

from worker.engine.fleet.leadership import others_of, rank_of
from worker.engine.fleet.presence import Peer, WorkerInfo
from worker.engine.fleet.sightings import Sightings


class KnownPeers:
    """What one worker knows of the others.

    Args:
        dead_after: seconds of silence after which a worker counts as dead.
        idle_after: see ``rank_of``.
    """

    def __init__(self, me: WorkerInfo, *, dead_after: float, idle_after: float) -> None:
        self._me: Final = me
        self._dead_after = dead_after
        self._idle_after = idle_after
        self._sightings = Sightings()
        self._peers: list[Peer] | None = None
        self._wanting: dict[str, tuple[str, ...]] = {}
        self._living: dict[str, tuple[str, ...]] = {}

    def note(self, peers: Sequence[Peer]) -> list[Peer]:
        """Take what was read just now of all workers, this one included; returns them as they were
        seen to be."""
        self._peers = self._sightings.note(peers)
        self._wanting.clear()
        self._living.clear()
        return self._peers

    def rank(self, queue: str) -> int | None:
        """Return how many live workers of a queue, in this namespace, have a lower id; None before
        the first look."""
        if self._peers is None:
            return None
        return rank_of(
            self._me.id,
            queue,
            self._peers,
            self._dead_after,
            self._me.namespace,
            idle_after=self._idle_after,
        )

    def others(self, queue: str) -> list[Peer]:
        """Return the other live workers of a queue, in every namespace; none before the first
        look."""
        return others_of(
            self._me.id, queue, self._peers or (), self._dead_after, idle_after=self._idle_after
        )

    def size(self, queue: str) -> int:
        """Return how many live workers a queue has, in every namespace, this one included."""
        return 1 + len(self.others(queue))

    def living(self, queue: str) -> tuple[str, ...]:
        """Return the ids of ``others``."""
        found = self._living.get(queue)
        if found is None:
            found = self._living[queue] = tuple(peer.id for peer in self.others(queue))
        return found

    def wanting(self, queue: str) -> tuple[str, ...]:
        """Return the ids of those of ``others`` that have a free slot for it."""
        found = self._wanting.get(queue)
        if found is None:
            found = self._wanting[queue] = tuple(
                peer.id for peer in self.others(queue) if peer.wants(queue)
            )
        return found
