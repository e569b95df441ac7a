"""A type's JSON form: how a model, dataclass, TypedDict or other type is written and read.

One rule for payloads, results and checkpoints, so that what one handler writes another of the same
type reads:

1. A model is written under the names that it is read by: an ``alias`` or ``validation_alias`` (the
   first of several), else the name of the field. It is read by those, and where they do not fit, by
   the names of its fields.
2. What came as JSON is read by the rules for JSON: a strict model takes a date written as text.
3. Computed fields are written, unless a model here forbids fields that it does not know; ``Json``
   is written as the text that it is read from.
4. What is large is read at a bounded cost, however much of it is wrong (``bounded_read.py``).
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from worker.item.bounded_read import MOST_PROBLEMS, BoundedReader
from worker.item.bounded_schema import nests_unions
from worker.openiap.large import is_large
from worker.openiap.values import json_text

EXACT: Final = frozenset(
    {
        "bool",
        "default",
        "dict",
        "float",
        "int",
        "list",
        "literal",
        "model",
        "model-field",
        "model-fields",
        "none",
        "nullable",
        "str",
    }
)
"""Kinds of schema whose values come back as they are; one model deep."""
BY_TEXT: Final = EXACT | {"date", "datetime", "enum", "set", "time", "tuple", "uuid"}
"""Kinds that pydantic reads alike from JSON's text and from its values."""
BY_JSON_RULES: Final = frozenset(
    {"bytes", "is-instance", "is-subclass", "json-or-python", "lax-or-strict", "union"}
)
"""Kinds that pydantic reads otherwise from JSON than from Python's values."""


SHARING: Final = frozenset({"any", "is-instance", "callable", "generator"})
"""Kinds whose values are handed on as they are."""
EXTRAS: Final = ("extra_behavior", "extra_fields_behavior")


@dataclass(frozen=True)
class TypeForm:
    """How one type is written and read.

    Attributes:
        adapter: pydantic's.
        exact: every value comes back as it is, save for numbers that JSON cannot hold.
        untyped: somewhere it takes anything.
        custom: its author wrote code that reads or writes it.
        by_text: reading it as JSON gives the same as reading Python's values.
    json_rules: reading it as JSON gives something else than that.
        round_trip: computed fields are left out, and ``Json`` is written as text.
        aliased: it has names besides those of its fields.
        mended: pydantic would write names that it does not read, or leave out what it reads.
        winding: reading it may take any time, however small the value is.
        owned: what it reads has no part in common with what it was read from.
        names: what its fields are called, and read by.
    """

    adapter: TypeAdapter[Any]
    exact: bool
    untyped: bool
    custom: bool
    by_text: bool
    json_rules: bool
    round_trip: bool
    aliased: bool
    mended: bool
    winding: bool
    owned: bool
    names: frozenset[str]

    def write(self, value: Any, *, whole: bool = False, strict: bool = False) -> Any:
        """Return a value as JSON values, numbers unchecked.

        Args:
            whole: also fields that are declared with ``exclude``.
            strict: refuse a value that is none of the type.

        Raises:
            PydanticSerializationError: it has no JSON form.
        """
        dumped = self.adapter.dump_python(
            value,
            mode="json",
            by_alias=not self.mended,
            round_trip=self.round_trip,
            warnings="error" if strict else False,
        )
        return _mended(value, dumped, whole) if self.mended else dumped

    def read(self, found: Any, *, large: bool | None = None, text: str = "") -> Any:
        """Return the value that JSON values stand for.

        Args:
            large: whether they are, where that is known.
            text: they themselves, where that is known and pydantic's core reads it.

        Raises:
            pydantic.ValidationError: they do not fit; of what is large, or has very many problems,
                a few are named.
        """
        json: bytes | None = None
        if self.json_rules:
            json = text.encode() if text else _utf8(found)
        if large is None:
            large = is_large(found)
        bounded = large or self.winding
        try:
            return self._read(found, json, bounded)
        except ValidationError as error:
            problem = error
        if self.aliased:
            try:
                return self._read(found, json, bounded, by_name=True)
            except ValidationError:
                pass
        if problem.error_count() > MOST_PROBLEMS:
            problem = self._bounded.few(problem, found, json, by_name=None)
        raise problem

    def read_text(self, text: str) -> Any:
        """Return the value that JSON text stands for, in one go; for what is read ``by_text``.

        Raises:
            pydantic.ValidationError: it does not fit, is no JSON, or has other names than the
                first; ``read`` says which.
        """
        return self._bounded_text.read(None, text.encode(), by_name=None)

    def accept(self, value: Any) -> Any:
        """Return one of Python's own values, such as the type itself or a dict, as the type has it.

        Raises:
            pydantic.ValidationError: as for ``read``.
        """
        if self.winding or is_large(value):
            return self._bounded.read(value, None, by_name=None)
        return self.adapter.validate_python(value)

    def _read(
        self, found: Any, text: bytes | None, bounded: bool, *, by_name: bool | None = None
    ) -> Any:
        if bounded:
            return self._bounded.read(found, text, by_name=by_name)
        if text is not None:
            return self.adapter.validate_json(text, by_alias=by_name, by_name=by_name)
        return self.adapter.validate_python(found, by_alias=by_name, by_name=by_name)

    @cached_property
    def _bounded(self) -> BoundedReader:
        plain = not self.json_rules
        return BoundedReader(
            self.adapter, self.names, settled=plain and not self.custom, plain=plain
        )

    @cached_property
    def _bounded_text(self) -> BoundedReader:
        return BoundedReader(self.adapter, self.names, settled=False, plain=False)


