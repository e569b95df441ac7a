"""What commands write: tables and lines for people, one JSON value for programs.

Names, payloads and error texts come from elsewhere and are hostile: they are never read as markup,
and nothing of theirs acts on the terminal or hides there.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from rich import box
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from worker.openiap.values import plain
from worker.unseen import seen

PIPED_WIDTH: Final = 160
ROOMY: Final = 10_000


def to_stdout() -> Console:
    """Return the console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def to_stderr() -> Console:
    """Return the console for errors, questions and progress."""
    return Console(stderr=True, highlight=False)


def safe(text: object) -> Text:
    """Return text that is shown as it is: no markup, nothing that acts or hides."""
    return Text(seen(str(text), lambda one: f"\\x{ord(one):02x}", layout=True))


def pretty_json(value: Any, console: Console) -> Text:
    """Return a JSON value over several lines, in colours. Letters of all languages are themselves
    where the console has them; what would act on a terminal is escaped, as JSON has it."""
    ascii_only = not console.encoding.lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=ascii_only, indent=2, default=plain)
    return JSONHighlighter()(Text(seen(text, lambda one: json.dumps(one)[1:-1], layout=True)))


def print_json(value: Any, *, on_one_line: bool = False) -> None:
    """Write one JSON value to stdout; in ASCII, so that no code page spoils it.

    Args:
        value: what to write.
        on_one_line: for a reader that waits for it while the command goes on.
    """
    typer.echo(json.dumps(value, default=plain, indent=None if on_one_line else 2))


def print_result(value: Any, text: str, *, as_json: bool) -> None:
    """Write what a command did: one JSON value for programs, a sentence for people."""
    if as_json:
        print_json(value)
    else:
        to_stdout().print(safe(text))


def table(columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table.

    Args:
        columns: heading to kind: "" for text, "dim" for text that matters less, "whole" for text
            that is not broken, "number".
        rows: the cells; what is no ``Text`` is made safe.
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for heading, kind in columns.items():
        made.add_column(
            heading,
            justify="right" if kind == "number" else "left",
            style="dim" if kind == "dim" else None,
            overflow="fold",
            no_wrap=kind in ("number", "whole"),
        )
    for row in rows:
        made.add_row(*[_cell(cell) for cell in row])
    return made


def show(console: Console, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; where the terminal is too narrow for it, a block of lines for each row."""
    made = table(columns, rows)
    # Measured as if there were room: a console's own measure never says more than its width.
    roomy = console.options.update(width=ROOMY)
    if console.measure(made, options=roomy).minimum <= console.width:
        console.print(made)
        return
    for row in rows:
        facts = [(name, cell) for name, cell in zip(columns, row, strict=True) if str(cell)]
        show_facts(console, facts)
        console.print()


def show_noted(
    console: Console,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[object]],
    notes: Sequence[str],
) -> None:
    """Print a table whose cells are not broken, and under a line what else is to be said of it.

    Args:
        notes: for each row; "" for nothing. They are cut to the width.
    """
    made = table({name: kind or "whole" for name, kind in columns.items()}, rows)
    roomy = console.options.update(width=ROOMY)
    if console.measure(made, options=roomy).minimum > console.width:
        more = [safe(note.strip()) for note in notes]
        blocks = [[*row, note] for row, note in zip(rows, more, strict=True)]
        show(console, {**columns, "": ""}, blocks)
        return
    lines = console.render_lines(made, pad=False)
    for place, line in enumerate(lines, len(rows) - len(lines)):
        console.print(Text.assemble(*((one.text, one.style or "") for one in line)))
        if place >= 0 and notes[place]:
            note = Text("  ") + safe(" ".join(notes[place].split()))
            note.truncate(console.width, overflow="ellipsis")
            note.stylize("dim")
            console.print(note, no_wrap=True)


def show_facts(console: Console, facts: Sequence[tuple[str, object]]) -> None:
    """Print one thing after the other: its name, and what it is."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(safe(name), _cell(value))
    console.print(grid)


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else safe(value)


def many(number: int, one: str, several: str = "") -> str:
    """Return "1 item", "2 items"."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
