"""The local variables of a failed attempt's frames, for its evidence.

1. What is named like a secret is stars, at whatever depth; every text passes through the masker.
2. What may be a secret and cannot be told (a long run of letters and digits) is left out.
3. A value costs what is shown of it, however large it is.
"""

import re
import traceback
from types import TracebackType
from typing import Final

from worker.item.error_chain import behind
from worker.item.masking import MARGIN, shortened
from worker.item.secret_names import is_secret_name
from worker.item.value_text import STARS, value_text
from worker.package_path import OWN_CODE

MOST_VALUE: Final = 500
MOST_TEXT: Final = 256 * 1024
_ROOM: Final = MOST_VALUE + MARGIN
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
    text = value[:_ROOM] if isinstance(value, str) else value_text(value, _ROOM)
    return without_runs(shortened(text, MOST_VALUE)).replace("\n", "\\n")


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


def _own_left_out(frames: TracebackType | None) -> TracebackType | None:
    """Skip the worker's frames at the beginning."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(OWN_CODE):
        frames = frames.tb_next
    return frames
