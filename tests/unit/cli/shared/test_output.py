"""What comes from a server is shown and never obeyed, on any terminal."""

import io
import json

import pytest
from rich.console import Console

from worker.cli.shared.item_page import show_item
from worker.cli.shared.item_view import show_items
from worker.cli.shared.output import many, print_json, safe, show
from worker.item.outcome import WAITS
from worker.management.items.views import detail_of, item_of
from worker.openiap.workitem import JsonObject

HOSTILE = "[red]x[/red] \x1b]0;owned\x07\x9b31m \u202eevil"


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def text_of(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def item(**more: object) -> JsonObject:
    return {
        "_id": "6b0122f6b9da5a22be1c58c6",
        "name": "one",
        "wiq": "invoices",
        "state": "failed",
        "priority": 2,
        "retries": 2,
        "payload": {"a": 1},
        "files": [],
        "_created": "2026-11-20T10:00:00.000Z",
        "_modified": "2026-11-20T10:00:01.000Z",
        **more,
    }


def test_markup_and_control_characters_are_shown_not_obeyed() -> None:
    shown = safe(HOSTILE).plain
    assert shown == "[red]x[/red] \\x1b]0;owned\\x07\\x9b31m \\x202eevil"


def test_a_hostile_item_cannot_drive_the_terminal() -> None:
    console = terminal()
    evil = item(
        name=HOSTILE,
        errormessage=HOSTILE,
        errorsource=HOSTILE,
        errortype="application",
        payload={HOSTILE: HOSTILE},
        files=[{"filename": HOSTILE, "_id": "1"}],
    )
    show_item(console, detail_of(evil, {"1": 2048}))
    show_items(console, [item_of(evil)])
    shown = text_of(console)
    assert "\x1b]0;" not in shown
    assert "\x9b" not in shown
    assert "\u202e" not in shown
    assert "[red]x[/red]" in shown
    assert "2 KB" in shown


def test_a_hostile_error_type_is_no_markup() -> None:
    console = terminal()
    show_item(console, detail_of(item(errormessage="x", errortype=HOSTILE), {}))
    assert "\x1b]0;" not in text_of(console)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_items_fit_the_terminal(width: int) -> None:
    console = terminal(width)
    show_items(console, [item_of(item(errormessage="word " * 60))])
    lines = text_of(console).splitlines()
    assert max(len(line) for line in lines) <= width
    assert any("6b0122f6b9da5a22be1c58c6" in line for line in lines)
    assert any("failed" in line for line in lines)


@pytest.mark.parametrize("width", [80, 160])
def test_a_list_says_what_a_waiting_item_waits_for(width: int) -> None:
    console, due = terminal(width), "2026-11-30T12:00:00.000Z"
    parked = item(state="new", nextrun=due, errormessage="once")
    parked[WAITS] = {"until": due, "why": "sleeps until 2026-11-30 12:00"}
    show_items(console, [item_of(parked)])
    shown = text_of(console)
    assert "sleeps until 2026-11-30 12:00" in shown
    assert "once" not in shown


def test_a_table_becomes_blocks_where_it_does_not_fit() -> None:
    columns = {"queue": "whole", "pushed": "number", "successful": "number"}
    narrow, wide = terminal(25), terminal(80)
    for console in (narrow, wide):
        show(console, columns, [["csv-summaries", 3, 4]])
    assert "successful  4" in text_of(narrow)
    assert "queue          pushed  successful" in text_of(wide)


def test_json_is_ascii_and_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Köln \u202e"})
    written = capsys.readouterr().out
    assert written.isascii()
    assert json.loads(written) == {"name": "Köln \u202e"}


def test_numbers_go_with_their_words() -> None:
    assert [many(n, "item") for n in (0, 1, 2000)] == ["0 items", "1 item", "2,000 items"]
