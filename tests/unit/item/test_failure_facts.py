"""What the first line of a failed item's source gives back of its error."""

from typing import Any

import pytest

from worker import BusinessError, ItemFailed
from worker.item.error_text import described
from worker.item.failure_facts import FailureFacts, facts_line, facts_of


class Closed(BusinessError):
    pass


def line(code: str, data: dict[str, Any] | None) -> str:
    error = Closed("no", code=code, data=data)
    return facts_line(error, worker="w 1", attempt=2, seconds=0.25) + "\nTraceback"


@pytest.mark.parametrize(
    ("data", "back"),
    [
        ({"left": 2, "password": "hunter2"}, {"left": 2, "password": "***"}),
        ({"of": [{"apiKey": 5}], "token": None}, {"of": [{"apiKey": "***"}], "token": "***"}),
        ({"said": "password=hunter2", "n": 1}, {"said": "password=***", "n": 1}),
        ({"odd": ', code X, data {"x":1}'}, {"odd": ', code X, data {"x":1}'}),
        (None, None),
    ],
)
def test_secrets_in_an_errors_data_are_stars_and_the_rest_comes_back(
    data: dict[str, Any] | None, back: dict[str, Any] | None
) -> None:
    for code in ("", "SHUT", "SHUT, TODAY", "SHUT,"):
        assert facts_of(line(code, data)) == FailureFacts("Closed", code, back)
    assert "hunter2" not in line("SHUT", data)


def test_a_code_with_spaces_is_told_apart_from_the_message() -> None:
    error = Closed("no", code="SHUT TODAY", data={"until": 8})
    document = {"errormessage": described(error), "errorsource": line(error.code, error.data)}
    failed = ItemFailed(document)
    assert (failed.code, failed.message, failed.data) == ("SHUT TODAY", "no", {"until": 8})
    again = failed.as_one_of([Closed])
    assert again is not None
    assert (again.code, str(again), again.data) == ("SHUT TODAY", "no", {"until": 8})


def test_a_foreign_text_gives_nothing_back() -> None:
    for text in (None, "", "Traceback", "attempt 1", "attempt 1, 2 s, something else"):
        assert facts_of(text) == FailureFacts()
