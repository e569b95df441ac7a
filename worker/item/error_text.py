"""What an error says on its item: message, traceback, and nothing that looks like a secret."""

import traceback
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from worker.errors import ApplicationError, BusinessError, Retry
from worker.item.bounded_read import MOST_PROBLEMS, TOO_LONG, TOO_MANY, problems
from worker.item.bounded_schema import OVERFULL
from worker.item.masking import MARGIN, masked, shortened
from worker.item.secret_names import is_secret_name
from worker.item.value_text import STARS, value_text
from worker.package_path import OWN_CODE

MAX_MESSAGE: Final = 4_000
MAX_SHORT: Final = 400
MAX_SOURCE: Final = 16_000
MAX_VALUE: Final = 80
_WITHOUT_VALUE: Final = ("missing", OVERFULL, TOO_LONG, TOO_MANY)
"""Problems of which the given value says nothing."""


def described(error: BaseException) -> str:
    """Return one message for the item: the type unless it is ours, the text, the code."""
    code = attribute_of(error, "code")
    said = text_of(error).strip()
    text = said or type(error).__name__
    if not isinstance(error, BusinessError | ApplicationError | Retry):
        text = f"{type(error).__name__}: {said}" if said else text
    where = attribute_of(error, "raised_in")
    if where:
        text = f"{where}: {text}"
    shown = f"[{code}] {text}" if isinstance(code, str) and code else text
    return shortened(shown, MAX_MESSAGE)


def in_short(error: BaseException) -> str:
    """Return what ``described`` does, in one line that is not long."""
    return clip(" ".join(described(error).split()), MAX_SHORT).replace("\n", " ")


def coded(message: str) -> tuple[str, str]:
    """Take the code apart from an item's message, which ``described`` writes as ``[CODE] text``.

    Returns:
        The code, or "", and the rest.
    """
    if message.startswith("["):
        code, bracket, rest = message[1:].partition("] ")
        if bracket and code and " " not in code:
            return code, rest
    return "", message


def text_of(error: BaseException) -> str:
    """Return an error's own text, or why there is none: it may come from anybody's code."""
    if isinstance(error, ValidationError) and error.error_count() > MOST_PROBLEMS:
        return problems_of(error)
    try:
        return str(error)
    except Exception as broken:
        return f"(its text cannot be read: {type(broken).__name__})"


def attribute_of(error: BaseException, name: str) -> object:
    """Return an attribute of an error; "" where there is none, or where it raises."""
    try:
        found: object = getattr(error, name, "")
    except Exception:  # a property of anybody's
        return ""
    return found


def source_of(error: BaseException) -> str:
    """Return the traceback without the worker's own frames, cut to what an item can hold.

    An error may bring frames that its own traceback cannot have, in an attribute ``stack``: those
    of another process, or of a handler that was given up where it was.
    """
    elsewhere = attribute_of(error, "stack")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not str(Path(frame.filename)).startswith(OWN_CODE)
    ]
    lines = traceback.format_list(frames)
    if isinstance(error, ValidationError) and error.error_count() > MOST_PROBLEMS:
        lines.append(f"{type(error).__name__}: {text_of(error)}\n")
    else:
        lines += traceback.format_exception_only(error)
    if isinstance(elsewhere, str):
        lines.insert(0, elsewhere)
    return shortened("".join(lines), MAX_SOURCE)


def clip(text: str, limit: int) -> str:
    """Return text of at most ``limit`` characters, its middle left out."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    return f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[-(limit - head) :]}"


def problems_of(error: ValidationError, whole: str = "payload") -> str:
    """Return what does not validate, field by field, for people.

    Args:
        whole: what all of it is called.
    """
    parts = []
    found = problems(error)
    for problem in found[:5]:
        name = ".".join(str(part) for part in problem["loc"]) or whole
        secret = any(isinstance(part, str) and is_secret_name(part) for part in problem["loc"])
        given = ""
        if problem["type"] not in _WITHOUT_VALUE:
            text = STARS if secret else value_text(problem.get("input"), MAX_VALUE + MARGIN)
            shown = shortened(text, MAX_VALUE)
            given = f" (given {shown})"
        parts.append(f"{name}: {masked(problem['msg'])}{given}")
    more = len(found) - len(parts)
    return "; ".join(parts) + (f"; and {more:,} more" if more > 0 else "")
