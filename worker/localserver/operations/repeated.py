"""What the server does over and over beside its commands, one named loop each."""

from collections.abc import Awaitable, Callable
from typing import Final

from worker.service import Service

Round = Callable[[], Awaitable[None]]


class Repeated(Service):
    """One of them. What a round raises is said, once for each kind of error, and ends nothing.

    Args:
        name: as log lines call it.
        every: seconds between two rounds, and before the first.
    """

    def __init__(self, name: str, every: float, does: Round, log: Callable[[str], None]) -> None:
        super().__init__(name, pause=every, first=every, on_error=self._failed)
        self._does: Final = does
        self._log = log
        self._said = ""

    async def round(self) -> None:
        """Do it once."""
        await self._does()

    def _failed(self, error: Exception) -> None:
        said = f"{self.name} failed, and goes on: {type(error).__name__}: {error}"
        if said != self._said:
            self._log(said)
        self._said = said
