"""The page of results: each test that measures writes its own section, the others stay."""

import os
import re
from pathlib import Path
from typing import Final

import worker

PAGE: Final = Path(__file__).with_name("RESULTS.md")
GUIDE: Final = Path(worker.__file__).parent / "cli" / "guide"
SEEN: Final = "Where a worker was killed"
"""The heading of the tables of kill points there."""
TITLE: Final = (
    "# What was shown by killing things\n\n"
    "Written by `pytest -m '' tests/acceptance`;"
    " the long forms by `python -m tests.acceptance.long`.\n"
)
ORDER: Final = (
    "Kill points",
    "Long work",
    "Groups",
    "Signals",
    "Programs that take items",
    "Chaos",
    "Chaos, long form",
    "Attacked",
    "Attacked, long form",
    "Figures",
    "Rate limit",
    "Stopping",
    "Bad items",
    "Unique keys",
    "Unique keys, long form",
    "Schedules",
    "Schedules, long form",
    "Soak",
    "Soak, long form",
    "Autoscaler",
    "Keys and rates",
    "Keys and rates, long form",
    "Shared values",
    "Streams",
    "Streams, long form",
)


def write_section(title: str, text: str, *, page: Path = PAGE) -> None:
    """Replace one section of the page."""
    sections = read_sections(page)
    sections[title] = text.strip()
    known = [name for name in ORDER if name in sections]
    parts = [TITLE, *(f"## {name}\n\n{sections[name]}\n" for name in known)]
    whole = "\n".join(parts)
    if not page.exists() or page.read_text(encoding="utf-8") != whole:
        # In one step: the floor's other process may read it now, and keeps what it has read.
        written = page.with_name(f".{page.name}.{os.getpid()}")
        written.write_text(whole, encoding="utf-8")
        written.replace(page)


def write_guide(name: str, heading: str, text: str, *, guide: Path = GUIDE) -> None:
    """Replace what stands under a heading of one of the guide's pages.

    Raises:
        ValueError: it has no such heading.
    """
    page = guide / f"{name}.md"
    before = page.read_text(encoding="utf-8")
    begin, found, rest = before.partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"{page} has no heading {heading!r}")
    after = re.search(r"^## ", rest, flags=re.MULTILINE)
    end = f"\n{rest[after.start() :]}" if after else ""
    whole = f"{begin}{found}\n{text.strip()}\n{end}"
    if whole != before:
        written = page.with_name(f".{page.name}.{os.getpid()}")
        written.write_text(whole, encoding="utf-8")
        written.replace(page)


def read_sections(page: Path) -> dict[str, str]:
    """Return the sections by title."""
    if not page.exists():
        return {}
    found = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title: text.strip() for title, text in zip(found[1::2], found[2::2], strict=True)}


def kept_rows(
    title: str, column: int, known: list[object], *, page: Path = PAGE
) -> list[list[object]]:
    """Return the rows of a section's table whose cell in that column is none of the known ones."""
    lines = [one for one in read_sections(page).get(title, "").splitlines() if one.startswith("|")]
    rows: list[list[object]] = [[c.strip() for c in one.strip("|").split("|")] for one in lines[2:]]
    return [row for row in rows if row[column] not in {str(one) for one in known}]


def table(head: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
