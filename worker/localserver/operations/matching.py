"""Whether a document matches: mongomock's word, with OpenIAP's dates and patterns. Pure."""

from collections.abc import Callable
from typing import Any

import mongomock
from mongomock.filtering import filter_applies

from worker.localserver.operations.patterns import with_timed_patterns
from worker.localserver.operations.plain_conditions import with_made_dates
from worker.localserver.storage import json_text
from worker.localserver.storage.errors import RefusedError


def prepared(query: dict[str, Any], *, dates: bool) -> dict[str, Any]:
    """Return a query as mongomock is asked it."""
    asked_for = json_text.with_dates(query) if dates else query
    prepared: dict[str, Any] = with_timed_patterns(with_made_dates(asked_for))
    return prepared


def applies(condition: dict[str, Any], document: dict[str, Any]) -> bool:
    """Say whether a document matches, dates on both sides being dates."""
    return bool(
        asked(lambda: filter_applies(condition, document))  # type: ignore[no-untyped-call]
    )


def asked(question: Callable[[], Any]) -> Any:
    """Ask mongomock something.

    Raises:
        RefusedError: it cannot do this, or finds it wrong; the client is to know.
    """
    try:
        return question()
    except NotImplementedError as error:
        raise RefusedError(f"The local server does not support this: {error}") from error
    except (mongomock.OperationFailure, TypeError, ValueError, KeyError, AttributeError) as error:
        raise RefusedError(str(error) or type(error).__name__) from error
