"""What a worker found out about a server's rate limit, kept for its next start.

A small file in the state directory, for all workers that share it: the last to end is right. One
that cannot be read or written costs a refused message at the next start, and no word.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE: Final = "rate-limits.json"
MOST_SERVERS: Final = 50
MOST: Final = 1_000_000.0


class LearntRate:
    """The rate of one server.

    Args:
        folder: the state directory.
        url: the server's, without credentials.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._file: Final = folder / FILE
        self._url: Final = url

    def read(self) -> float:
        """Return messages per second and connection, or 0.0: nothing is known."""
        found = self._all().get(self._url, 0.0)
        return found if 1.0 <= found <= MOST else 0.0

    def keep(self, rate: float) -> None:
        """Keep what was found out; 0.0 is nothing, and leaves what was kept before."""
        if not rate:
            return
        rates = {url: found for url, found in self._all().items() if url != self._url}
        rates[self._url] = round(rate, 1)
        newest = dict(list(rates.items())[-MOST_SERVERS:])
        new = self._file.with_suffix(".new")
        with suppress(OSError):
            new.write_text(json.dumps(newest), encoding="utf-8")
            new.replace(self._file)

    def _all(self) -> Mapping[str, float]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            url: float(rate)
            for url, rate in found.items()
            if isinstance(rate, int | float) and math.isfinite(rate)
        }
