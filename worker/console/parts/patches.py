"""From a payload as it was and as it is to be to a JSON Merge Patch (RFC 7396). Pure."""

from typing import Any

from worker.management.errors import ValidationError


def patch_between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the patch that makes the one of the other; {} where they are the same.

    Raises:
        ValidationError: no patch says it: a field of an object becomes null.
    """
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        there = before.get(name)
        if name in before and _same(there, value):
            continue
        if value is None:
            raise _no_null(name)
        if isinstance(value, dict):
            patch[name] = (
                patch_between(there, value) if isinstance(there, dict) else _whole(name, value)
            )
        else:
            patch[name] = value
    return patch


def _whole(name: str, value: dict[str, Any]) -> dict[str, Any]:
    for inner, one in value.items():
        if one is None:
            raise _no_null(f"{name}.{inner}")
        if isinstance(one, dict):
            _whole(f"{name}.{inner}", one)
    return value


def _no_null(name: str) -> ValidationError:
    return ValidationError(
        f"Field {name[:200]} cannot become null here, since a patch takes such fields away;"
        " leave it out."
    )


def _same(one: Any, other: Any) -> bool:
    """Say whether two values are the same JSON: true is not 1."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
