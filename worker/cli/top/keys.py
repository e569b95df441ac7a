"""Keys, made of the bytes that a terminal sends. Pure.

An escape key and the beginning of an arrow are the same byte: what stands alone until nothing more
came for a moment is the key (``flush``). What is no key of ours is nothing.
"""

import codecs
import re
from typing import Final

LONE_ESCAPE_AFTER: Final = 0.05
"""Seconds; a terminal sends a key's bytes at once, and a slow link keeps them together."""
MOST_PENDING: Final = 64
_NAMES: Final = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "back-tab",
    "1~": "home",
    "4~": "end",
    "5~": "page-up",
    "6~": "page-down",
    "7~": "home",
    "8~": "end",
}
_PLAIN: Final = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x03": "quit",
    "\x15": "clear",
    "\x0c": "redraw",
}
_SEQUENCE: Final = re.compile(r"\x1b(?:\[([0-9;?<=>]*[@-~])|O([@-~]))")
_BEGUN: Final = re.compile(r"\x1b(?:\[[0-9;?<=>]*|O)?\Z")


class Keys:
    """Reads keys: names of several letters, or the one letter that was typed."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._left = ""

    @property
    def pending(self) -> bool:
        """Whether something came that may be the beginning of a key."""
        return bool(self._left)

    def feed(self, sent: bytes) -> list[str]:
        """Take what came, and return the keys that are whole."""
        self._left += self._decoder.decode(sent)
        found: list[str] = []
        while self._left:
            if self._left[0] != "\x1b":
                found += _letter(self._left[0])
                self._left = self._left[1:]
            elif sequence := _SEQUENCE.match(self._left):
                found += _named(sequence[1] or sequence[2])
                self._left = self._left[sequence.end() :]
            elif _BEGUN.match(self._left) and len(self._left) < MOST_PENDING:
                break
            else:
                self._left = self._left[1:]
                found.append("escape")
        return found

    def flush(self) -> list[str]:
        """Return what is pending as the escape key, since nothing more came."""
        was, self._left = self._left, ""
        return ["escape"] if was else []


def _letter(letter: str) -> list[str]:
    if letter in _PLAIN:
        return [_PLAIN[letter]]
    return [letter] if letter.isprintable() else []


def _named(sequence: str) -> list[str]:
    name = _NAMES.get(sequence)
    return [name] if name else []
