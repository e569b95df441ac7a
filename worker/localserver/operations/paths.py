"""What the JSON path of a watch asks of a document, in the manner of OpenIAP's JSONPath library.

Its library looks at the values of ``{"a": document}``. ``$[?(…)]`` compares fields of the document;
``$.[?(…)]`` recurses into every value below as well, and as JavaScript reads no property of a null,
one null anywhere ends it: the change is told to nobody. ``$.*.name`` asks whether the document has
a field of that name; on OpenIAP that costs a hundredth of a comparison, which runs as a script.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.localserver.storage import json_text
from worker.localserver.storage.errors import RefusedError

EVERYTHING: Final = ("", "$", "$.", "$.*", "$..*")
CONDITIONS: Final = re.compile(r"^\$(\.{0,2})\[\?\((.+)\)\]$")
PRESENCE: Final = re.compile(r"^\$(?:\.\*|\[\*\])\.(\w+)$")
EQUALITY: Final = re.compile(r"""^@\.([\w.]+)\s*(===?|!==?)\s*(?:'([^']*)'|"([^"]*)"|([\w.-]+))$""")
MISSING: Final = object()
"""JavaScript's ``undefined``."""


class PathError(Exception):
    """OpenIAP's library throws for this document."""


@dataclass(frozen=True, slots=True)
class PathFilter:
    """What a JSON path asks: comparisons, all of which must hold, or for a field.

    Attributes:
        comparisons: the field's names from the outside in, whether it is to equal, the value.
        field: the name of one that is to be there, whatever its value; "" asks for none.
        recurses: whether it looks at every value within the document as well.
        forgives: whether to take what OpenIAP's library throws for as not fitting.
    """

    comparisons: tuple[tuple[tuple[str, ...], bool, Any], ...]
    field: str = ""
    recurses: bool = False
    forgives: bool = False

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Say whether a document is one that was asked for.

        Raises:
            PathError: OpenIAP's library throws for it; not where it forgives.
        """
        if self.field:
            return self.field in document
        if not self.recurses:
            return self._holds(document)
        # All of them, not the first that fits: a null behind it throws as well.
        return bool([value for value in _within(document) if self._holds(value)])

    def may_fit(self, known: Mapping[str, Any]) -> bool:
        """Say the same of a document of which some fields alone are known, or are ``MISSING``."""
        if self.recurses:
            return True
        if self.field:
            return known.get(self.field) is not MISSING
        for names, equal, value in self.comparisons:
            if len(names) == 1 and names[0] in known and (known[names[0]] == value) != equal:
                return False
        return True

    def _holds(self, value: Any) -> bool:
        for names, equal, wanted in self.comparisons:
            found = value
            for name in names:
                found = self._field(found, name)
            if (found == wanted) is not equal:
                return False
        return True

    def _field(self, value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            return value.get(name, MISSING)
        if not self.forgives and (value is None or value is MISSING):
            what = "null" if value is None else "undefined"
            raise PathError(f"Cannot read properties of {what} (reading '{name}')")
        return MISSING


def path_filter(path: str, *, strict: bool = True) -> PathFilter:
    """Return what a watch's JSON path asks of a document.

    Args:
        path: such as ``$[?(@.state == 'new')]``.
        strict: recurse and throw where OpenIAP does.

    Raises:
        RefusedError: the path is more than comparisons of fields with values, joined by ``&&``, or
            the name of a field.
    """
    text = path.strip()
    if text in EVERYTHING:
        return PathFilter(())
    if present := PRESENCE.match(text):
        return PathFilter((), field=present[1])
    refused = RefusedError(f"The local server cannot watch the path {path}")
    found = CONDITIONS.match(text)
    if found is None:
        raise refused
    comparisons = []
    for part in found[2].split("&&"):
        one = EQUALITY.match(part.strip())
        if one is None:
            raise refused
        if one[5] is not None:
            try:
                value = json_text.parse(one[5])
            except json_text.JsonError as error:
                raise refused from error
        else:
            value = one[3] if one[3] is not None else one[4]
        comparisons.append((tuple(one[1].split(".")), one[2].startswith("="), value))
    return PathFilter(tuple(comparisons), recurses=strict and bool(found[1]), forgives=not strict)


def _within(value: Any) -> Iterator[Any]:
    """Yield a value and every value within it."""
    yield value
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list):
        parts = value
    for part in parts:
        yield from _within(part)
