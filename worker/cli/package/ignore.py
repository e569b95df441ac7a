"""Ignore files, with the rules of ``.gitignore``. Pure.

A pattern with a slash before its end is anchored at the root, one without matches at any depth; a
slash at the end means folders alone; ``!`` takes back; the last pattern that matches decides.
``*`` and ``?`` stop at slashes, ``**`` does not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NAMES: Final = (".npmignore", ".gitignore")
"""Which ignore file counts: the first that is there, as npm has it."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of an ignore file."""

    regex: re.Pattern[str]
    folders_only: bool
    takes_back: bool


def parse(text: str) -> tuple[Pattern, ...]:
    """Return the patterns of an ignore file."""
    return tuple(p for line in text.splitlines() if (p := _pattern(line)) is not None)


def ignored(path: str, patterns: Sequence[Pattern], *, folder: bool = False) -> bool:
    """Tell whether a path is left out; of the folders above it, the caller asks first.

    Args:
        path: relative to the root, with forward slashes.
        folder: whether it is one.
    """
    verdict = False
    for pattern in patterns:
        if (folder or not pattern.folders_only) and pattern.regex.fullmatch(path):
            verdict = not pattern.takes_back
    return verdict


def _pattern(line: str) -> Pattern | None:
    text = line.rstrip("\r\n")
    stripped = text.rstrip(" ")
    if stripped.endswith("\\") and stripped != text:
        stripped += " "  # "\ " at the end is a blank that is meant
    text = stripped
    takes_back = text.startswith("!")
    if takes_back:
        text = text[1:]
    elif not text or text.startswith("#"):
        return None
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    anchored = "/" in text
    body = _translate(text.removeprefix("/"))
    try:
        regex = re.compile(body if anchored else f"(?:.*/)?{body}", re.DOTALL)
    except re.error:
        return None  # git, too, takes a broken range for a pattern that matches nothing
    return Pattern(regex, folders_only, takes_back)


def _translate(text: str) -> str:
    found, at = [], 0
    while at < len(text):
        char = text[at]
        if text.startswith("**/", at) and (at == 0 or text[at - 1] == "/"):
            found.append("(?:.*/)?")
            at += 3
        elif text.startswith("**", at) and at + 2 == len(text) and text[at - 1 : at] == "/":
            found.append(".+")
            at += 2
        elif char == "*":
            found.append("[^/]*")
            at += 1
        elif char == "?":
            found.append("[^/]")
            at += 1
        elif char == "[" and (end := text.find("]", at + 2)) > 0:
            inner = text[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            found.append(f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]")
            at = end + 1
        else:
            if char == "\\" and at + 1 < len(text):
                at += 1
            found.append(re.escape(text[at]))
            at += 1
    return "".join(found)
