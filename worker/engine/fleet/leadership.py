"""Leadership: one worker of a queue does what one is enough for; nobody is elected.

The live worker with the lowest id leads, in each queue and namespace; when it dies, the next one
does. Whoever is alive and does nothing for some rounds is passed over: each document tells how many
rounds its worker did (``Heartbeat.worked``). Two may both believe that they lead: whatever a leader
does has to be harmless done twice.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol

from worker.engine.fleet.presence import Peer

ROUNDS: Final = 3
"""Rounds that a leader may miss."""


class Fleet(Protocol):
    """What there is to know of the others, and the time that all share; see ``Heartbeat``."""

    def server_now(self) -> datetime:
        """Return the server's time as far as it is known."""

    def rank(self, queue: str) -> int | None:
        """Return how many live workers of a queue come first, as last seen; asks nobody.

        None when it is not known, as without the rights for heartbeats.
        """

    async def peers(self) -> Sequence[object]:
        """Look who is there; ``rank`` knows it from then on.

        Raises:
            OpenIAPError: it cannot be read.
        """


def idle_after(interval: float, dead_after: float) -> float:
    """Return the seconds without a round of its rescuer after which a worker leads nothing.

    Args:
        interval: seconds between two rounds.
        dead_after: seconds of silence after which a worker counts as dead; so long a worker may
            have to wait before its first round.
    """
    return dead_after + ROUNDS * interval


def rank_of(
    me: str,
    queue: str,
    peers: Iterable[Peer],
    dead_after: float,
    namespace: str = "",
    *,
    idle_after: float = float("inf"),
) -> int:
    """Return how many live workers of a queue, in a namespace, come before one; 0 leads.

    Args:
        me: the worker's id.
        dead_after: seconds of silence after which a worker counts as dead.
        idle_after: seconds after which one that was seen without a further round does not count:
            a document that is kept fresh, and stands for nobody who works, holds up nothing.
    """
    return sum(
        peer.id < me
        and queue in peer.queues
        and peer.silent <= dead_after
        and peer.idle <= idle_after
        and peer.namespace == namespace
        for peer in peers
    )


def others_of(
    me: str,
    queue: str,
    peers: Iterable[Peer],
    dead_after: float,
    *,
    idle_after: float = float("inf"),
) -> list[Peer]:
    """Return the other live workers of a queue, in every namespace; see ``rank_of``."""
    return [
        peer
        for peer in peers
        if peer.id != me
        and queue in peer.queues
        and peer.silent <= dead_after
        and peer.idle <= idle_after
    ]


def led_queues(
    queues: Sequence[str],
    peers: Sequence[Peer],
    me: str,
    dead_after: float,
    namespace: str = "",
    *,
    idle_after: float = float("inf"),
) -> list[str]:
    """Return the queues that a worker leads; see ``rank_of``."""
    return [
        queue
        for queue in queues
        if not rank_of(me, queue, peers, dead_after, namespace, idle_after=idle_after)
    ]


def leads_at_earliest(
    queues: Sequence[str],
    peers: Sequence[Peer],
    me: str,
    dead_after: float,
    namespace: str = "",
    *,
    idle_after: float = float("inf"),
) -> float:
    """Return in how many seconds a worker may come to lead one more of its queues: those before it
    would have to be silent, or without a further round, from now on; 0 where it leads one already.
    """
    return min(
        (
            max(
                (
                    max(0.0, min(dead_after - peer.silent, idle_after - peer.idle))
                    for peer in peers
                    if peer.id < me and queue in peer.queues and peer.namespace == namespace
                ),
                default=0.0,
            )
            for queue in queues
        ),
        default=0.0,
    )
