"""``guide``: the pages that come with the worker, in the terminal."""

import difflib
import os
from typing import Annotated, ClassVar, Final

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading as MarkdownHeading
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from worker.cli.guide.pages import (
    COMMAND,
    for_terminal,
    headings_of,
    index,
    pages,
    section_of,
    title_of,
)
from worker.cli.shared.errors import usage_error
from worker.cli.shared.output import to_stdout

WIDEST: Final = 100
"""Columns of a page; longer lines are hard to read."""


_THEME: Final = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.code": "cyan",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
    }
)
"""No background: the terminal's own may be dark or light."""


class _LeftHeading(MarkdownHeading):
    """A heading that stands where the text begins, and not in the middle of the screen."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _WholeTable(TableElement):
    """A table that breaks long words, and leaves none out."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for made in super().__rich_console__(console, options):
            if isinstance(made, Table):
                made.box = box.SIMPLE_HEAD
                made.show_edge = False
                for column in made.columns:
                    column.overflow = "fold"
            yield made


class _Page(Markdown):
    """A page as the terminal shows it."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "table_open": _WholeTable,
    }


def _names(incomplete: str) -> list[str]:
    return [name for name in pages() if name.startswith(incomplete)]


def guide(
    page: Annotated[
        str | None,
        typer.Argument(
            help="The page; without it they are listed.",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    section: Annotated[
        str | None,
        typer.Argument(help="A heading of it, or a part of one.", show_default=False),
    ] = None,
) -> None:
    """Show the pages of the guide: how handlers are written, what to do when an alert fires."""
    console = to_stdout()
    if page is None:
        _list(console)
        return
    found = pages()
    if page not in found:
        raise usage_error(_no_page(page))
    text = found[page].read_text(encoding="utf-8")
    if section is not None:
        shown = section_of(text, section)
        if not shown:
            there = ", ".join(one.text for one in headings_of(text) if one.level > 1)
            raise usage_error(
                f"Page {page} has no section with {section} in its heading. Sections: {there}."
            )
        text = shown
    if not console.is_terminal:
        typer.echo(text.rstrip())
        return
    show_page(console, text)


def _list(console: Console) -> None:
    """Print the pages in their groups, each with a line that says what it holds."""
    found = pages()
    groups = index()
    listed = {name for _, entries in groups for name, _ in entries}
    more = [(name, title_of(path.read_text("utf-8"))) for name, path in found.items()]
    left = [entry for entry in more if entry[0] not in listed]
    widest = max(len(name) for name in found)
    for heading, entries in [*groups, *([("More", left)] if left else [])]:
        console.print(Text(heading, style="bold"))
        for name, line in entries:
            console.print(Text(f"  {name:<{widest}}  {line}"), overflow="ellipsis", no_wrap=True)
        console.print()
    console.print(Text(f"Show one: {COMMAND} PAGE [SECTION]", style="dim"))


def show_page(console: Console, text: str) -> None:
    """Print a page; one that is longer than the screen goes through the pager."""
    lines = rendered(console, text)
    if lines.count("\n") < console.height:
        typer.echo(lines, nl=False, color=True)
        return
    os.environ.setdefault("LESS", "-FRX")  # colours, and the text stays when less has gone
    with console.pager(styles=True):
        console.print(Text.from_ansi(lines), end="")


def rendered(console: Console, text: str) -> str:
    """Return a page's Markdown as a terminal shows it."""
    shown = _Page(for_terminal(text), code_theme="ansi_dark", hyperlinks=False)
    with console.use_theme(_THEME), console.capture() as captured:
        console.print(shown, width=min(console.width, WIDEST))
    return captured.get()


def _no_page(page: str) -> str:
    """Say that there is no such page, which there are, and which sections bear the word."""
    found = pages()
    near = difflib.get_close_matches(page, found, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    inside = [
        f"{name} ({one.text})"
        for name, path in found.items()
        for one in headings_of(path.read_text("utf-8"))
        if one.level > 1 and page.lower() in one.text.lower()
    ]
    sections = f" Sections with it: {', '.join(inside[:5])}." if inside else ""
    return f"There is no page {page}.{hint}{sections} Pages: {', '.join(found)}."
