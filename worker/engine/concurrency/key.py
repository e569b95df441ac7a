"""From a payload to its key: the handler's own function, held to what a key may be. Pure."""

import hashlib
from typing import Any, Final

from worker.app.options import KeyFunction
from worker.errors import BusinessError
from worker.item.error_text import clip, source_of, text_of
from worker.item.masking import masked
from worker.item.outcome import Outcome
from worker.kinds import kind_of

MAX_KEY: Final = 1_000
"""Bytes."""
MAX_NAME: Final = 71
"""Bytes of a key that names documents as it is; a longer one is named by its SHA-256."""
MAX_QUEUE: Final = 50
"""The same of a queue."""
MAX_MESSAGE: Final = 1_000


class NoKey(BusinessError):
    """The payload has no usable key; the text names the handler and says why."""


def key_of(function: KeyFunction, payload: Any, *, handler: str) -> str:
    """Return an item's key.

    Args:
        payload: validated, the same object that the handler gets.
        handler: how to call the handler in errors.

    Raises:
        NoKey: the function raised, or returned something that is no key.
    """
    try:
        found = function(payload)
    except Exception as error:  # a user's function may raise anything
        text = f"The key of {handler} raised {type(error).__name__}: {text_of(error)}"
        raise NoKey(clip(text, MAX_MESSAGE)) from error
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise NoKey(f"The key of {handler} is {kind_of(found)}; allowed: text or a whole number")
    try:
        text = str(found)
        size = len(text.encode())
    except ValueError as error:  # a lone surrogate, or a number of thousands of digits
        raise NoKey(f"The key of {handler} cannot be written as text: {error}") from error
    if not text.strip():
        raise NoKey(f"The key of {handler} is empty; allowed: 1 to {MAX_KEY} bytes of text")
    if size > MAX_KEY:
        raise NoKey(f"The key of {handler} has {size} bytes; allowed: 1 to {MAX_KEY} bytes of text")
    return text


def without_key(error: NoKey) -> Outcome:
    """Return the outcome of an item without a usable key: a business error."""
    source = "" if error.__cause__ is None else source_of(error.__cause__)
    return Outcome("business", None, masked(str(error)), source)


def line_name(queue: str, key: str) -> str:
    """Return the name of a key's line: short enough for ids, and no other queue's."""
    return f"{queue_name(queue)}/{_part(key, MAX_NAME)}"


def queue_name(queue: str) -> str:
    """Return how a queue is called in the names of lines."""
    return _part(queue, MAX_QUEUE)


def _part(text: str, most: int) -> str:
    """Return text without ``/``, or its SHA-256 where it takes more bytes than that in an id,
    where ``%`` and ``#`` take three (``worker.state.cells``), or what there is room for of it."""
    part = text.replace("~", "~0").replace("/", "~1")
    size = len(part.encode("utf-8", "surrogatepass")) + 2 * (part.count("%") + part.count("#"))
    if size <= most:
        return part
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest}"[:most]
