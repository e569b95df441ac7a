"""Clocks of single processes, set while they run: libfaketime, where it is installed.

Only the wall clock is moved; the monotonic ones go on. A process reads the file of its clock about
once a second.

The library takes a lock that forks know nothing of. Very rarely a child that is forked beside other
threads waits for it for ever in ``pthread_cond_init``, before any Python runs in it. The handlers'
``hard_timeout`` ends such an item (``deeds.py``), and the attempt that it costs is told apart.
"""

import os
from pathlib import Path
from typing import Final

SITE: Final = Path(__file__).with_name("site")
PLACES: Final = (
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
)
MISSING: Final = "clocks: NOT RUN HERE, libfaketime is missing (Debian package faketime)"


def library() -> str:
    """Return the path of libfaketime for programs with threads; "" where there is none."""
    wanted = (os.environ.get("LIBFAKETIME", ""), *(f"{one}/libfaketimeMT.so.1" for one in PLACES))
    return next((one for one in wanted if one and os.path.exists(one)), "")


class Clock:
    """The wall clock of one process and of all that it starts."""

    def __init__(self, path: Path, *, faked: bool) -> None:
        self._path = path
        self.faked = faked
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """What the process has to be started with."""
        if not self.faked:
            return {}
        return {
            "LD_PRELOAD": library(),
            "PYTHONPATH": str(SITE),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, ahead: float) -> None:
        """Let the clock be so many seconds ahead of the machine's, or behind it."""
        written = self._path.with_suffix(".new")
        written.write_text(f"{ahead:+.3f}")
        written.replace(self._path)
