"""A counter that all workers share, exact whatever dies."""

import asyncio
import random
from typing import Final

from worker.openiap.errors import ServerError
from worker.openiap.fields import whole
from worker.openiap.workitem import JsonObject
from worker.state.cells import COLLECTION, Cells, Version, document_id

KIND: Final = "counter"
EXACT: Final = 2**53
"""OpenIAP's server is JavaScript: larger numbers lose their last digits."""
WAIT_FIRST: Final = 0.01
WAIT_MAX: Final = 1.0


class Counter:
    """One counter; see ``State.counter``."""

    def __init__(self, cells: Cells, name: str, *, chance: random.Random) -> None:
        self._cells = cells
        self._chance = chance
        self._last: Version | None = None
        self.name: Final = name

    async def add(self, number: int = 1) -> int:
        """Add a number, which may be negative, and return the value that came of it.

        It is counted exactly once, also when an answer is lost or the server restarts meanwhile.
        Every caller gets a value of its own, so with ``number=1`` it is a sequence without gaps.

        What nothing here can help: a process that dies during the call may have counted or not; a
        counter whose documents are deleted by hand begins at 0 again. Clocks play no part.

        Args:
            number: a whole number.

        Raises:
            TypeError: no whole number.
            ValueError: the sum is beyond 2**53, where the server's numbers are not exact any more.
            OpenIAPError: no answer for a minute; it may be counted. Or what is stored is no number.
        """
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"add({number!r}): allowed: a whole number")
        tries = 0
        while True:
            seen = self._last or await self._cells.tip(KIND, self.name)
            self._last = None
            value = _value(seen) + number
            if abs(value) > EXACT:
                raise ValueError(f"counter {self.name!r}: {value} is beyond what is exact (2**53)")
            content: JsonObject = {"value": value}
            if seen is None:
                made = await self._cells.create(KIND, self.name, content)
            else:
                made = await self._cells.replace(seen, content)
            if made is not None:
                self._last = made
                return value
            tries += 1
            most = min(WAIT_MAX, WAIT_FIRST * 2 ** min(tries, 10))
            await asyncio.sleep(self._chance.uniform(0, most))

    async def value(self) -> int:
        """Return the present value; 0 for a counter that nobody has added to.

        Raises:
            OpenIAPError: no answer for a minute.
        """
        self._last = await self._cells.tip(KIND, self.name)
        return _value(self._last)


def _value(version: Version | None) -> int:
    if version is None or version.removed:
        return 0
    found = whole(version.content.get("value"))
    if found is None:  # to begin anew would give numbers out a second time
        stored = str(version.content.get("value"))[:40]
        raise ServerError(
            f"counter {version.name!r} holds {stored!r}, which is no whole number: somebody else"
            f" wrote {document_id(version)} in {COLLECTION}",
            operation="query",
        )
    return found
