"""``guide``: the pages that come with the worker, in the terminal."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markdown import Markdown

from worker.cli.shared.errors import usage_error
from worker.cli.shared.output import show_facts, to_stdout

FOLDER: Final = Path(__file__).parent
WIDEST: Final = 100
"""Columns of a page; longer lines are hard to read."""


def pages() -> dict[str, Path]:
    """Return the pages by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.md"))}


def title_of(text: str) -> str:
    """Return a page's title, which is its first line."""
    return text.partition("\n")[0].removeprefix("#").strip()


def section_of(text: str, wanted: str) -> str:
    """Return the part of a page under the heading that has a text in it, or "" for none.

    Args:
        wanted: a part of the heading; capitals do not matter.
    """
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if not (line.startswith("#") and wanted.lower() in line.lower()):
            continue
        level = len(line) - len(line.lstrip("#"))
        for end in range(start + 1, len(lines)):
            found = lines[end]
            if found.startswith("#") and len(found) - len(found.lstrip("#")) <= level:
                return "\n".join(lines[start:end])
        return "\n".join(lines[start:])
    return ""


def guide(
    page: Annotated[
        str | None, typer.Argument(help="The page; without it they are listed.", show_default=False)
    ] = None,
    section: Annotated[
        str | None,
        typer.Argument(help="A part of a heading: that section alone.", show_default=False),
    ] = None,
) -> None:
    """Show a page of the guide: operating, say, with what to do when an alert fires."""
    found = pages()
    console = to_stdout()
    if page is None:
        titles = {name: title_of(path.read_text(encoding="utf-8")) for name, path in found.items()}
        show_facts(console, list(titles.items()))
        return
    if page not in found:
        raise usage_error(f"There is no page {page}. Allowed: {', '.join(found)}.")
    text = found[page].read_text(encoding="utf-8")
    if section is not None:
        text = section_of(text, section)
        if not text:
            raise usage_error(f"Page {page} has no section with {section} in its heading.")
    if console.is_terminal:
        console.print(Markdown(text), width=min(console.width, WIDEST))
    else:
        typer.echo(text.rstrip())
