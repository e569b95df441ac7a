"""No unique key twice, whoever dies."""

from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.ordered.dying import Dying
from tests.acceptance.ordered.uniques import ENOUGH_ITEMS, HEAD, overlapping, push_while_dying, row
from tests.acceptance.results import kept_rows, table, write_section

WORKERS, SECONDS = 3, 15.0
TITLE = "Unique keys"


@pytest.mark.dear
@both_clients
async def test_no_key_has_two_items_at_once_while_workers_and_server_die(
    client: str, tmp_path: Path
) -> None:
    dying = Dying(client, WORKERS, SECONDS, restarts=2)
    books = await push_while_dying(dying, tmp_path)
    assert books.faults() == []
    assert books.pushes > books.items > ENOUGH_ITEMS
    assert (books.restarts, books.kills > 2) == (2, True)
    rows = [*kept_rows(TITLE, 0, [client]), row(dying, books)]
    write_section(TITLE, table(HEAD, sorted(rows, key=str)))


def test_the_count_sees_two_at_once() -> None:
    first = {"_id": "1", "payload": {"key": "a"}, "_created": "1", "_modified": "3"}
    second = {"_id": "2", "payload": {"key": "a"}, "_created": "2", "_modified": "4"}
    other = {"_id": "3", "payload": {"key": "b"}, "_created": "2", "_modified": "4"}
    assert overlapping([other, second, first]) == ["a (1, 2)"]
    assert overlapping([other, {**second, "_created": "3"}, first]) == []
