"""Contracts: what a handler takes and gives, as JSON Schema, for those who cannot import it.

One document holds those of a whole application; ``openiap-worker contract`` writes it, and
``Contracts`` holds pushes to it. The worker itself holds popped items to the same rules, since they
are made from the handlers; it never imports this file, which brings jsonschema along.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from pydantic import PydanticInvalidForJsonSchema, PydanticUserError

from worker.app.awaited_signals import awaited_signals
from worker.app.options import Handler
from worker.app.payload import missing_file
from worker.app.payload_types import awaited_kind, kept_in_field, validates
from worker.app.registry import Registered
from worker.app.signature import Signature, pushed_kind
from worker.errors import HandlerError
from worker.item.metadata import KEY
from worker.item.new_item import Push
from worker.item.outcome import RESULT
from worker.item.push import ContractError
from worker.item.type_form import form_of
from worker.openiap.workitem import JsonObject

FORMAT: Final = "openiap-worker/1"
ANY_OBJECT: Final[JsonObject] = {"type": "object"}
ANY_VALUE: Final[JsonObject] = {}


def contracts_of(handlers: Iterable[Handler[..., Any] | Registered]) -> JsonObject:
    """Return the contracts of an application, by queue.

    Args:
        handlers: as a registry has them, which knows what lifespans provide, or alone.

    Raises:
        HandlerError: a payload or a result that JSON Schema cannot describe, or what is given is no
            handler.
    """
    if not isinstance(handlers, Iterable):
        raise HandlerError(f"contracts_of({handlers!r}); allowed: a list of handlers.")
    queues = {}
    for one in handlers:
        if not isinstance(one, Handler | Registered):
            raise HandlerError(f"contracts_of: {one!r} is no handler; allowed: a list of them.")
        if isinstance(one, Registered):
            queues[one.queue] = contract_of(one.handler, one.signature)
        else:
            queues[one.options.queue] = contract_of(one)
    return {"contracts": FORMAT, "queues": {name: queues[name] for name in sorted(queues)}}


def contract_of(handler: Handler[..., Any], signature: Signature | None = None) -> JsonObject:
    """Return the contract of one handler.

    Args:
        signature: its own, where that is known.

    Raises:
        HandlerError: a payload or a result that JSON Schema cannot describe.
    """
    kind = pushed_kind(handler.function) if signature is None else signature.payload
    payload = (
        ANY_OBJECT
        if kind is None or not validates(kind)
        else _schema(handler, kind, mode="validation", what="payload")
    )
    text = inspect.getdoc(handler.function) or ""
    signals = _signals(handler)
    return {
        "handler": handler.name,
        "does": text.splitlines()[0] if text else "",
        "payload": payload,
        "result": _result(handler),
        "files": list(handler.options.files),
        "errors": sorted({*handler.options.codes, *_codes(handler)}),
        **({"signals": signals} if signals else {}),
    }


def _signals(handler: Handler[..., Any]) -> JsonObject:
    """Return the schemas of the signals that a handler waits for, by name; any value where it
    waits for one in several ways."""
    found: dict[str, list[JsonObject]] = {}
    for name, kind in awaited_signals(handler.function):
        what = f"signal {name!r}"
        schema = {} if kind is None else _schema(handler, kind, mode="validation", what=what)
        if schema not in found.setdefault(name, []):
            found[name].append(schema)
    return {
        name: ANY_VALUE if {} in schemas or len(schemas) > 1 else schemas[0]
        for name, schemas in sorted(found.items())
    }


def _result(handler: Handler[..., Any]) -> JsonObject:
    if not handler.options.store:
        return {"type": "null"}
    try:
        hints = get_type_hints(handler.function, include_extras=True)
    except Exception as error:  # an annotation is code, which may raise anything
        raise HandlerError(
            f"Handler {handler.name}: its annotations cannot be read: {error}."
        ) from error
    if "return" not in hints:
        return ANY_OBJECT
    kind = awaited_kind(hints["return"])
    schema = _schema(handler, kind, mode="serialization", what="result")
    if not kept_in_field(kind):
        return schema
    definitions = schema.pop("$defs", None)
    kept: JsonObject = {"type": "object", "properties": {RESULT: schema}, "required": [RESULT]}
    return kept if definitions is None else {**kept, "$defs": definitions}


def _schema(handler: Handler[..., Any], kind: Any, *, mode: Any, what: str) -> JsonObject:
    try:
        form = form_of(kind)
        if form.mended or form.round_trip:  # written as it is read
            mode = "validation"
        return form.adapter.json_schema(mode=mode)
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


class Contracts:
    """The contracts of one application, by queue; a queue without one takes everything::

    async with connect(contracts=Contracts.read("contracts.json")) as producer:
        await producer.push("invoices", {"number": "4711", "amount": 12})
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take what ``contracts_of`` made.

        Raises:
            ContractError: it is something else.
        """
        if not isinstance(document, Mapping):
            raise ContractError(
                f"Contracts({document!r}); allowed: what contracts_of(…) returned;"
                " Contracts.read(PATH) reads a file"
            )
        if document.get("contracts") != FORMAT or not isinstance(document.get("queues"), dict):
            raise ContractError(f"no contracts: a document with contracts = {FORMAT!r} is needed")
        self._queues: Final[dict[str, JsonObject]] = {
            queue: _well_formed(queue, contract) for queue, contract in document["queues"].items()
        }
        self._validators: Final = {
            queue: _validator(queue, contract.get("payload", {}))
            for queue, contract in self._queues.items()
        }
        self._signals: Final = {
            (queue, name): _validator(f"{queue}, signal {name}", schema)
            for queue, contract in self._queues.items()
            for name, schema in (contract.get("signals") or {}).items()
        }

    @classmethod
    def read(cls, path: str | Path) -> "Contracts":
        """Read a file that ``openiap-worker contract`` wrote.

        Raises:
            ContractError: there is no such file, or it is something else.
            TypeError: no path.
        """
        if not isinstance(path, str | Path):
            raise TypeError(f"Contracts.read({path!r}); allowed: the path of a file")
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ContractError(f"contracts {path}: {error}") from error
        return cls(found if isinstance(found, dict) else {})

    def check(self, push: Push) -> None:
        """Refuse what does not fit the queue's contract.

        Raises:
            ContractError: the text names the queue, the field and what is wrong with it.
        """
        validator = self._validators.get(push.queue)
        if validator is None:
            return
        payload = {name: value for name, value in push.payload.items() if name != KEY}
        if wrong := _wrong(validator, payload, "payload"):
            raise ContractError(f"The payload does not fit the contract of {push.queue}: {wrong}.")
        names = [Path(path).name for path in push.files]
        missing = missing_file(self._queues[push.queue].get("files") or (), names)
        if missing:
            shown = ", ".join(sorted(names)) or "none"
            raise ContractError(
                f"The contract of {push.queue} asks for a file {missing}; given: {shown}."
            )

    def check_signal(self, queue: str, name: str, value: Any) -> None:
        """Refuse the value of a signal that the item's handler would pass over, as far as its
        contract knows of the signal.

        Raises:
            ContractError: the text names queue, signal, field, and what is wrong with it.
        """
        validator = self._signals.get((queue, name))
        if validator is not None and (wrong := _wrong(validator, value, "value")):
            raise ContractError(
                f"The value of signal {name!r} does not fit the contract of {queue}: {wrong}."
            )


def _well_formed(queue: str, contract: object) -> JsonObject:
    if not isinstance(contract, dict):
        raise ContractError(
            f"The contract of {queue} is {str(contract)[:50]!r}; allowed: an object."
        )
    for part, kind, allowed in (("signals", dict, "an object"), ("files", list, "a list")):
        found = contract.get(part)
        if found is not None and not isinstance(found, kind):
            raise ContractError(
                f"The contract of {queue}: {part} is {str(found)[:50]!r}; allowed: {allowed}."
            )
    return contract


def _wrong(validator: Draft202012Validator, value: Any, whole: str) -> str:
    """Return where a value does not fit, and why; "" for a value that does."""
    found = best_match(validator.iter_errors(value))
    if found is None:
        return ""
    where = ".".join(str(part) for part in found.absolute_path) or whole
    return f"{where}: {found.message[:500]}"


def _validator(queue: str, schema: Mapping[str, Any]) -> Draft202012Validator:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ContractError(
            f"The contract of {queue} is no JSON Schema: {error.message}."
        ) from error
    return Draft202012Validator(schema)
