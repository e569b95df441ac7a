"""The values that must not get out of this process, wherever they stand in a text.

1. What was named with ``hide``: the secrets among the settings.
2. The values of the environment's variables that are secrets by their names, and what variables
   of other names hold of a secret's known shapes (a URL with credentials).
3. Each also in the forms in which it travels: base64, percent and JSON escapes, hexadecimal.

One per process, as the environment is: whatever writes a text has it masked, and none of them can
be handed what the others have learned.
"""

import base64
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from worker.forks import in_children
from worker.item.secret_names import is_secret_name

STARS: Final = "***"
SHORTEST: Final = 4
"""Characters; shorter values are parts of ordinary words and numbers."""
ANYWHERE: Final = 8
"""From this length on a value is looked for inside of words as well."""
LONGEST: Final = 16_384
MOST: Final = 500
_ENCODED_FROM: Final = 6
_PLAIN: Final = frozenset(
    {
        "admin", "changeme", "default", "demo", "dev", "disabled", "enabled", "example", "false",
        "guest", "local", "none", "null", "off", "on", "openiap", "password", "postgres", "root",
        "secret", "test", "token", "true", "user", "worker", "yes",
    }
)  # fmt: skip
"""So common that hiding them would hide words and protect nobody."""
_NOT_SECRET: Final = ("XDG_", "DBUS_", "SESSION_MANAGER", "GPG_KEY")


class KnownSecrets:
    """Finds known values in texts; may be used from threads.

    Args:
        environment: whose secret variables are known, as they are when a text is masked.
        shapes: returns the secrets that the known shapes find in a text.
    """

    def __init__(
        self, environment: Callable[[], Mapping[str, str]], shapes: Callable[[str], list[str]]
    ) -> None:
        self._environment = environment
        self._shapes = shapes
        self._named: dict[str, None] = {}
        self._seen: object = None
        self._forms: tuple[str, ...] = ()
        self._mutex = threading.Lock()
        in_children(self, KnownSecrets._of_a_child)

    def _of_a_child(self) -> None:
        """Another thread may have held the lock: the child would hang in its first log line."""
        self._mutex = threading.Lock()
        self._seen = None

    def hide(self, value: str) -> None:
        """Know one more value; the oldest is forgotten where there are very many."""
        with self._mutex:
            self._named.pop(value, None)
            self._named[value] = None
            while len(self._named) > MOST:
                del self._named[next(iter(self._named))]
            self._seen = None

    def masked(self, text: str) -> str:
        """Return the text with stars for every known value in every known form."""
        for form in self._present():
            if form in text:
                text = text.replace(form, STARS) if len(form) >= ANYWHERE else _words(text, form)
        return text

    def _present(self) -> tuple[str, ...]:
        environment = self._environment()
        # The mapping under os.environ holds the same objects from one look to the next, so that
        # comparing costs a microsecond where decoding it would cost fifty.
        raw = getattr(environment, "_data", environment)
        if raw == self._seen:
            return self._forms
        with self._mutex:
            self._seen = dict(raw)
            values = [*self._named, *self._of_environment(dict(environment))]
            forms = {form for value in values for form in forms_of(value)}
            self._forms = tuple(sorted(forms, key=len, reverse=True))
        return self._forms

    def _of_environment(self, environment: Mapping[str, str]) -> Iterable[str]:
        for name, value in environment.items():
            if is_secret_name(name) and not name.startswith(_NOT_SECRET):
                yield value
            # A URL with a password in it, under whatever name.
            for found in self._shapes(value[:LONGEST]):
                found = found.strip("\"'`")
                if len(found) >= ANYWHERE:
                    yield found
                    yield unquote(found)


def forms_of(value: str) -> set[str]:
    """Return how a value may stand in a text; nothing for what is too common to be looked for."""
    value = value.strip()
    if len(value) < SHORTEST or len(value) > LONGEST or value.lower() in _PLAIN:
        return set()
    if value.isdecimal() and len(value) < _ENCODED_FROM:
        return set()
    # Several lines, such as a PEM key: each of them is a secret.
    found = {value, *(line.strip() for line in value.splitlines() if len(line.strip()) >= 16)}
    found.update((json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]))
    found.update((repr(value)[1:-1], _in_html(value)))
    if len(value) >= _ENCODED_FROM:
        raw = value.encode("utf-8", "surrogatepass")
        found.update((raw.hex(), raw.hex().upper()))
        found.update(_percent(value))
        found.update(_base64(raw))
    return {form for form in found if len(form) >= SHORTEST}


def _in_html(value: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        value = value.replace(character, entity)
    return value


def _percent(value: str) -> Iterable[str]:
    try:
        for form in (quote(value), quote(value, safe=""), quote_plus(value)):
            yield from (form, _lower_escapes(form))
    except UnicodeEncodeError:  # half a surrogate pair has no such form
        return


def _lower_escapes(form: str) -> str:
    first, *parts = form.split("%")
    return first + "".join(f"%{part[:2].lower()}{part[2:]}" for part in parts)


def _base64(raw: bytes) -> Iterable[str]:
    """Yield what is the same in base64 whatever stands before and after, at each alignment."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        core = encoded[first:last]
        if len(core) >= ANYWHERE:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _words(text: str, form: str) -> str:
    """Replace a short value where no letter or digit stands beside it."""
    parts: list[str] = []
    start = 0
    while (at := text.find(form, start)) >= 0:
        end = at + len(form)
        alone = not _in_word(text[at - 1 : at]) and not _in_word(text[end : end + 1])
        parts += (text[start:at], STARS if alone else form)
        start = end
    return "".join(parts) + text[start:]


def _in_word(beside: str) -> bool:
    return beside.isalnum() or beside == "_"


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process, as it is now."""
    return os.environ
