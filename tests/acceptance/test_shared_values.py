"""Values under cuts, frozen links, lost answers and kills of the server."""

from pathlib import Path

import pytest

from tests.acceptance.results import table, write_section
from tests.acceptance.shared_values import HEAD, Added, row, values_under_faults

ROWS: list[list[object]] = []


def test_the_books_find_what_they_are_to_find() -> None:
    done = Added("native", 3, 1, answers=[1, 2, 2], number=4, winners={"a": 1, "b": 2, "c": 0})
    assert done.faults() == ["lost: 1", "twice: 1", "winners: 2"]


@pytest.mark.dear
@pytest.mark.parametrize("client", ["native", "official"])
async def test_every_add_counts_once_and_every_key_has_one_winner(
    client: str, tmp_path: Path
) -> None:
    done = await values_under_faults(client, tmp_path, adds=240, deadline=240)
    assert done.faults() == []
    assert (done.cuts, done.freezes, done.kills, done.swallowed) == (2, 2, 1, 2)
    ROWS.append(row(done))
    write_section("Shared values", table(HEAD, ROWS))
