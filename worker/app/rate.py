"""Rates: so many in so long, counted in fixed windows of the server's clock. Pure.

Windows are aligned to 1970, so all workers mean the same ones: those of "100/min" begin with each
full minute, those of "5/10s" at :00, :10, :20 and so on, those of a day at midnight UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_NAMES: Final = {
    1: "s sec second seconds",
    60: "m min minute minutes",
    3600: "h hour hours",
    86_400: "d day days",
}
UNITS: Final = {name: size for size, names in _NAMES.items() for name in names.split()}
MAX_LIMIT: Final = 1_000_000
MAX_SECONDS: Final = 31 * 86_400
ALLOWED: Final = (
    "a count of 1 to 1000000 in whole seconds, minutes, hours or days, up to 31 days, like"
    ' "100/min", "5/10s", "1000/hour"'
)
SINGLES: Final = 100
"""Up to this limit every permit is asked for by itself."""
BLOCKS: Final = 50
"""Above it, permits come in about so many blocks: a window costs no more messages than that."""

_TEXT: Final = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})?\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` in each window of ``seconds``."""

    limit: int
    seconds: int

    def __str__(self) -> str:
        for unit, size in (("day", 86_400), ("hour", 3600), ("min", 60), ("s", 1)):
            if self.seconds % size == 0:
                count = self.seconds // size
                return f"{self.limit}/{count if count > 1 else ''}{unit}"
        raise AssertionError("whole seconds")

    @property
    def block(self) -> int:
        """How many permits are asked for at once."""
        return 1 if self.limit <= SINGLES else self.limit // BLOCKS

    @property
    def blocks(self) -> int:
        """How many blocks a window has; the last one may be smaller."""
        return -(-self.limit // self.block)

    def size_of(self, block: int) -> int:
        """Return how many permits a block has; blocks are numbered from 0."""
        return max(0, min(self.block, self.limit - block * self.block))

    def window(self, moment: datetime) -> int:
        """Return the number of the window that a moment lies in."""
        return int(moment.timestamp() // self.seconds)

    def begins(self, window: int) -> datetime:
        """Return when a window begins; that is when the one before it ends."""
        return datetime.fromtimestamp(window * self.seconds, UTC)


def rate_of(text: str) -> Rate:
    """Read a rate.

    Raises:
        ValueError: it is none; the text says what is allowed.
    """
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    unit = None if found is None else UNITS.get(found[3].lower())
    if found is None or unit is None:
        raise ValueError(f"{text!r}; allowed: {ALLOWED}")
    limit, seconds = int(found[1]), int(found[2] or 1) * unit
    if not 1 <= limit <= MAX_LIMIT or not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(f"{text!r}; allowed: {ALLOWED}")
    return Rate(limit, seconds)
