"""How many items of each queue are in each state, kept as they change.

1. Counted once, when that is first asked for; each change of an item is noted from then on.
2. Where writes of the store were undone, it is counted anew when it is next asked for.

So lists of queues and waits for a queue's end cost the same of a million items as of none, and a
server that nobody asks counts nothing.
"""

from collections import Counter
from collections.abc import Mapping

from worker.localserver.storage.store import Store

Place = tuple[str, str]
"""A queue's name and a state."""


class ItemCounts:
    """Keeps the numbers of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: Counter[Place] | None = None
        self._undone = store.undone

    @property
    def is_kept(self) -> bool:
        """Whether changes are to be noted; nobody has asked otherwise."""
        return self._held is not None

    def added(self, place: Place) -> None:
        """Note an item that came."""
        if self._held is not None:
            self._held[place] += 1

    def removed(self, place: Place) -> None:
        """Note an item that went."""
        if self._held is not None:
            self._held[place] -= 1

    def moved(self, before: Place, after: Place) -> None:
        """Note an item that is now somewhere else."""
        if self._held is not None and before != after:
            self._held[before] -= 1
            self._held[after] += 1

    def forget(self) -> None:
        """Count anew when it is next asked for."""
        self._held = None

    def held(self) -> Mapping[Place, int]:
        """Return the numbers, in no order; there may be some of 0."""
        if self._held is None or self._undone != self._store.undone:
            self._undone = self._store.undone
            rows = self._store.rows("SELECT wiq, state, COUNT(*) FROM workitems GROUP BY 1, 2")
            self._held = Counter({(str(wiq), str(state)): count for wiq, state, count in rows})
        return self._held
