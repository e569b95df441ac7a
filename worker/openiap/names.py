"""What a name of shared state, or a key, may be."""

from typing import Final

MAX_NAME: Final = 1000
"""Bytes of UTF-8."""


def checked_name(name: object, what: str) -> str:
    """Return a name that can be kept.

    Args:
        what: how errors call it, for example ``"lock"`` or ``"unique"``.

    Raises:
        TypeError: no text.
        ValueError: empty, or too long.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what}: {name!r} is no text; allowed: text of 1 to {MAX_NAME:,} bytes")
    if not name:
        raise ValueError(f'{what}: "" is empty; allowed: text of 1 to {MAX_NAME:,} bytes')
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME:
        raise ValueError(
            f"{what}: {name[:40]!r}… has {size:,} bytes; allowed: text of 1 to {MAX_NAME:,} bytes"
        )
    return name
