"""What one worker does for all, over and over: the one that leads the first of its queues."""

import random
from collections.abc import Callable, Sequence

from worker.engine.fleet.leadership import Fleet
from worker.service import Service


class LedService(Service):
    """A service whose rounds are for the leading worker; those of the others ask ``leads``.

    Args:
        queues: this worker's; without one nothing is started.
        fleet: tells who leads.
        name, first, pause, on_error, chance: see ``Service``.
    """

    def __init__(
        self,
        name: str,
        queues: Sequence[str],
        fleet: Fleet,
        *,
        first: float,
        pause: float,
        on_error: Callable[[Exception], None],
        chance: random.Random,
    ) -> None:
        super().__init__(name, first=first, pause=pause, on_error=on_error, chance=chance)
        self._queues = tuple(queues)
        self._fleet = fleet

    @property
    def leads(self) -> bool:
        """Whether this worker leads, or cannot know: being two does no harm, being none would."""
        return self._fleet.rank(min(self._queues)) in (0, None)

    async def start(self) -> None:
        """Begin, where there is a queue; the first round comes after a while."""
        if self._queues:
            await super().start()
