"""What mongomock works out for a client, for a limited time: no client is to stop the server.

A pipeline of a few lines may ask for billions of documents, or for a text of as many letters, and
an update for a list of as many places. mongomock is Python all through, so it is looked at from
one call to the next; what it has begun is dropped.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from worker.localserver.storage.errors import RefusedError

SECONDS: Final = 3.0
"""Of CPU time; the loop stands still meanwhile."""
LONGEST: Final = 16_000_000
"""Characters of a text: as many bytes as a document of MongoDB's has at most."""
MOST_PLACES: Final = 100_000
"""By which an update makes lists longer; MongoDB takes more."""


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Let nothing take longer, or make a longer text.

    Args:
        what: the client asked for.

    Raises:
        RefusedError: it did.
    """
    end = time.thread_time() + SECONDS

    def look(frame: FrameType, event: str, arg: Any) -> None:
        if time.thread_time() > end:
            raise RefusedError(f"The {what} takes longer than {SECONDS:g} s; allowed: simpler ones")
        if event == "return" and isinstance(arg, str) and len(arg) > LONGEST:
            raise RefusedError(f"The {what} makes a text of more than {LONGEST:,} characters")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def require_places(document: dict[str, Any], update: dict[str, Any]) -> None:
    """Refuse an update that makes lists much longer than they are, as MongoDB does.

    Raises:
        RefusedError: it names places far behind their ends.
    """
    left = MOST_PLACES
    for path in (path for fields in update.values() for path in fields):
        inside: Any = document
        for name in path.split("."):
            if isinstance(inside, dict):
                inside = inside.get(name)
                continue
            if not isinstance(inside, list) or not name.isdecimal():
                break
            place = int(name[:10])
            left -= max(0, place - len(inside))
            if left < 0:
                raise RefusedError(f"can't backfill to {path!r}; allowed: {MOST_PLACES:,} elements")
            inside = inside[place] if place < len(inside) else None
