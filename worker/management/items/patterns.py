"""Which regular expressions may be asked of a database: plain ones, that cannot be slow. Pure.

A database searches by backtracking. What makes that slow is repetition inside repetition,
alternatives that are repeated, and many open-ended repetitions one after the other; what makes it
strange, from one database to the next, is everything that looks around or back. All of that is
refused; what is left is searched in a time that grows with the text alone.
"""

import re
import warnings
from typing import Final

LONGEST: Final = 200
MOST_OPEN: Final = 2
"""Repetitions without an end: each multiplies the time by the length of the text."""
MOST_WAYS: Final = 1_000
"""Of choosing among alternatives, and of repeating between so often and so often."""
MOST_REPEATS: Final = 100
_COUNTED: Final = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")


def trouble_with(pattern: str) -> str:
    """Return what is wrong with a pattern, as what is allowed; "" for nothing."""
    if len(pattern) > LONGEST:
        return f"at most {LONGEST} characters"
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return "a regular expression, for example timeout|refused"
    return _trouble(pattern)


def _trouble(pattern: str) -> str:
    groups: list[bool] = []
    """For each group that is open, whether something in it is repeated, may be left out, or is an
    alternative."""
    rich = False
    """Whether what stands right before here is a group of that kind."""
    opens, at, ways, others = 0, 0, 1, [1]
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            if pattern[at + 1 : at + 2].isdigit() or pattern[at + 1 : at + 2] in ("k", "g"):
                return "patterns without references back"
            rich, at = False, at + 2
        elif char == "[":
            rich, at = False, _behind_set(pattern, at)
        elif char == "(":
            if pattern.startswith("(?", at) and not pattern.startswith("(?:", at):
                return "groups ( ) and (?: ) alone"
            groups.append(False)
            others.append(1)
            rich, at = False, at + (3 if pattern.startswith("(?:", at) else 1)
        elif char == ")":
            rich = groups.pop() if groups else False
            ways *= others.pop() if len(others) > 1 else 1
            at += 1
            if groups:
                groups[-1] = groups[-1] or rich
        elif char == "|":
            if groups:
                groups[-1] = True
                others[-1] += 1
            rich, at = False, at + 1
        elif (found := _repeat(pattern, at)) is not None:
            length, least, most = found
            if rich and most != 1:
                return "no repetition of what is repeated or has alternatives"
            if most is not None and most > MOST_REPEATS:
                return f"at most {MOST_REPEATS} repetitions"
            opens += most is None
            ways *= 1 if most is None else most - least + 1
            if opens > MOST_OPEN:
                return f"at most {MOST_OPEN} of *, + and {{n,}}"
            if groups and (least, most) != (1, 1):  # (a?){50} has 2^50 ways
                groups[-1] = True
            rich, at = most != 1, at + length
        else:
            rich, at = False, at + 1
        if ways > MOST_WAYS:
            return f"at most {MOST_WAYS:,} ways through its alternatives and repetitions"
    return ""


def _repeat(pattern: str, at: int) -> tuple[int, int, int | None] | None:
    """Return how long a repetition is that stands here, how often it repeats at least, and at most
    (None without an end); None where there is none."""
    least, most = 0, None
    if pattern[at] in "*+":
        length = 1
    elif pattern[at] == "?":
        length, most = 1, 1
    elif found := _COUNTED.match(pattern, at):
        if not (found[1] or found[3]):
            return None
        upper = found[3] if found[2] else found[1]
        length, least, most = len(found[0]), int(found[1] or 0), int(upper) if upper else None
    else:
        return None
    if pattern[at + length : at + length + 1] in ("?", "+"):  # lazy, possessive
        length += 1
    return length, least, most


def _behind_set(pattern: str, at: int) -> int:
    at += 1
    if pattern[at : at + 1] == "^":
        at += 1
    if pattern[at : at + 1] == "]":
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
