"""What an error says on its item: message, traceback, and nothing that looks like a secret."""

import re
import traceback
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from worker.errors import ApplicationError, BusinessError, Retry
from worker.package_path import OWN_CODE

MAX_MESSAGE: Final = 4_000
MAX_SOURCE: Final = 16_000


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
    return masked(clip(shown, MAX_MESSAGE))


def text_of(error: BaseException) -> str:
    """Return an error's own text, or why there is none: it may come from anybody's code."""
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
    lines = traceback.format_list(frames) + traceback.format_exception_only(error)
    if isinstance(elsewhere, str):
        lines.insert(0, elsewhere)
    return masked(clip("".join(lines), MAX_SOURCE))


# Searched on the loop, in texts that strangers may have written: none of these goes back over what
# it has seen, so their cost grows with the text and not with its square.
_SECRET: Final = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|jwt|authorization|bearer)\b[\"']?)"
    r"(\s*+[=:]\s*+|\s++)(\"[^\"]*+\"|'[^']*+'|[^\s,;&)\]}]++)"
)
_URL_USER: Final = re.compile(r"(?<=\w://)[^/\s:@]++:[^/\s@]++@")
_JWT: Final = re.compile(r"(?:(?<![\w-])eyJ[\w-]{8,}+|(?<=-)eyJ[\w-]{8,500}+)\.[\w-]{8,}+\.[\w-]*+")


def masked(text: str) -> str:
    """Return text with what looks like a password or a token replaced by stars."""
    text = _URL_USER.sub("***:***@", text)
    text = _JWT.sub("***", text)
    return _SECRET.sub(r"\1\2***", text)


def clip(text: str, limit: int) -> str:
    """Return text of at most ``limit`` characters, its middle left out."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    return f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[-(limit - head) :]}"


def problems_of(error: ValidationError) -> str:
    """Return what does not validate, field by field, for people."""
    parts = []
    for problem in error.errors(include_url=False, include_input=True)[:5]:
        name = ".".join(str(part) for part in problem["loc"]) or "payload"
        shown = repr(problem.get("input"))
        given = "" if problem["type"] == "missing" else f" (given {clip(shown, 80)})"
        parts.append(f"{name}: {problem['msg']}{given}")
    more = error.error_count() - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
