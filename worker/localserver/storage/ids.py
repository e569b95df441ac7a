"""Identifiers of documents: 24 hexadecimal digits, as MongoDB makes them."""

import itertools
import secrets
import time
from typing import Final

_PROCESS: Final = secrets.token_hex(5)
_COUNTER: Final = itertools.count(secrets.randbelow(1 << 20))


def new_id() -> str:
    """Return an id that no other call returns and that comes after those of earlier calls: the
    second, five random bytes for the process, three of a counter."""
    return f"{int(time.time()) & 0xFFFFFFFF:08x}{_PROCESS}{next(_COUNTER) & 0xFFFFFF:06x}"
