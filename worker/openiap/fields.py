"""Fields of documents that others can write: another user, an older or a newer version.

1. Each function takes whatever JSON can hold and returns what its name says, or says that it is
   none; none of them ever raises.
2. What it returns can be reckoned with: no NaN, no infinity, no moment at the end of time.
3. Each kind of document is read at one place, by these; what does not fit there is a ``Misfit``,
   which goes to a ``Misfits`` of the worker's, and costs its own effect alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.openiap.values import parse_iso
from worker.openiap.workitem import JsonObject

MOST: Final = 2**53
"""OpenIAP's server is JavaScript: larger numbers lose their last digits."""
LONGEST: Final = 100 * 365 * 86_400.0
"""Seconds; a century."""
YEARS: Final = range(1900, 3000)
MOST_TEXT: Final = 10_000
"""Characters of a text that is taken for a name, an id or a reason."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A document, or a part of one, that does not fit.

    Attributes:
        kind: of document, as log lines call it, for example ``"worker document"``.
        id: the document's.
        why: which field, and what is wrong with it.
    """

    kind: str
    id: str
    why: str


Told = Callable[[Misfit], None]
"""Is told of misfits, and never raises."""


def ignored(misfit: Misfit) -> None:
    """Tell nobody."""


def number(value: object) -> int:
    """Read a count; what is none (also true, NaN, infinity, beyond ``MOST``) counts as 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST <= value <= MOST:
        return 0
    return int(value)


def whole(value: object) -> int | None:
    """Read a whole number; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST <= value <= MOST:
        return None
    return int(value) if value == int(value) else None


def duration_of(value: object) -> float | None:
    """Read seconds, 0 or more and at most a century; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= LONGEST or not math.isfinite(value):
        return None
    return float(value)


def moment_of(value: object) -> datetime | None:
    """Read a moment, in UTC; None for what is none."""
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = parse_iso(value)
    except ValueError:
        return None
    return moment if moment.year in YEARS else None


def text_of(value: object) -> str:
    """Read a text; "" for what is none, or is too long for a name."""
    return value if isinstance(value, str) and len(value) <= MOST_TEXT else ""


def texts_of(value: object) -> tuple[str, ...]:
    """Read the texts of a list; () for what is none."""
    return tuple(filter(None, map(text_of, value))) if isinstance(value, list) else ()


def object_of(value: object) -> JsonObject:
    """Read an object; {} for what is none."""
    return dict(value) if isinstance(value, Mapping) else {}


def objects_of(value: object) -> list[JsonObject]:
    """Read the objects of a list; [] for what is none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def id_of(document: Mapping[str, Any]) -> str:
    """Return a document's id; "" where it has none that can be asked for."""
    return text_of(document.get("_id"))
