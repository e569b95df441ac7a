"""Contracts: what a handler takes and gives, as JSON Schema, for those who cannot import it.

One document holds those of a whole application; ``openiap-worker contract`` writes it. The worker
itself holds popped items to the same rules, since they are made from the handlers.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_type_hints

from pydantic import PydanticInvalidForJsonSchema, PydanticUserError, TypeAdapter

from worker.app.options import Handler
from worker.app.signature import payload_kind, validates
from worker.errors import HandlerError
from worker.openiap.workitem import JsonObject

FORMAT: Final = "openiap-worker/1"
ANY_OBJECT: Final[JsonObject] = {"type": "object"}


def contracts_of(handlers: Iterable[Handler[..., Any]]) -> JsonObject:
    """Return the contracts of an application, by queue.

    Raises:
        HandlerError: a payload or a result that JSON Schema cannot describe.
    """
    queues = {one.options.queue: contract_of(one) for one in handlers}
    return {"contracts": FORMAT, "queues": {name: queues[name] for name in sorted(queues)}}


def contract_of(handler: Handler[..., Any]) -> JsonObject:
    """Return the contract of one handler.

    Raises:
        HandlerError: a payload or a result that JSON Schema cannot describe.
    """
    kind = payload_kind(handler.function)
    payload = (
        ANY_OBJECT
        if kind is None or not validates(kind)
        else _schema(handler, kind, mode="validation", what="payload")
    )
    text = inspect.getdoc(handler.function) or ""
    return {
        "handler": handler.name,
        "does": text.splitlines()[0] if text else "",
        "payload": payload,
        "result": _result(handler),
        "files": list(handler.options.files),
        "errors": sorted({*handler.options.codes, *_codes(handler)}),
    }


def _result(handler: Handler[..., Any]) -> JsonObject:
    try:
        hints = get_type_hints(handler.function, include_extras=True)
    except (NameError, TypeError) as error:
        raise HandlerError(
            f"Handler {handler.name}: its annotations cannot be read: {error}."
        ) from error
    if "return" not in hints:
        return ANY_OBJECT
    return _schema(handler, hints["return"], mode="serialization", what="result")


def _schema(handler: Handler[..., Any], kind: Any, *, mode: Any, what: str) -> JsonObject:
    by_alias = what == "payload"  # a result is stored by the names of its fields
    try:
        return TypeAdapter(kind).json_schema(mode=mode, by_alias=by_alias)
    except (PydanticUserError, PydanticInvalidForJsonSchema) as error:
        raise HandlerError(
            f"Handler {handler.name}: its {what} cannot be described as JSON Schema:"
            f" {str(error).splitlines()[0].rstrip('.')}."
        ) from error


def _codes(handler: Handler[..., Any]) -> Iterator[str]:
    """Find the codes of errors that the function itself raises, where they stand as text."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(handler.function)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("Error"):
            continue
        for argument in node.keywords:
            value = argument.value.value if isinstance(argument.value, ast.Constant) else None
            if argument.arg == "code" and isinstance(value, str) and value:
                yield value
