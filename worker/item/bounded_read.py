"""Reading by a type what others have sent, at a bounded cost, however much of it is wrong.

pydantic notes every wrong value: 16 MB with nothing right in them become gigabytes of errors, and a
union that contains itself is tried in as many ways as two to the power of its depth. So there is a
second validator of each type, made when it is first needed, which gives the same values and stops
early (``bounded_schema.py``). An error that still has more problems than anybody reads is replaced
by one that names a few.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, SchemaValidator

from worker.item.bounded_schema import (
    NOT_LOOKED,
    OVERFULL,
    WHOLE,
    Patience,
    TooManyWays,
    bounded,
    patience,
)

MOST_PROBLEMS: Final = 1_000
"""Naming so many takes a few milliseconds."""
MOST_WAYS: Final = 100_000
"""How often unions that contain themselves may be come by, besides once for each character."""
TOO_MANY: Final = "too_many_problems"
TOO_LONG: Final = "too_many_ways"
_SHOWN: Final = 20
_DEEPEST: Final = 100


class BoundedReader:
    """The second validator of one type.

    Args:
        adapter: pydantic's first one.
        names: what the type's fields are called, and read by.
        settled: any wrong value means that all of it does not fit.
        plain: it is read from Python's values alone.
    """

    def __init__(
        self, adapter: TypeAdapter[Any], names: Iterable[str], *, settled: bool, plain: bool
    ) -> None:
        self._title = str(getattr(adapter.validator, "title", "payload"))
        self._names = frozenset(names)
        schema = bounded(adapter.core_schema, self._names, settled=settled, plain=plain)
        # Not with the validators that the models inside have already, which do not stop.
        self._validator = SchemaValidator(schema, None, _use_prebuilt=False)

    def read(self, found: Any, text: bytes | None, *, by_name: bool | None) -> Any:
        """Return the value that JSON values stand for.

        Args:
            text: the same as JSON, where the type reads that otherwise.

        Raises:
            pydantic.ValidationError: they do not fit, or there are too many ways to read them.
        """
        mark = patience.set(Patience(MOST_WAYS + len(text or b"")))
        try:
            if text is not None:
                return self._validator.validate_json(text, by_alias=by_name, by_name=by_name)
            return self._validator.validate_python(found, by_alias=by_name, by_name=by_name)
        except TooManyWays:
            raise self._one_problem(
                TOO_LONG,
                "it can be read in too many ways to try them all: the type has a union that"
                " contains itself; give the union a discriminator",
            ) from None
        finally:
            patience.reset(mark)

    def few(
        self, error: ValidationError, found: Any, text: bytes | None, *, by_name: bool | None
    ) -> ValidationError:
        """Return an error of a few problems instead of one of very many."""
        count = error.error_count()
        if count <= MOST_PROBLEMS:
            return error
        for value in (found, _cut(found, self._names, 0)):
            try:
                self.read(value, text if value is found else None, by_name=by_name)
            except ValidationError as shorter:
                if shorter.error_count() <= MOST_PROBLEMS:
                    return shorter
        return self._one_problem(TOO_MANY, _too_many(count))

    def _one_problem(self, kind: str, text: str) -> ValidationError:
        problem = PydanticCustomError(kind, "{text}", {"text": text})
        return ValidationError.from_exception_data(
            self._title, [{"type": problem, "loc": (), "input": None}]
        )


def problems(error: ValidationError) -> list[ErrorDetails]:
    """Return what does not fit, one by one; all together where that is too much."""
    count = error.error_count()
    if count > MOST_PROBLEMS:
        return [{"type": TOO_MANY, "loc": (), "msg": _too_many(count), "input": None}]
    found = error.errors(include_url=False, include_context=False)
    for problem in found:
        problem["loc"] = tuple(part for part in problem["loc"] if part not in (WHOLE, OVERFULL))
    return [problem for problem in found if problem["type"] != NOT_LOOKED]


def _too_many(count: int) -> str:
    return f"{count:,} values do not fit, too many to be named"


def _cut(value: Any, names: frozenset[str], depth: int) -> Any:
    """Return a copy of a few entries of each object: what a type knows, and the first others."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, list):
        return [_cut(one, names, depth + 1) for one in value[:_SHOWN]]
    if not isinstance(value, dict):
        return value
    kept = {name: value[name] for name in names & value.keys()}
    for name in value:
        if len(kept) >= len(names) + _SHOWN:
            break
        kept.setdefault(name, value[name])
    return {name: _cut(one, names, depth + 1) for name, one in kept.items()}
