"""The screen and the keys of ``top``, without a terminal."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from tests.cases import each
from worker.cli.top.board import TABS, Board, Row, chosen, rows_of
from worker.cli.top.drawing import Screen, screen_of
from worker.cli.top.view import Action, Page, Prompt, View
from worker.management.items.types import ErrorGroupResponse, ErrorSample, ItemResponse
from worker.management.queues.types import PauseResponse, QueueItemsResponse, QueueResponse
from worker.management.workers.types import (
    HourResponse,
    QueueMinute,
    WorkerDetailResponse,
    WorkerItem,
    WorkerQueue,
)

NOW = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)
HOSTILE = "[red]x[/red]\x1b[2J\x1b]0;t\x07\n\t\x9b1m\u202eabc\u2066\u200f字字字字字字字字字字" * 3


def queue(name: str, new: int = 0, failed: int = 0, **more: object) -> QueueResponse:
    return QueueResponse(
        name=name,
        id=name,
        max_retries=1,
        retry_delay=0,
        initial_delay=0,
        amqp_queue="",
        success_queue="",
        failed_queue="",
        items=QueueItemsResponse(new=new, failed=failed),
    ).model_copy(update=more)


def worker(id: str, text: str = "half") -> WorkerDetailResponse:
    minute = QueueMinute(
        at=NOW.replace(second=0) - timedelta(minutes=1),
        successful=5,
        failed=1,
        retried=0,
        released=0,
    )
    return WorkerDetailResponse(
        id=id,
        state="working",
        host=text,
        pid=7,
        version="1",
        namespace="",
        since=NOW,
        seen=NOW,
        silent=2.0,
        queues=[WorkerQueue(name=text, concurrency=2, free=1, in_flight=1, per_second=1.5)],
        in_flight=1,
        per_second=1.5,
        outbox=0,
        log_level="info",
        quiet="",
        not_ready={},
        steerable=True,
        trouble="",
        items=[
            WorkerItem(
                id=f"{id}-item", queue=text, attempt=1, seconds=61.0, progress=0.5, text=text
            )
        ],
        hour=[HourResponse(queue=text, minutes=[minute])],
        answers=[],
    )


def board(text: str = "orders") -> Board:
    sample = ErrorSample(id=text, queue=text, message=text)
    return Board(
        url="ws://here",
        user=text,
        queues=[
            queue(text, new=1_204, failed=3, oldest_waiting=61.0),
            queue("paused", paused=PauseResponse(reason=text, by=text, since=NOW, until=None)),
        ],
        workers=[worker("w1", text), worker("w2", text)],
        groups=[
            ErrorGroupResponse(
                id="36a0",
                message=text,
                code="GONE",
                count=1_204,
                queues={text: 1_204},
                first=None,
                last="2026-11-28T11:59:30.000Z",
                sample=sample,
            )
        ],
        items=[ItemResponse(id=text, name=text, queue=text, state="failed", errormessage=text)],
    )


def drawn(board: Board, view: View, width: int = 80, height: int = 24) -> list[str]:
    rows = rows_of(board, view.tab, NOW, 0.0)
    if rows is not None:
        tab = view.tab
        rows = chosen(rows, view.sort[tab], down=view.down[tab], text=view.text.get(tab, ""))
    found = screen_of(board, view, rows, Screen(width, height), NOW)
    return [line.plain for line in found]


def press(view: View, board: Board, *keys: str) -> Action | None:
    action = None
    for key in keys:
        rows = rows_of(board, view.tab, NOW, 0.0) or []
        tab = view.tab
        rows = chosen(rows, view.sort[tab], down=view.down[tab], text=view.text.get(tab, ""))
        action = view.press(key, rows, 10)
    return action


@each("tab", TABS)
@each("size", [(80, 24), (200, 60), (40, 10), (41, 11), (79, 23), (20, 5), (1, 1)])
@each("text", ["orders", HOSTILE, ""])
def test_every_line_fills_the_terminal_and_nothing_acts_on_it(
    tab: str, size: tuple[int, int], text: str
) -> None:
    for view in (View(tab=tab), View(tab=tab, page=Page(text, [text] * 50), message=text)):
        view.text[tab] = ""
        lines = drawn(board(text), view, *size)
        assert len(lines) == size[1]
        assert {cell_len(line) for line in lines} == {size[0]}
        shown = "".join(lines)
        assert all(letter.isprintable() for letter in shown)
        assert not set(shown) & set("\u202e\u2066\u200f\x1b\x07\x9b")


def test_the_three_questions_are_answered_at_80_by_24() -> None:
    known = board()
    queues = "\n".join(drawn(known, View()))
    assert "orders" in queues
    assert "1,204" in queues
    assert "1m" in queues
    assert "12 done, most 12/min" in queues
    errors = "\n".join(drawn(known, View(tab="errors")))
    assert "[GONE] orders" in errors
    running = "\n".join(drawn(known, View(tab="running")))
    assert "w1-item" in running
    assert "50% orders" in running
    assert "? help" in running


def test_a_server_that_is_away_is_one_line() -> None:
    known = board()
    known.away = "Away, tried again: nobody answers"
    lines = drawn(known, View())
    assert sum("nobody answers" in line for line in lines) == 1
    assert "1,204" in "".join(lines)


def test_what_cannot_be_undone_is_asked_first() -> None:
    known, view = board(), View(tab="items")
    assert press(view, known, "r") is None
    assert view.prompt is not None
    assert press(view, known, "n") is None
    assert view.prompt is None
    assert press(view, known, "r", "y") == Action("retry", "orders")
    assert press(view, known, "r", "quit") == Action("quit")


def test_many_are_retried_only_once_their_number_was_typed() -> None:
    known, view = board(), View(tab="errors")
    asked = press(view, known, "r")
    assert asked is not None
    assert (asked.kind, asked.filter.group, asked.filter.states) == ("preview", "36a0", ["failed"])
    done = Action("batch", "36a0")
    view.prompt = Prompt("Type retry 12: ", done, wanted="retry 12")
    assert press(view, known, *"retry 1", "enter") is None
    assert view.message == "Nothing was done."
    view.prompt = Prompt("Type retry 12: ", done, wanted="retry 12")
    assert press(view, known, *"retry 12", "enter") == done


def test_a_queue_is_paused_with_a_reason_and_resumed() -> None:
    known, view = board(), View()
    assert press(view, known, "p", *"why", "enter") == Action("pause", "orders", "why")
    assert press(view, known, "down", "p", "y") == Action("resume", "paused")
    assert press(view, known, "p", "escape") is None
    assert view.prompt is None


def test_a_selected_line_stays_selected_when_others_come() -> None:
    view = View(selected={"queues": "b"})
    assert view.line([Row("a", (), ()), Row("b", (), ())]) == 1
    assert view.line([Row("b", (), ())]) == 0
    assert view.line([Row("a", (), ())]) == 0


def test_lines_are_sorted_and_filtered() -> None:
    known, view = board(), View()
    press(view, known, "s", "S")
    assert view.sort["queues"] == 1
    press(view, known, "/", *"paus", "enter")
    assert "orders" not in "".join(drawn(known, view)[5:20])
    press(view, known, "escape")
    assert "orders" in "".join(drawn(known, view)[5:20])


def test_enter_goes_further_in_and_escape_back() -> None:
    known, view = board(), View()
    asked = press(view, known, "enter")
    assert asked is not None
    assert asked.kind == "items"
    assert (view.tab, view.filter.queue) == ("items", "orders")
    assert press(view, known, "enter") == Action("open", "orders")
    view.page = Page("item", ["a"] * 100, "orders")
    press(view, known, "end")
    assert view.page.first == 90
    press(view, known, "escape")
    assert view.page is None
    press(view, known, "2", "enter")
    assert (view.tab, view.text["running"]) == ("running", "w1")


@pytest.mark.parametrize("tab", TABS)
def test_no_key_breaks_an_empty_board(tab: str) -> None:
    keys = ["up", "down", "page-up", "page-down", "home", "end", "enter", "p", "r", "s", "S"]
    for key in [*keys, "0", "9", "²", "tab", "back-tab", "escape", "backspace", "clear", "?", "/"]:
        view = View(tab=tab)
        press(view, Board(), key)
        drawn(Board(), view)
