"""What was found out about a server's limit is there at the next start, and nothing else is."""

from pathlib import Path

import pytest

from worker.engine.outbox.learnt_rate import FILE, MOST_SERVERS, LearntRate

URL = "ws://localhost:3000"


def test_it_is_kept_for_each_server(tmp_path: Path) -> None:
    one, other = LearntRate(tmp_path, URL), LearntRate(tmp_path, "ws://elsewhere:3000")
    assert one.read() == 0.0
    one.keep(30.04)
    other.keep(200.0)
    one.keep(0.0)
    assert (one.read(), other.read()) == (30.0, 200.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        "null",
        '{"%s": "30"}',
        '{"%s": -1}',
        '{"%s": NaN}',
        '{"%s": 1e300}',
        "[",
        "[" * 100_000,
    ],
)
def test_a_file_that_others_wrote_tells_nothing_and_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text.replace("%s", URL), encoding="utf-8")
    learnt = LearntRate(tmp_path, URL)
    assert learnt.read() == 0.0
    learnt.keep(30.0)
    assert learnt.read() == 30.0


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    learnt = LearntRate(tmp_path / "nowhere", URL)
    learnt.keep(30.0)
    assert learnt.read() == 0.0


def test_it_does_not_grow(tmp_path: Path) -> None:
    for number in range(2 * MOST_SERVERS):
        LearntRate(tmp_path, f"ws://host-{number}").keep(30.0)
    assert LearntRate(tmp_path, f"ws://host-{2 * MOST_SERVERS - 1}").read() == 30.0
    assert (tmp_path / FILE).read_text(encoding="utf-8").count("host") == MOST_SERVERS
