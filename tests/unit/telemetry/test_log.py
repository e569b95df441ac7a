"""Log lines: one per entry, with context, without secrets, and never forged."""

import asyncio
import contextvars
import json
import threading
import time
from datetime import UTC, datetime

import pytest

from worker.item.context import current_item
from worker.item.item import Item
from worker.item.metadata import Metadata
from worker.item.trace import Trace
from worker.openiap.errors import NotConnected
from worker.openiap.workitem import Workitem
from worker.telemetry.log import LONGEST_WAIT, MOST_WAITING, Log, as_it_is, to_stderr
from worker.telemetry.log_forms import MAX_LINE, as_json


class Lines(list[tuple[str, str]]):
    """Keeps what is written."""

    def __call__(self, level: str, line: str) -> None:
        self.append((level, line))


class Exporter(Lines):
    """A client that passes lines on; ``broken`` makes it raise."""

    broken = False

    def export_line(self, level: str, line: str) -> None:
        if self.broken:
            raise RuntimeError("gone")
        self.append((level, line))


class NoFiles:
    """An item's files that are never asked for."""


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def log(lines: Lines) -> Log:
    return Log("info", write=lines)


def test_a_line_is_the_message_and_its_fields(log: Log, lines: Lines) -> None:
    log.bind(queue="invoices").info("popped", item="5f0c", note="two words", empty="", n=3)
    assert lines == [
        ("info", 'popped queue=invoices item=5f0c note="two words" empty="" n=3'),
    ]


def test_lines_below_the_level_are_not_made(log: Log, lines: Lines) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("nobody reads this line")

    log.debug("x", value=Costly())
    log.verbose("x", value=Costly())
    log.trace("x", value=Costly())
    assert not log.once_a_while("k", "x", level="debug", value=Costly())
    assert lines == []
    assert log.enabled("info")
    assert not log.enabled("verbose")


def test_every_level_reaches_its_function(lines: Lines) -> None:
    log = Log("trace", write=lines)
    for level in ("error", "warn", "info", "verbose", "debug", "trace"):
        getattr(log, level)("said")
    assert [level for level, _ in lines] == ["error", "warn", "info", "verbose", "debug", "trace"]


def test_a_client_passes_lines_on_that_are_written_all_the_same(log: Log, lines: Lines) -> None:
    bound = log.bind(a=1)
    first, second = Exporter(), Exporter()
    log.info("before")
    log.use(first)
    bound.info("one")
    log.use(second)
    bound.warn("two")
    second.broken = True
    bound.error("three")
    log.use(None)
    bound.info("after")
    assert first == [("info", "one a=1")]
    assert second == [("warn", "two a=1")]
    assert [line for _, line in lines] == ["before", "one a=1", "two a=1", "three a=1", "after a=1"]


def test_what_a_client_hears_is_a_line_of_its_level(log: Log, lines: Lines) -> None:
    log.heard("warn", "said by a handler\nERROR forged")
    log.heard("debug", "below the level")
    assert lines == [("warn", "said by a handler\\nERROR forged")]


def test_a_payload_cannot_forge_a_line_or_drive_a_terminal(log: Log, lines: Lines) -> None:
    log.info("x\nERROR all is lost", value="a\r\n\x1b[31m\u2028\u202e\x9b")
    ((_, line),) = lines
    assert line.isprintable()
    assert line.startswith("x\\nERROR all is lost value=")


def test_secrets_never_appear(log: Log, lines: Lines) -> None:
    log.hide("hunter2-and-more")
    log.hide("")
    log.error(
        "sign-in with hunter2-and-more failed",
        url="wss://robot:s3cret@openiap.example/ws",
        password="s3cret",
        error=ValueError("token=abc.def.ghi"),
        jwt="eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    )
    ((_, line),) = lines
    for secret in ("hunter2", "s3cret", "abc.def", "eyJ"):
        assert secret not in line


def test_a_secret_at_the_cut_is_masked_too(log: Log, lines: Lines) -> None:
    log.hide("hunter2-and-more")
    message = "x" * (MAX_LINE - 5) + "hunter2-and-more" + "y" * MAX_LINE
    log.info(message)
    ((_, line),) = lines
    assert "hunt" not in line
    assert len(line) < MAX_LINE + 20


def test_an_items_lines_carry_the_item_in_threads_as_well(log: Log, lines: Lines) -> None:
    item = Item(
        Workitem(id="5f0c", wiq="invoices", retries=1),
        files=NoFiles(),
        log=log,
        started=datetime.now(UTC),
    )
    token = current_item.set(item)
    try:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(log.info, "in a thread"))
        thread.start()
        thread.join(60)
        item.log.info("own", attempt=9)
    finally:
        current_item.reset(token)
    log.info("outside")
    assert [line for _, line in lines] == [
        "in a thread item=5f0c queue=invoices attempt=2",
        "own item=5f0c queue=invoices attempt=9",
        "outside",
    ]


