"""A payload that a handler would take, made from its schema; for people to start from. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic.errors import PydanticInvalidForJsonSchema

from worker.app.signature import Signature

DEEPEST: Final = 12
_BY_TYPE: Final[Mapping[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "array": [],
    "null": None,
}
_BY_FORMAT: Final[Mapping[str, str]] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "ada@example.com",
    "uri": "https://example.com",
}


def example_payload(signature: Signature) -> dict[str, Any]:
    """Return a payload with the fields that a handler needs; ``{}`` where it takes any."""
    if signature.validator is None:
        return {}
    try:
        schema = signature.validator.adapter.json_schema()
    except PydanticInvalidForJsonSchema:
        return {}
    found = _value(schema, schema.get("$defs", {}), 0)
    return found if isinstance(found, dict) else {}


def _value(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    if depth > DEEPEST:
        return None
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _value(definitions.get(name, {}), definitions, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _value(schema[key][0], definitions, depth + 1)
    if schema.get("type") == "object" or "properties" in schema:
        needed = schema.get("required", ())
        fields = schema.get("properties", {})
        return {name: _value(fields.get(name, {}), definitions, depth + 1) for name in needed}
    if schema.get("type") == "array" and schema.get("minItems"):
        return [_value(schema.get("items", {}), definitions, depth + 1)]
    if schema.get("type") in ("integer", "number"):
        return _number(schema)
    return _BY_FORMAT.get(str(schema.get("format")), _BY_TYPE.get(str(schema.get("type")), "text"))


def _number(schema: Mapping[str, Any]) -> float:
    for key, step in (("minimum", 0), ("exclusiveMinimum", 1), ("maximum", 0)):
        if isinstance(schema.get(key), int | float):
            found: float = schema[key] + step
            return found
    return 1
