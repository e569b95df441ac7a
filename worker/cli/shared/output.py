"""What commands write: tables and lines for people, one JSON value for programs; and ask.

Names, payloads and error texts come from elsewhere and are hostile: they are never read as markup,
and no control character of theirs reaches the terminal.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.shared.errors import usage_error
from worker.openiap.values import plain

PIPED_WIDTH: Final = 160
ROOMY: Final = 10_000
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def to_stdout() -> Console:
    """Return the console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def to_stderr() -> Console:
    """Return the console for errors, questions and progress."""
    return Console(stderr=True, highlight=False)


def safe(text: object) -> Text:
    """Return text that is shown as it is: no markup, no control characters."""
    return Text(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text)))


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
        show_facts(console, list(zip(columns, row, strict=True)))
        console.print()


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


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost, unless ``yes`` was given; a no ends the command.

    Raises:
        CommandError: there is nobody to ask.
        typer.Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise usage_error(f"{question} Nobody is there to answer: add --yes.")
    if not typer.confirm(question, err=True):
        raise typer.Abort
