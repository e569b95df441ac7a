"""A handler's result: laid over its item's payload, and the outcome that comes of it. Pure."""

from collections.abc import Mapping

from pydantic_core import from_json

from worker.item.error_chain import ResultError
from worker.item.error_text import MAX_MESSAGE, clip
from worker.item.json_form import NotJson, json_form
from worker.item.masking import masked
from worker.item.outcome import RESULT, UNCHANGED, Got, Outcome, Written
from worker.openiap.errors import PayloadTooLarge
from worker.openiap.values import checked_payload, compact_text, plain_text
from worker.openiap.workitem import JsonObject


def success(
    payload: JsonObject,
    result: object,
    *,
    handler: str,
    stored: str = "",
    untouched: bool = False,
    wrap: bool = False,
) -> Outcome:
    """Make the outcome of a handler that returned.

    Args:
        payload: the item's payload; the result is laid over it.
        result: what the handler returned.
        handler: its name, for the error text.
        wrap: see ``result_fields``.
        stored: the payload as the server has it, where that is known.
        untouched: whether nobody can have changed the payload since it came.

    Returns:
        ``successful``, without a payload where that is what the server has; or ``failed`` when the
        result has no JSON form: doing the work again would give the same, so it is not retried.
    """
    try:
        fields = result_fields(result, handler=handler, wrap=wrap)
        if fields is None and stored and (untouched or _is_stored(payload, stored)):
            return UNCHANGED
        merged = payload if fields is None else {**payload, **fields}
        text = compact_text(merged) if untouched else ""
        checked_payload(text or _text(merged), operation="")
    except PayloadTooLarge as error:
        text = f"{handler}: with the result {error.text}"
        return Outcome("failed", None, message=text)
    except ResultError as error:
        return Outcome("failed", None, message=masked(clip(str(error), MAX_MESSAGE)))
    except (TypeError, ValueError, RecursionError) as error:
        text = f"{handler}: the result: {error}"
        return Outcome("failed", None, message=clip(text, MAX_MESSAGE))
    written = Written(merged, text) if text else None
    return Outcome("successful", merged, written=written, got=_got(result, fields, wrap))


def _got(result: object, fields: JsonObject | None, wrap: bool) -> Got:
    """Return where in a payload a result is."""
    if fields is None:
        return ()
    if wrap or (list(fields) == [RESULT] and not isinstance(json_form(result), dict)):
        return RESULT
    return tuple(fields)


def _is_stored(payload: JsonObject, stored: str) -> bool:
    """Whether writing a payload would write what the server has."""
    text = compact_text(payload)
    return bool(text) and text == compact_text(from_json(stored))


def _text(merged: JsonObject) -> str:
    """Return the text of a payload; a handler may have put anything into the one that it was given.

    Raises:
        NotJson, ValueError: it would not come back as it is.
    """
    try:
        return plain_text(merged)
    except TypeError:
        found = json_form(merged)
        merged.clear()
        merged.update(found)
        return plain_text(found)


def result_fields(result: object, *, handler: str, wrap: bool = False) -> JsonObject | None:
    """Return a handler's result as the fields that are laid over the payload, as JSON values. What
    is no JSON object is the field ``result``.

    Args:
        wrap: whether the handler may return what is no object: then everything is that field, so
            that it is known where the result is.

    Raises:
        ResultError: it would not come back as it is; the text names the handler and the place.
    """
    if result is None and not wrap:
        return None
    for key in result if isinstance(result, Mapping) else ():
        if not isinstance(key, str):
            raise ResultError(f"{handler}: the result has a key {key!r}; keys must be text")
    try:
        found = json_form(result)
    except NotJson as error:
        raise ResultError(f"{handler}: the result: {error}") from None
    return found if isinstance(found, dict) and not wrap else {RESULT: found}
