"""Which items a page shows, in which order: all of it stands in its address, so a link shares it.

The names and forms are those of the API and of the command line's options (``items/asked.py``);
``q`` is what somebody typed into the search: an id, a condition, or else text of an error. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, cast, get_args

from pydantic import ValidationError as Invalid

from worker.console.parts.texts import address
from worker.management.errors import AppError, ValidationError
from worker.management.items.asked import ItemsAsked
from worker.management.items.filters import condition_of
from worker.management.items.types import SORT_FIELDS, ItemFilter, SortBy, State
from worker.management.paging import FURTHEST, Direction

ON_PAGE: Final = 50
USUAL: Final[SortBy] = "created"
NAMES: Final = {
    "queue": "Queue",
    "state": "State",
    "id": "Id",
    "name": "Name",
    "error": "Error has",
    "error_kind": "Kind of error",
    "error_code": "Error code",
    "error_class": "Error class",
    "error_pattern": "Error matches",
    "group": "Error group",
    "worker": "Worker",
    "key": "Waits for key",
    "attempts": "Attempts",
    "since": "Changed since",
    "until": "Changed until",
    "where": "Payload",
}
"""Parts of a filter, and what they are called."""
MANY: Final = frozenset({"state", "where", "id"})
_ID: Final = re.compile(r"[0-9a-f]{24}|[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True)
class ItemView:
    """A view of items.

    Attributes:
        parts: of the filter, by name.
        page: 1 for the first.
    """

    parts: tuple[tuple[str, str], ...] = ()
    sort_by: SortBy = USUAL
    direction: Direction = "desc"
    page: int = 1

    def all_of(self, name: str) -> list[str]:
        """Return all that is given under a name."""
        return [value for one, value in self.parts if one == name]

    def one_of(self, name: str) -> str:
        """Return what is given under a name; "" for nothing."""
        return next(iter(self.all_of(name)), "")

    def with_part(self, name: str, *values: str) -> "ItemView":
        """Return the view with other values under a name; its first page."""
        kept = [one for one in self.parts if one[0] != name]
        return replace(self, parts=(*kept, *((name, one) for one in values if one)), page=1)

    def without(self, part: tuple[str, str]) -> "ItemView":
        """Return the view without a part of its filter; its first page."""
        return replace(self, parts=tuple(one for one in self.parts if one != part), page=1)

    def sorted_by(self, field: SortBy) -> "ItemView":
        """Return the view in another order; the other way round where it has that already."""
        turned: Direction = "asc" if self.direction == "desc" else "desc"
        way: Direction = turned if field == self.sort_by else "desc"
        return replace(self, sort_by=field, direction=way, page=1)

    def at(self, page: int) -> "ItemView":
        """Return another page of it."""
        return replace(self, page=page)

    @property
    def url(self) -> str:
        """The address that shows it."""
        pairs = list(self.parts)
        if (self.sort_by, self.direction) != (USUAL, "desc"):
            pairs += [("sort", self.sort_by), ("direction", self.direction)]
        if self.page > 1:
            pairs.append(("page", str(self.page)))
        return address("/items", pairs)

    def filter(self) -> ItemFilter:
        """Return the filter.

        Raises:
            ValidationError: a part of it is none; the message names it and what is allowed.
        """
        asked: dict[str, object] = {}
        for name, value in self.parts:
            if name in MANY:
                asked.setdefault(name, [])
                cast(list[str], asked[name]).append(value)
            else:
                asked[name] = value
        ids = asked.pop("id", [])
        try:
            found = ItemsAsked.model_validate(asked).filter()
            return ItemFilter.model_validate({**found.model_dump(), "ids": ids})
        except Invalid as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part)[:100] for part in first["loc"])
            raise ValidationError(f"Filter {where}: {first['msg']}.") from None


def view_of(given: Iterable[tuple[str, str]]) -> ItemView:
    """Read a view from an address.

    Raises:
        ValidationError: it says something that there is not.
    """
    parts: list[tuple[str, str]] = []
    view = ItemView()
    for name, value in given:
        if not value:
            continue
        if name == "sort":
            view = replace(view, sort_by=_one_of(name, value, SORT_FIELDS))
        elif name == "direction":
            view = replace(view, direction=_one_of(name, value, get_args(Direction)))
        elif name == "page":
            view = replace(view, page=_page(value))
        elif name == "q":
            parts += searched(value)
        elif name == "state":
            parts += [(name, _one_of(name, one, get_args(State))) for one in value.split(",")]
        elif name in NAMES:
            parts.append((name, value))
        else:
            raise ValidationError(
                f"There is no filter {name[:100]!r}; allowed: {', '.join(NAMES)}."
            )
    return replace(view, parts=tuple(dict.fromkeys(parts)))


def searched(typed: str) -> list[tuple[str, str]]:
    """Return what somebody means who types into the search."""
    found = typed.strip()
    if not found:
        return []
    if _ID.fullmatch(found):
        return [("id", found)]
    if found.startswith("name=") and found != "name=":
        return [("name", found.removeprefix("name=").strip())]
    if found.startswith("payload."):
        try:
            condition_of(found)
        except AppError:
            pass
        else:
            return [("where", found)]
    return [("error", found)]


def _one_of(name: str, value: str, allowed: Iterable[str]) -> Any:
    choices = list(allowed)
    if value not in choices:
        raise ValidationError(f"Filter {name} = {value[:100]!r}; allowed: {', '.join(choices)}.")
    return value


def _page(value: str) -> int:
    most = FURTHEST // ON_PAGE
    if not (value.isascii() and value.isdigit() and 0 < int(value[:9]) <= most):
        raise ValidationError(f"Page {value[:100]!r}; allowed: 1 to {most:,}.")
    return int(value)
