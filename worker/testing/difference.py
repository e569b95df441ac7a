"""What differs between two JSON values, place by place. Pure.

A place is a path as people write it: ``lines[2].price``. Objects are compared by key whatever
their order, lists by position.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Change = Literal["added", "removed", "changed"]

MAX_SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs; ``before`` of what was added and ``after`` of what went are None."""

    path: str
    change: Change
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.change == "added":
            return f"{self.path}: nothing, then {shown(self.after)}"
        if self.change == "removed":
            return f"{self.path}: {shown(self.before)}, then nothing"
        return f"{self.path}: {shown(self.before)}, then {shown(self.after)}"


def differences(before: Any, after: Any, path: str = "") -> list[Difference]:
    """Return the places where two JSON values differ, in the order of the first.

    Args:
        before, after: what ``json`` reads: objects, lists, text, numbers, booleans, None.
        path: where both stand in something larger.
    """
    return list(_compared(before, after, path))


def _compared(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _objects(before, after, path)
    elif _is_list(before) and _is_list(after):
        yield from _lists(before, after, path)
    elif not _same(before, after):
        yield Difference(path or "(all)", "changed", before, after)


def _objects(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str
) -> Iterator[Difference]:
    for key, value in before.items():
        place = f"{path}.{key}" if path else str(key)
        if key in after:
            yield from _compared(value, after[key], place)
        else:
            yield Difference(place, "removed", before=value)
    for key, value in after.items():
        if key not in before:
            yield Difference(f"{path}.{key}" if path else str(key), "added", after=value)


def _lists(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[Difference]:
    both = min(len(before), len(after))
    for index in range(both):
        yield from _compared(before[index], after[index], f"{path}[{index}]")
    for index in range(both, len(before)):
        yield Difference(f"{path}[{index}]", "removed", before=before[index])
    for index in range(both, len(after)):
        yield Difference(f"{path}[{index}]", "added", after=after[index])


def _same(before: object, after: object) -> bool:
    """Compare as JSON does: 1 and True are two things, 1 and 1.0 are one."""
    if _is_number(before) and _is_number(after):
        return before == after
    return type(before) is type(after) and before == after


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return a value as short JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
