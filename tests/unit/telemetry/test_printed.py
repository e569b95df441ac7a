"""What is printed becomes whole lines, each of its item."""

import contextvars
import sys
import threading
from datetime import UTC, datetime

import pytest

from worker.item.context import current_item
from worker.item.item import Item
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log
from worker.telemetry.printed import LONGEST, MOST_BEGUN, Printed, rest_of


class Lines(list[str]):
    """Keeps what is written."""

    def __call__(self, level: str, line: str) -> None:
        assert level == "info"
        self.append(line.replace(" stream=stdout", ""))


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def printed(lines: Lines) -> Printed:
    return Printed(Log("info", write=lines))


def within(identity: str, log: Log) -> contextvars.Context:
    """Return a context in which an item is worked."""
    item = Item(
        Workitem(id=identity, wiq="q"),
        files=None,  # type: ignore[arg-type]
        log=log,
        started=datetime.now(UTC),
    )
    context = contextvars.copy_context()
    context.run(current_item.set, item)
    return context


def test_a_line_ends_at_its_break_and_what_is_drawn_anew_counts_as_it_was_last(
    printed: Printed, lines: Lines
) -> None:
    for piece in ("a", "b\nc", "\n\n", "10 %\r", "20 %\r\n", "d\r\n", "password=hunter2\n"):
        assert printed.write(piece) == len(piece)
    assert lines == ["ab", "c", "20 %", "d", "password=***"]


def test_lines_of_several_items_do_not_mix(printed: Printed, lines: Lines) -> None:
    log = Log("info", write=lines)
    one, two = within("1", log), within("2", log)
    one.run(printed.write, "of ")
    two.run(printed.write, "of ")
    thread = threading.Thread(target=one.copy().run, args=(printed.write, "a thread\n"))
    thread.start()
    thread.join(60)
    two.run(printed.write, "two\n")
    one.run(printed.write, "one\n")
    more = "queue=q attempt=1"
    assert lines == [f"a thread item=1 {more}", f"of two item=2 {more}", f"of one item=1 {more}"]


def test_what_a_handler_has_begun_is_said_when_it_has_ended(
    printed: Printed, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", printed)
    within("1", Log("info", write=lines)).run(print, "never ended", end="")
    rest_of("2")
    assert lines == []
    rest_of("1")
    assert lines == ["never ended item=1 queue=q attempt=1"]


def test_nothing_piles_up(printed: Printed, lines: Lines) -> None:
    printed.write("x" * (LONGEST + 1))
    assert len(lines) == 1
    for number in range(2 * MOST_BEGUN):
        within(str(number), Log("info", write=lines)).run(printed.write, "begun")
    assert len(lines) == MOST_BEGUN + 1
    assert len(printed._begun) == MOST_BEGUN


def test_modules_that_print_are_heard_once_there_is_a_log(lines: Lines) -> None:
    printed = Printed()
    printed.write("while it is imported\n")
    printed.use(Log("info", write=lines))
    printed.write("later\n")
    assert lines == ["while it is imported", "later"]


def test_what_stood_there_comes_back_and_nothing_is_lost_without_a_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout
    printed = Printed()
    printed.start()
    sys.stdout.write("token=abcdef123456\n")
    printed.stop()
    assert sys.stdout is before
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "INFO    token=*** stream=stdout\n"


def test_only_text_can_be_printed_and_it_is_no_terminal(printed: Printed) -> None:
    with pytest.raises(TypeError, match="must be str, not bytes"):
        printed.write(b"x")  # type: ignore[arg-type]
    assert printed.writable()
    assert not printed.isatty()
