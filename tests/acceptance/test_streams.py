"""A stream under cuts, in the short form; ``python -m tests.acceptance.long --streams`` has the
long one."""

from pathlib import Path

import pytest

from tests.acceptance.results import table, write_section
from tests.acceptance.streams import HEAD, Streamed, row, stream_under_cuts

ROWS: list[list[object]] = []


def test_the_books_find_what_they_are_to_find() -> None:
    done = Streamed("native", 3, 1, 1, answers=3, published={1: "a", 2: "b", 4: "c"})
    done.seen = [[(1, "a", 1, 0), (2, "b", 1, 1), (2, "b", 1, 1)]]
    assert done.faults() == ["lost: 1", "twice: 2", "out of order: 2", "gaps: 2"]


@pytest.mark.dear
@pytest.mark.parametrize("client", ["native", "official"])
async def test_every_event_reaches_every_subscriber_once_in_one_order(
    client: str, tmp_path: Path
) -> None:
    done = await stream_under_cuts(client, tmp_path, events=1500, cuts=5, deadline=300)
    assert done.faults() == []
    assert done.cuts == 5
    ROWS.append(row(done))
    write_section("Streams", table(HEAD, ROWS))
