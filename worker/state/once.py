"""A guard that lets exactly one pass, whoever asks and whatever dies."""

from datetime import timedelta
from typing import Final

from worker.durations import Duration, seconds
from worker.openiap.values import checked_name
from worker.state.cells import Cells
from worker.state.server_clock import ServerClock

KIND: Final = "once"


class Once:
    """The guards of one namespace; see ``State.once``."""

    def __init__(self, cells: Cells, clock: ServerClock) -> None:
        self._cells = cells
        self._clock = clock

    async def first(self, key: str, keep: Duration | timedelta | None = None) -> bool:
        """Say whether this is the first call for a key; see ``State.once``."""
        checked_name(key, "once")
        kept = None if keep is None else seconds(keep, "keep")
        made = await self._cells.create(KIND, key, {"keep": kept})
        if made is not None:
            return True
        if kept is None:
            return False
        found = await self._cells.tip(KIND, key)
        if found is None or found.removed:
            return await self._cells.create(KIND, key, {"keep": kept}) is not None
        if found.stamped is None:
            return False
        if await self._clock.now() < found.stamped + timedelta(seconds=kept):
            return False
        return await self._cells.replace(found, {"keep": kept}) is not None