def form_of(kind: Any) -> TypeForm:
    """Return a type's form; made once for each type.

    Raises:
        PydanticUserError: pydantic cannot read or write it.
    """
    try:
        hash(kind)
    except TypeError:  # an annotation may hold a list
        return _made(kind)
    return _kept(kind)


@lru_cache(maxsize=512)
def _kept(kind: Any) -> TypeForm:
    return _made(kind)


def _made(kind: Any) -> TypeForm:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    nodes = list(_nodes(adapter.core_schema))
    kinds = [node["type"] for node in nodes if isinstance(node.get("type"), str)]
    fields = [pair for node in nodes for pair in _fields(node)]
    forbids = any(node.get("extra_fields_behavior") == "forbid" for node in nodes) or any(
        node.get("extra_behavior") == "forbid" for node in nodes
    )
    custom = any(_own_code(node) for node in nodes)
    json_rules = not BY_JSON_RULES.isdisjoint(kinds) or any(
        node.get("strict") is True for node in nodes
    )
    owned = (
        not custom
        and SHARING.isdisjoint(kinds)
        and not any("allow" in (node.get(name) for name in EXTRAS) for node in nodes)
    )
    return TypeForm(
        adapter,
        exact=set(kinds) <= EXACT and kinds.count("model") <= 1 and not custom,
        untyped="any" in kinds,
        custom=custom,
        by_text=set(kinds) <= BY_TEXT and owned and not json_rules,
        json_rules=json_rules,
        round_trip="json" in kinds or (forbids and "computed-field" in kinds),
        aliased=any("validation_alias" in field for _, field in fields),
        mended=any(
            _read_name(field.get("validation_alias"), name)
            != field.get("serialization_alias", name)
            or field.get("serialization_exclude")
            or "serialization_exclude_if" in field
            for name, field in fields
        ),
        winding=nests_unions(adapter.core_schema),
        owned=owned,
        names=frozenset(_names(fields)),
    )


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a core schema, which may be deep but has no circles."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += [value for name, value in one.items() if name != "metadata"]
        elif isinstance(one, list | tuple):
            waiting += one


def _fields(node: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = node.get("fields")
    if isinstance(found, dict):
        return [(name, one) for name, one in found.items() if isinstance(one, dict)]
    if isinstance(found, list):
        return [(str(one.get("name")), one) for one in found if isinstance(one, dict)]
    return []


def _names(fields: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """Yield what fields are called, and what the aliases that they are read by begin with."""
    for name, field in fields:
        yield name
        alias = field.get("validation_alias")
        for path in alias if isinstance(alias, list) else [alias]:
            root = path[0] if isinstance(path, list) and path else path
            if isinstance(root, str):
                yield root


def _own_code(node: dict[str, Any]) -> bool:
    """Whether a piece of schema calls code that is not pydantic's own."""
    given = node.get("function")
    called = given.get("function") if isinstance(given, dict) else given
    module = getattr(called, "__module__", None) or ""
    return callable(called) and module.partition(".")[0] not in ("", "pydantic", "pydantic_core")


def _read_name(alias: Any, name: str) -> str:
    """Return under which name a field is read; its own where only a path leads to it."""
    if isinstance(alias, str):
        return alias
    for path in alias if isinstance(alias, list) else ():
        if isinstance(path, str):
            return alias[0] if len(alias) == 1 else name
        if isinstance(path, list) and len(path) == 1 and isinstance(path[0], str):
            return path[0]
    return name


def _mended(value: Any, dumped: Any, whole: bool) -> Any:
    """Give what was written under the names of fields the names that are read."""
    if isinstance(dumped, dict):
        if isinstance(value, BaseModel):
            return _mended_model(value, dumped, whole)
        if dataclasses.is_dataclass(value):
            return {
                name: _mended(getattr(value, name, None), one, whole)
                for name, one in dumped.items()
            }
        if isinstance(value, dict) and len(value) == len(dumped):
            pairs = zip(value.values(), dumped.items(), strict=True)
            return {name: _mended(given, one, whole) for given, (name, one) in pairs}
    elif (
        isinstance(dumped, list)
        and isinstance(value, list | tuple | set | frozenset)
        and len(value) == len(dumped)
    ):
        return [_mended(*pair, whole) for pair in zip(value, dumped, strict=True)]
    return dumped


def _mended_model(value: BaseModel, dumped: dict[str, Any], whole: bool) -> Any:
    kind = type(value)
    if kind.__pydantic_decorators__.model_serializers or kind.__pydantic_root_model__:
        return dumped
    found = dict(dumped)
    for name, field in kind.model_fields.items():
        if name in found:
            one = _mended(getattr(value, name, None), found.pop(name), whole)
        elif whole and hasattr(value, name):
            one = form_of(field.annotation).write(getattr(value, name), whole=True)
        else:
            continue
        alias: Any = field.validation_alias
        convert: Callable[[], Any] | None = getattr(alias, "convert_to_aliases", None)
        found[_read_name(convert() if convert else alias, name)] = one
    return found


def _utf8(found: Any) -> bytes | None:
    """Return JSON text; None for what has none, which pydantic then refuses by its place."""
    try:
        return json_text(found).encode()
    except (TypeError, ValueError, RecursionError):
        return None
