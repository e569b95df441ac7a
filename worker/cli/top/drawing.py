"""The screen: lines as wide as the terminal, as many as it has. Pure.

Whatever comes from elsewhere goes through ``fitted``: no markup, no control character, and as many
cells as there is room for, also where a letter takes two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from worker.cli.shared.output import many, safe
from worker.cli.top.board import COLUMNS, TABS, Board, Column, Row, ended_by_minute
from worker.cli.top.view import View

LEAST: Final = (40, 10)
AROUND: Final = 8
"""Lines that are no lines of the table: four above it, its heading, three below."""
BARS: Final = " ▁▂▃▄▅▆▇█"
PLAIN_BARS: Final = " .:-=+*#@"
NARROWEST: Final = 8
KEYS: Final = "1-5 tabs  enter open  s/S sort  / filter  p pause  r retry  ? help  q quit"
KEYS_OF_PAGE: Final = "up/down scroll  r retry  esc back"


@dataclass(frozen=True, slots=True)
class Screen:
    """How large the terminal is, and what it can show."""

    width: int
    height: int
    unicode: bool = True

    @property
    def room(self) -> int:
        """Lines of a table."""
        return max(1, self.height - AROUND)


def screen_of(
    board: Board, view: View, rows: Sequence[Row] | None, screen: Screen, now: datetime
) -> list[Text]:
    """Return the whole screen.

    Args:
        rows: the lines of the tab that are left after its filter, in order; None: not known yet.
    """
    width, height = screen.width, screen.height
    if width < LEAST[0] or height < LEAST[1]:
        lines = [fitted(f"top needs {LEAST[0]} x {LEAST[1]}; q ends it", width)]
    else:
        above = [*_head(board, screen, now), _tabs(view, rows, width)]
        body, keys = _body(board, view, rows, screen), KEYS if view.page is None else KEYS_OF_PAGE
        below = [_note(view, rows, width), _said(view, width), fitted(keys, width, style="dim")]
        lines = [*above, *body, *below]
    lines = lines[:height]
    return lines + [fitted("", width)] * (height - len(lines))


def fitted(text: object, width: int, *, right: bool = False, style: str = "") -> Text:
    """Return text in so many cells; a cut one ends with "~"."""
    shown = safe(text).plain.replace("\n", " ").replace("\t", " ")
    taken = cell_len(shown)
    if taken > width:
        shown = set_cell_size(shown, max(0, width - 1)) + ("~" if width > 0 else "")
    elif right:
        shown = " " * (width - taken) + shown
    else:
        shown += " " * (width - taken)
    return Text(shown, style=style)


def _head(board: Board, screen: Screen, now: datetime) -> list[Text]:
    width = screen.width
    clock = f"{now.astimezone():%H:%M:%S}"
    who = f"openiap-worker top  {board.url}" + (f"  as {board.user}" if board.user else "")
    first = fitted(who, width - len(clock) - 1, style="bold")
    first.append(f" {clock}")
    if board.away:
        return [first, fitted(board.away, width, style="bold red"), _graph(board, screen, now)]
    return [first, fitted(_sum(board), width), _graph(board, screen, now)]


def _sum(board: Board) -> str:
    parts = []
    if board.queues is not None:
        items = [queue.items for queue in board.queues if queue.items is not None]
        parts.append(f"{sum(one.new for one in items):,} waiting")
        parts.append(f"{sum(one.failed for one in items):,} failed")
        paused = sum(queue.paused is not None for queue in board.queues)
        queues = many(len(board.queues), "queue")
        parts.append(f"{queues} ({paused} paused)" if paused else queues)
    if board.workers is not None:
        living = [one for one in board.workers if one.state != "gone"]
        amiss = sum(bool(one.trouble) for one in living)
        workers = many(len(living), "worker")
        parts.append(f"{workers} ({amiss} in trouble)" if amiss else workers)
        parts.append(f"{sum(one.in_flight for one in living):,} running")
        parts.append(f"{sum(one.per_second for one in living):.1f} items/s")
    return "   ".join(parts) or "asking ..."


def _graph(board: Board, screen: Screen, now: datetime) -> Text:
    """Return the last hour, minute by minute: what ended."""
    if board.workers is None:
        return fitted("", screen.width)
    counts = ended_by_minute(board.workers, now)
    head, tail = "last hour ", f" {sum(counts):,} done, most {max(counts):,}/min"
    room = screen.width - len(head) - len(tail)
    if room < NARROWEST:
        return fitted(f"{head.strip()}:{tail}", screen.width)
    counts = counts[-room:]
    bars, most = BARS if screen.unicode else PLAIN_BARS, max(max(counts), 1)
    drawn = "".join(bars[-(-one * (len(bars) - 1) // most)] for one in counts)
    return fitted(Text(f"{head}{drawn}{tail}"), screen.width, style="cyan")


def _tabs(view: View, rows: Sequence[Row] | None, width: int) -> Text:
    column = COLUMNS[view.tab][view.sort[view.tab]].name
    order = f"by {column}, {'most' if view.down[view.tab] else 'least'} first"
    text = view.text.get(view.tab, "")
    end = f"{len(rows):,} {order}" if rows is not None else order
    if view.tab == "items":
        end = f"{view.scope}: {end}"
    if text:
        end = f"/{text}/ {end}"
    line = Text()
    for place, tab in enumerate(TABS, 1):
        name = f" {place} {tab} "
        line.append(name, style="reverse" if tab == view.tab else "")
    room = width - cell_len(line.plain)
    if room > NARROWEST:
        line.append_text(fitted(f" {end}", room, right=True, style="dim"))
        return line
    return fitted(line.plain, width)


def _body(board: Board, view: View, rows: Sequence[Row] | None, screen: Screen) -> list[Text]:
    room, width = screen.room, screen.width
    if view.page is not None:
        page = view.page
        shown = page.lines[page.first : page.first + room]
        lines = [fitted(page.title, width, style="bold")]
        lines += [fitted(line, width) for line in shown]
        return lines + [fitted("", width)] * (room + 1 - len(lines))
    columns = _widths(COLUMNS[view.tab], width)
    heading = _line(columns, [column.name for column in COLUMNS[view.tab]], "bold underline")
    refused = board.refused.get(view.tab, "")
    if rows is None or not rows:
        nothing = refused or ("Not known yet." if rows is None else "Nothing.")
        lines = [heading, fitted(nothing, width, style="red" if refused else "dim")]
        return lines + [fitted("", width)] * (room + 1 - len(lines))
    at = view.line(rows)
    first = max(0, min(at - room // 2, len(rows) - room))
    lines = [heading]
    for place, row in enumerate(rows[first : first + room], first):
        style = f"{row.style} reverse".strip() if place == at else row.style
        lines.append(_line(columns, row.cells, style))
    return lines + [fitted("", width)] * (room + 1 - len(lines))


def _widths(columns: Sequence[Column], width: int) -> list[tuple[int, Column]]:
    """Return the columns that fit, with their places among all; the last fixed ones go where there
    is no room for the one that takes what is left."""
    kept = list(enumerate(columns))
    while True:
        left = width - sum(column.width for _, column in kept) - (len(kept) - 1)
        if left >= NARROWEST or len(kept) < 3:
            break
        kept.remove([one for one in kept if one[1].width][-1])
    return [
        (place, column if column.width else Column(column.name, max(1, left), column.right))
        for place, column in kept
    ]


def _line(columns: Sequence[tuple[int, Column]], cells: Sequence[str], style: str) -> Text:
    line = Text(style=style)
    for number, (place, column) in enumerate(columns):
        if number:
            line.append(" ")
        line.append_text(fitted(cells[place], column.width, right=column.right))
    return line


def _note(view: View, rows: Sequence[Row] | None, width: int) -> Text:
    if not rows or view.page is not None:
        return fitted("", width)
    return fitted(rows[view.line(rows)].note, width, style="italic")


def _said(view: View, width: int) -> Text:
    if view.prompt is None:
        return fitted(view.message, width, style="yellow")
    prompt = view.prompt
    question = f"{prompt.question}{prompt.typed}_"
    if cell_len(question) > width:  # what is typed is seen, and its end
        question = question[-max(1, width // 2) :]
    return fitted(question, width, style="bold yellow")
