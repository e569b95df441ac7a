"""Headers of an item: short texts beside its payload, for whoever works it, never for its model.

1. What a push says is refused with a sentence where it cannot be kept.
2. What stands on an item was perhaps written by others: what does not fit is left out.
3. ``traceparent`` and ``tracestate`` are no headers of the item's: they say which trace it is of
   (``trace.py``), so the headers of a web request can be passed on as they are.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from worker.item.trace import Trace, trace_of
from worker.kinds import kind_of

MOST: Final = 32
LONGEST_NAME: Final = 100
LONGEST: Final = 1_000
LARGEST: Final = 8_192
"""Characters of all names and values; they travel with every write and every pop of the item."""
ALLOWED: Final = (
    f"up to {MOST} texts, names of up to {LONGEST_NAME} letters, digits and . _ -, values of up to"
    f" {LONGEST:,} characters, {LARGEST:,} in all"
)
NONE: Final[Mapping[str, str]] = MappingProxyType({})
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_NAME}}}")
_TRACE: Final = ("traceparent", "tracestate")
_SHOWN: Final = 60


def headers_of(given: object) -> tuple[dict[str, str], Trace | None]:
    """Return what a push says: the headers, and the trace that was given among them.

    A trace that is none is left out, as by W3C's rules: it is some caller's, and no reason to fail.

    Raises:
        ValueError: what cannot be kept; the text names it, and what is allowed.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"headers = {_shown(given)}; allowed: {ALLOWED}")
    found: dict[str, str] = {}
    trace: dict[str, object] = {}
    for name, value in given.items():
        if isinstance(name, str) and name.lower() in _TRACE:
            trace[name.lower()] = value
            continue
        if not _is_name(name):
            raise ValueError(f"headers: the name {_shown(name)}; allowed: {ALLOWED}")
        if not _is_value(value):
            raise ValueError(f"headers: {name} = {_shown(value)}; allowed: {ALLOWED}")
        found[name] = value
    size = _size(found)
    if len(found) > MOST or size > LARGEST:
        raise ValueError(f"headers: {len(found)} with {size:,} characters; allowed: {ALLOWED}")
    return found, trace_of(trace.get("traceparent"), trace.get("tracestate", ""))


def stored_headers(found: object) -> dict[str, str]:
    """Return the headers that stand on an item, as far as they are some."""
    if not isinstance(found, dict):
        return {}
    kept: dict[str, str] = {}
    room = LARGEST
    for name, value in found.items():
        if _is_name(name) and _is_value(value) and len(kept) < MOST:
            room -= len(name) + len(value)
            if room < 0:
                break
            kept[name] = value
    return kept


def _size(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in headers.items())


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _is_value(value: object) -> bool:
    """Whether it is text that JSON and MongoDB carry: no NUL, no half characters."""
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = ascii(value) if isinstance(value, str) else kind_of(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
