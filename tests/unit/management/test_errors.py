"""What OpenIAP says becomes a kind of error that HTTP and people understand."""

import pytest

from tests.cases import each
from worker.management import errors
from worker.openiap.errors import OpenIAPError, error_from_text


@each(
    ("text", "kind", "status"),
    [
        ("Rate limit exceeded consumedPoints: 31", errors.RateLimitError, 429),
        ("Work item  with _id X not found.", errors.NotFoundError, 404),
        ("Work item queue not found q (undefined) not found.", errors.NotFoundError, 404),
        ("bob is missing invoke rights", errors.ForbiddenError, 403),
        ("E11000 duplicate key", errors.ConflictError, 409),
        ("Disconnected", errors.UnavailableError, 503),
        ("Not connected ( Connecting )", errors.UnavailableError, 503),
        ("Request timed out", errors.UnavailableError, 503),
        ("something odd", errors.RefusedError, 502),
    ],
)
def test_each_answer_has_its_kind(text: str, kind: type[errors.AppError], status: int) -> None:
    said = error_from_text(text, operation="query")
    with pytest.raises(kind) as raised, errors.said_by_openiap():
        raise said
    assert raised.value.status_code == status
    assert raised.value.__cause__ is said
    assert isinstance(said, OpenIAPError)
    assert raised.value.message.endswith(".")
