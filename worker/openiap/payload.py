"""The payload of an item that came: read from its text, whatever that is. Pure."""

import json
from typing import Any, Final

from pydantic_core import from_json

_decode: Final = json.JSONDecoder().decode


def payload(text: str) -> tuple[dict[str, Any], bool]:
    """Return an item's payload; what is no JSON object comes as ``{"value": …}``.

    An item in hand is never given up for an odd payload: it is in ``processing`` already.

    Returns:
        The payload, and whether pydantic's core reads the very same from the text: it takes no
        half characters, and nothing that is nested very deep.
    """
    if not text:
        return {}, False
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError:
        try:
            found = _decode(text)
        except (ValueError, RecursionError):
            return {"value": text}, False
        return found if isinstance(found, dict) else {"value": found}, False
    return (found, True) if isinstance(found, dict) else ({"value": found}, False)