def test_what_passes_is_said_once_in_a_while_and_a_mistake_each_time(
    log: Log, lines: Lines
) -> None:
    for _ in range(2):
        log.failed("could not look", NotConnected("no link"))
        log.failed("could not look", KeyError("x"))
    assert lines == [
        ("warn", "could not look: no link"),
        ("error", "could not look: KeyError: 'x'"),
        ("error", "could not look: KeyError: 'x'"),
    ]


def test_repetition_is_held_back_and_counted(lines: Lines) -> None:
    now = 0.0
    log = Log(write=lines, clock=lambda: now)
    for _ in range(5):
        log.once_a_while("pop", "cannot pop", every=60, level="error")
    now = 59.9
    log.once_a_while("pop", "cannot pop", every=60, level="error")
    now = 60.0
    log.once_a_while("pop", "cannot pop", every=60, level="error")
    assert lines == [("error", "cannot pop"), ("error", "cannot pop repeated=5")]


def test_keys_do_not_pile_up(log: Log) -> None:
    for number in range(5000):
        log.once_a_while(f"item-{number}", "x")
    assert len(log._outlet._said) <= 1000


def test_a_closed_stderr_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("sys.stderr", Closed())
    to_stderr("info", "x")


async def test_lines_of_items_wait_for_each_other_and_for_nothing_else(
    log: Log, lines: Lines
) -> None:
    log.masked_already("info", "item done", item="1")
    log.masked_already("info", "item done", item="2")
    assert lines == []
    log.warn("between")
    assert [line for _, line in lines] == ["item done item=1", "item done item=2", "between"]
    log.masked_already("info", "item done", item="3")
    async with asyncio.timeout(60):
        while len(lines) < 4:
            await asyncio.sleep(0.001)
    assert [line for _, line in lines[3:]] == ["item done item=3"]
    log.masked_already("info", "item done", item="4")
    log.use(None)  # the worker stops
    assert [line for _, line in lines[4:]] == ["item done item=4"]


def test_without_a_loop_a_line_of_an_item_waits_for_nothing(log: Log, lines: Lines) -> None:
    log.masked_already("info", "item done", item="1")
    assert lines == [("info", "item done item=1")]


async def test_lines_of_items_do_not_pile_up(log: Log, lines: Lines) -> None:
    for number in range(MOST_WAITING):
        log.masked_already("info", "item done", item=number)
    assert len(lines) == MOST_WAITING


def test_lines_of_items_whose_loop_was_closed_are_written_with_later_ones(
    log: Log, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(item: str) -> None:
        log.masked_already("info", "item done", item=item)

    asyncio.run(say("1"))
    assert lines == []
    later = time.time() + 2 * LONGEST_WAIT
    monkeypatch.setattr("time.time", lambda: later)
    log.masked_already("info", "item done", item="2")
    assert [line for _, line in lines] == ["item done item=1", "item done item=2"]


async def test_lines_that_waited_are_lines_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Log("info", write=as_it_is)
    log.masked_already("info", "first")
    log.masked_already("info", "second")
    log.use(None)
    assert capsys.readouterr().err == "first\nsecond\n"


def test_lines_for_machines_name_the_trace_of_their_item(lines: Lines) -> None:
    log = Log("info", write=lines, form=as_json)
    trace = Trace(f"00-{'a' * 32}-{'b' * 16}-01")
    item = Item(
        Workitem(id="1", wiq="q"),
        files=NoFiles(),  # type: ignore[arg-type]
        log=log,
        started=datetime.now(UTC),
        metadata=Metadata(trace=trace),
    )
    context = contextvars.copy_context()
    context.run(current_item.set, item)
    context.run(log.info, "hello")
    log.info("of nobody's")
    told, others = (json.loads(line) for _, line in lines)
    assert (told["trace_id"], told["span_id"]) == ("a" * 32, "b" * 16)
    assert "trace_id" not in others
