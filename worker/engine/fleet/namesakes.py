"""Another living worker with this one's name.

That takes an outage for so long that this worker counted as dead, or two links to two servers of
one database.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from worker.engine.fleet.presence import Peer, WorkerInfo
from worker.openiap.values import iso


class Namesakes:
    """What one worker has seen of other lives under its name.

    Args:
        me: this worker.
        started: when it began, by its own clock.
    """

    def __init__(self, me: WorkerInfo, started: datetime) -> None:
        self._me: Final = me
        self._started = started
        self._met: tuple[str, datetime | None, float] | None = None
        """Another life that has written this worker's document: which, when, and when this one had
        written last."""

    def look(self, peers: Iterable[Peer], beaten: float) -> tuple[Peer, bool] | None:
        """Return another living worker with this one's name, and whether this one, which began
        later, is to end.

        Once is no life: a last heartbeat of an earlier one may have been held up on its way. Who
        writes again after this one has written in between lives.

        Args:
            peers: whoever has a document.
            beaten: when this worker has written its own last.
        """
        found = None
        for peer in peers:
            if peer.id != self._me.id or peer.life == self._me.life:
                continue
            met = self._met
            if met is None or met[0] != peer.life or met[2] == beaten:
                self._met = (peer.life, peer.stamp, beaten)
            elif met[1] != peer.stamp:
                found = peer, (iso(self._started), self._me.life) > (peer.started, peer.life)
        return found
