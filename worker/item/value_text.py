"""The text of a value for people: as ``repr`` writes it, at the cost of what is shown of it.

What is named like a secret is stars, at whatever depth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel

from worker.item.secret_names import is_secret_name

STARS: Final = "***"
DEEPEST: Final = 20
_SEVERAL: Final = (list, tuple, set, frozenset)


def value_text(value: object, room: int) -> str:
    """Return a value's text, of about ``room`` characters at most; not masked yet."""
    writer = _Writer(room)
    writer.write(value, 0)
    return "".join(writer.parts)


class _Writer:
    """Writes a value's repr until there is no room."""

    def __init__(self, room: int) -> None:
        self.parts: list[str] = []
        self._room = room

    def put(self, text: str) -> None:
        self.parts.append(text[: max(self._room, 0)])
        self._room -= len(text)

    def write(self, value: object, depth: int) -> None:
        if self._room <= 0 or depth > DEEPEST:
            self.parts.append("…")
        elif isinstance(value, dict) and type(value) is dict:
            self._fields(value, "{", "}", ": ", depth)
        elif isinstance(value, list | tuple | set | frozenset) and type(value) in _SEVERAL:
            self._several(value, depth)
        elif isinstance(value, str | bytes | bytearray):
            self.put(_repr(value[: self._room]))
        elif isinstance(value, BaseModel):
            name = f"{type(value).__name__}("
            self._fields(
                {**value.__dict__, **(value.__pydantic_extra__ or {})}, name, ")", "=", depth
            )
        elif is_dataclass(value) and not isinstance(value, type):
            given: dict[str, object] = {
                one.name: getattr(value, one.name, None) for one in fields(value) if one.repr
            }
            self._fields(given, f"{type(value).__name__}(", ")", "=", depth)
        else:
            self.put(_repr(value))

    def _fields(
        self, given: Mapping[Any, object], begin: str, end: str, sign: str, depth: int
    ) -> None:
        self.put(begin)
        for number, (name, value) in enumerate(given.items()):
            if self._room <= 0:
                self.parts.append("…")
                return
            said = str(name) if sign == "=" else _repr(name)
            self.put(f"{', ' if number else ''}{said}{sign}")
            if isinstance(name, str | bytes) and is_secret_name(
                name if isinstance(name, str) else name.decode("utf-8", "replace")
            ):
                self.put(STARS)
            else:
                self.write(value, depth + 1)
        self.put(end)

    def _several(self, values: Iterable[object], depth: int) -> None:
        begin, end = ("[", "]") if isinstance(values, list) else ("(", ")")
        if isinstance(values, set | frozenset):
            begin, end = "{", "}"
        self.put(begin)
        for number, value in enumerate(values):
            if self._room <= 0:
                self.parts.append("…")
                return
            self.put(", " if number else "")
            self.write(value, depth + 1)
        self.put(end)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as broken:  # a __repr__ of anybody's
        return f"(its repr raised {type(broken).__name__})"
