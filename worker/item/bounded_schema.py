"""A core schema that reads what another one reads, and does not go on where nothing fits.

1. Lists, sets, tuples and dicts stop at their first wrong value.
2. An object with far more entries than a type has names for, where no others are allowed, is one
   problem and not one for each entry.
3. Where any wrong value settles it, a model that contains itself is not looked into any more once
   there were many.
4. A union that contains itself counts how often it was come by, and gives up.
5. At each model other threads get their turn, which pydantic itself gives them only at the end.

None of it changes a value that is read, nor what else may be tried. What a function is called with
in between is converted from JSON, so that only looks are put in, which leave the input as it is;
``3`` and ``5`` pass it on, and are left out where JSON is read by other rules.
"""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import PydanticCustomError, core_schema

MANY: Final = 1_000
"""Entries that nothing is named for."""
ENOUGH: Final = 50
"""Wrong values after which no more are looked for."""
NOT_LOOKED: Final = "not_looked_at"
"""The type of problems that are none of the value's, and not to be shown."""
WHOLE: Final = "\u2060whole"
OVERFULL: Final = "\u2060overfull"
"""Stand in the place of a problem where a look was put in; not to be shown either."""
_STOPS: Final = frozenset({"dict", "frozenset", "list", "set", "tuple"})
_OBJECTS: Final = frozenset({"dataclass", "model", "typed-dict"})


class TooManyWays(Exception):
    """The patience is at its end; no ``ValueError``, since then something else would be tried."""


@dataclass(slots=True)
class Patience:
    """What is left of it in one reading.

    Attributes:
        ways: how often unions that contain themselves may still be come by.
        wrong: models that did not fit so far.
    """

    ways: int
    wrong: int = 0


patience: ContextVar[Patience] = ContextVar("patience")


def nests_unions(schema: Any) -> bool:
    """Return whether a union may contain itself: reading may take any time, however small a value
    is."""
    definitions = _definitions(schema)
    return any(
        _reaches(node["choices"], node, definitions)
        for node in _objects(schema)
        if node.get("type") == "union"
    )


def bounded(schema: Any, names: frozenset[str], *, settled: bool, plain: bool) -> Any:
    """Return the schema.

    Args:
        names: what the type's fields are called and read by, wherever in it.
        settled: any wrong value means that all of it does not fit.
        plain: what is read are Python's values, and no JSON text.
    """
    definitions = _definitions(schema)
    repeated = {one["schema_ref"] for one in _objects(schema) if "schema_ref" in one}
    winding = nests_unions(schema)

    def copied(one: Any) -> Any:
        if isinstance(one, list):
            return [copied(part) for part in one]
        if isinstance(one, tuple):
            return tuple(copied(part) for part in one)
        if not isinstance(one, dict):
            return one
        copy = {
            name: part if name in ("metadata", "serialization") else copied(part)
            for name, part in one.items()
        }
        kind = copy.get("type")
        if kind in _STOPS:
            copy["fail_fast"] = True
        elif kind == "union":
            look = core_schema.no_info_plain_validator_function(_look)
            pairs = zip(one["choices"], copy["choices"], strict=True)
            choices = [_labelled(*pair, definitions) for pair in pairs]
            copy["choices"] = [look, *choices] if winding else choices
        elif kind in _OBJECTS:
            if _forbids(one):
                copy = _unless_overfull(copy, len(names) + MANY)
            if settled and one.get("ref") in repeated:
                copy = _until_enough(copy)
            elif plain:
                copy = _in_turns(copy)
        return copy

    return copied(schema)


def _definitions(schema: Any) -> dict[str, dict[str, Any]]:
    return {one["ref"]: one for one in _objects(schema) if isinstance(one.get("ref"), str)}


def _labelled(given: Any, copy: Any, definitions: dict[str, dict[str, Any]]) -> Any:
    """Return a choice of a union under the name that problems give it, whatever is around it."""
    if isinstance(copy, tuple):
        return copy
    named = definitions.get(given.get("schema_ref"), given)
    cls = named.get("cls")
    return copy if cls is None else (copy, getattr(cls, "__name__", str(cls)))


def _unless_overfull(node: Any, most: int) -> dict[str, Any]:
    def tag(value: object) -> str:
        return OVERFULL if isinstance(value, dict) and len(value) > most else WHOLE

    def refuse(value: Any) -> Any:
        shown = {"count": f"{len(value):,}"}
        raise PydanticCustomError(
            OVERFULL, "{count} fields, of which most are not permitted", shown
        )

    return _around(
        node,
        lambda inner: core_schema.tagged_union_schema(
            {WHOLE: inner, OVERFULL: core_schema.no_info_plain_validator_function(refuse)}, tag
        ),
    )


def _until_enough(node: Any) -> dict[str, Any]:
    def read(value: Any, handler: Callable[[Any], Any]) -> Any:
        left = patience.get()
        if left.wrong >= ENOUGH:
            raise PydanticCustomError(NOT_LOOKED, "not looked at")
        try:
            return handler(value)
        except ValidationError:
            left.wrong += 1
            raise

    return _around(node, lambda inner: core_schema.no_info_wrap_validator_function(read, inner))


def _in_turns(node: Any) -> dict[str, Any]:
    def passed(value: Any) -> Any:
        return value  # a call of Python's, at whose beginning it looks whether another is to run

    return _around(node, lambda inner: core_schema.no_info_before_validator_function(passed, inner))


def _around(node: Any, wrap: Callable[[Any], Any]) -> dict[str, Any]:
    """Put something around a node; what refers to the node refers to that."""
    inner = dict(node)
    ref = inner.pop("ref", None)
    found: dict[str, Any] = wrap(inner)
    if ref is not None:
        found["ref"] = ref
    return found


def _look(value: object) -> Any:
    """Stand first among the choices of a union, and never be the one."""
    left = patience.get()
    left.ways -= 1
    if left.ways < 0:
        raise TooManyWays
    raise PydanticCustomError(NOT_LOOKED, "not looked at")


def _forbids(node: dict[str, Any]) -> bool:
    inside = node.get("schema")
    while isinstance(inside, dict) and "schema" in inside:
        inside = inside["schema"]
    config = node.get("config")
    return (
        node.get("extra_behavior") == "forbid"
        or (isinstance(inside, dict) and inside.get("extra_behavior") == "forbid")
        or (isinstance(config, dict) and config.get("extra_fields_behavior") == "forbid")
    )


def _objects(schema: Any) -> Iterable[dict[str, Any]]:
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += [part for name, part in one.items() if name != "metadata"]
        elif isinstance(one, list | tuple):
            waiting += one


def _reaches(begin: Any, target: object, definitions: dict[str, Any]) -> bool:
    """Whether a node may come again below itself."""
    followed: set[str] = set()
    waiting = [begin]
    while waiting:
        for one in _objects(waiting.pop()):
            if one is target:
                return True
            ref = one.get("schema_ref")
            if isinstance(ref, str) and ref in definitions and ref not in followed:
                followed.add(ref)
                waiting.append(definitions[ref])
    return False
