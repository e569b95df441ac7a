"""The page: what behaves as is said, what differs, what could not be asked and why."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from tests.conformance.facts import Answer, Fact, Verdict

MARKS: Final[Mapping[Verdict, str]] = {
    "holds": "yes",
    "differs": "**no**",
    "not asked": "?",
    "no call": "-",
}
MOST: Final = 600


def page(answers: Sequence[Answer], facts_of_run: Mapping[str, str], taken: datetime) -> str:
    """Return the page as Markdown.

    Args:
        facts_of_run: the server's version, who asked, and so on, by their names.
    """
    counted = Counter(answer.verdict for answer in answers)
    lines = [
        "# What OpenIAP does of what the worker relies on",
        "",
        "Written by `python -m tests.conformance`: a small program asks each sentence over each"
        " client and transport. The suite asks the local server the same; where that one is another"
        " on purpose, it is said below.",
        "",
        "|  |  |",
        "| --- | --- |",
        f"| taken | {taken:%Y-%m-%d %H:%M} UTC |",
        *(f"| {name} | {value} |" for name, value in facts_of_run.items()),
        f"| sentences | {len({id(answer.fact) for answer in answers})} |",
        *(f"| {name} | {counted[key]} |" for name, key in _COUNTS),
        "",
        *_differing(answers),
        *_not_asked(answers),
        *_local(answers),
        "## All sentences",
        "",
        "`yes`: as it says; `no`: see above; `?`: could not be asked; `-`: this client has no such"
        " call; empty: asked once for all.",
        "",
    ]
    lanes = list(dict.fromkeys(answer.lane for answer in answers))
    for subject, group in groupby(answers, key=lambda answer: answer.fact.subject):
        lines += [f"### {subject.capitalize()}", ""]
        lines += _table(list(group), lanes)
    return "\n".join(lines).rstrip() + "\n"


_COUNTS: Final[tuple[tuple[str, Verdict], ...]] = (
    ("asked, and as the sentence says", "holds"),
    ("asked, and different", "differs"),
    ("could not be asked", "not asked"),
)


def _table(answers: Sequence[Answer], lanes: Sequence[str]) -> list[str]:
    lines = [
        f"| sentence | source | {' | '.join(lanes)} |",
        f"| --- | --- |{' --- |' * len(lanes)}",
    ]
    for fact, row in _by_fact(answers):
        found = {answer.lane: MARKS[answer.verdict] for answer in row}
        cells = " | ".join(found.get(lane, "") for lane in lanes)
        lines.append(f"| {_cell(fact.sentence)} | {fact.source} | {cells} |")
    return [*lines, ""]


def _differing(answers: Sequence[Answer]) -> list[str]:
    lines = ["## What differs", ""]
    differing = [answer for answer in answers if answer.verdict == "differs"]
    if not differing:
        return [*lines, "Nothing.", ""]
    for fact, row in _by_fact(differing):
        lines.append(f"- **{fact.sentence}**")
        lines.append(f"  - expected: {_code(fact.expected)}")
        for got, same in groupby(row, key=lambda answer: _code(answer.got)):
            lines.append(f"  - {', '.join(answer.lane for answer in same)}: {got}")
    return [*lines, ""]


def _not_asked(answers: Sequence[Answer]) -> list[str]:
    lines = ["## What could not be asked", ""]
    unasked = [answer for answer in answers if answer.verdict == "not asked"]
    if not unasked:
        return [*lines, "Nothing.", ""]
    for fact, row in _by_fact(unasked):
        reasons = list(dict.fromkeys(answer.reason for answer in row))
        lanes = ", ".join(answer.lane for answer in row)
        lines.append(f"- {fact.sentence} ({lanes}): {'; '.join(reasons)}.")
    return [*lines, ""]


def _local(answers: Sequence[Answer]) -> list[str]:
    lines = ["## Where the local server is another on purpose", ""]
    found = [fact for fact, _ in _by_fact(answers) if fact.local]
    if not found:
        return [*lines, "Nowhere.", ""]
    return [
        *lines,
        *(f"- {fact.sentence} There, {fact.local[1]}." for fact in found if fact.local),
        "",
    ]


def _by_fact(answers: Sequence[Answer]) -> list[tuple[Fact, list[Answer]]]:
    found: dict[int, list[Answer]] = {}
    for answer in answers:
        found.setdefault(id(answer.fact), []).append(answer)
    return [(row[0].fact, row) for row in found.values()]


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.replace("`", "'").replace("\n", " ")
    return f"`{text if len(text) <= MOST else text[:MOST] + '…'}`" if text else '`""`'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
