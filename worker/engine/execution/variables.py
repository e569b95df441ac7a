"""The local variables of a failed attempt's frames, for its evidence.

1. What is named like a secret is stars, at whatever depth; every text passes through the masker.
2. What may be a secret and cannot be told (a long run of letters and digits) is left out.
3. A value costs what is shown of it, however large it is.
"""

import re
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import TracebackType
from typing import Any, Final

from pydantic import BaseModel

from worker.item.error_chain import behind
from worker.item.masking import MARGIN, shortened
from worker.item.secret_names import is_secret_name
from worker.package_path import OWN_CODE

MOST_VALUE: Final = 500
MOST_TEXT: Final = 256 * 1024
STARS: Final = "***"
DEEPEST: Final = 20
_ROOM: Final = MOST_VALUE + MARGIN
_SEVERAL: Final = (list, tuple, set, frozenset)
_RUN: Final = re.compile(r"(?<![\w+/=-])[\w+/=-]{20,}+")
_BORDER: Final = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[A-Z])(?=[0-9])")
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\dT\d+|[\da-fA-F]{8}(?:-[\da-fA-F]{4}){3}-[\da-fA-F]{12}")


def all_variables_of(error: BaseException) -> str:
    """Return the local variables of an error's frames, and of those of what stands behind it."""
    found = [variables_of(one) for one in (error, *(one for _, one in behind(error)))]
    return "\n".join(dict.fromkeys(text for text in found if text))


def variables_of(error: BaseException) -> str:
    """Return the local variables of an error's frames, the worker's own frames left out."""
    parts: list[str] = []
    size = 0
    for frame, line in traceback.walk_tb(_own_left_out(error.__traceback__)):
        code = frame.f_code
        if code.co_filename.startswith(OWN_CODE):
            continue
        found = [f"{code.co_filename}, line {line}, in {code.co_qualname}"]
        found += [f"    {name} = {shown(name, value)}" for name, value in frame.f_locals.items()]
        size += sum(map(len, found))
        if size > MOST_TEXT:
            parts.append("… (the frames within are left out)")
            break
        parts += found
    return "\n".join(parts)


def shown(name: str, value: object) -> str:
    """Return a value for the file: masked, cut, and on one line."""
    if is_secret_name(name):
        return STARS
    writer = _Writer()
    if isinstance(value, str):
        writer.put(value[:_ROOM])
    else:
        writer.write(value, 0)
    return without_runs(shortened("".join(writer.parts), MOST_VALUE)).replace("\n", "\\n")


def without_runs(text: str) -> str:
    """Leave out every long run that is no word, path, date or id: it may be a token."""
    return _RUN.sub(lambda run: STARS if _may_be_token(run[0]) else run[0], text)


def _may_be_token(run: str) -> bool:
    if _DATED.match(run) or run.count("/") > 1:
        return False
    if re.fullmatch(r"[0-9a-fA-F]{32,}", run):
        return True
    if re.fullmatch(r"[0-9a-f]+", run):
        return False  # an item's id
    digits = sum(map(str.isdigit, run))
    return 2 <= digits < len(run) and len(_BORDER.findall(run)) >= max(4, len(run) // 6)


class _Writer:
    """Writes a value's repr until there is no room."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._room = _ROOM

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


def _own_left_out(frames: TracebackType | None) -> TracebackType | None:
    """Skip the worker's frames at the beginning."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(OWN_CODE):
        frames = frames.tb_next
    return frames
