"""Every ``openiap-worker`` command on a page is one that the command line takes."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.cases import each
from tests.pages import PAGES, blocks
from worker.cli.app import COMMANDS, command_line

INLINE = re.compile(r"`(openiap-worker [^`\n]+|python -m [^`\n]+)`")
ROOTS = re.compile(
    r"^(?:export \S.*|cd|pip|pytest|docker|kubectl|systemctl|config/container/release|curl|\.)\b"
    r"|^\. |^[a-z]+="
)


def written() -> Iterator[tuple[str, str]]:
    """Return where each command stands, and the command."""
    for name, block in blocks("sh").items():
        for line in block.text.replace("\\\n", "").splitlines():
            for command in line.split(" && "):
                yield name, command.strip()
    for page, path in PAGES.items():
        for command in INLINE.findall(path.read_text(encoding="utf-8")):
            yield page, command


WRITTEN = sorted({command: place for place, command in written()}.items())


@cache
def whole() -> Any:
    return typer.main.get_command(command_line())


def parsed(words: list[str]) -> Any:
    """Return the context of the command that these words are for.

    Raises:
        Exception: the command line refuses them.
    """
    command = whole()
    context = command.make_context("openiap-worker", words)
    while hasattr(command, "commands"):
        left = [*context._protected_args, *context.args]
        name, command, left = command.resolve_command(context, left)
        context = command.make_context(name, left, parent=context)
    return context


@each(("command", "place"), WRITTEN)
def test_a_command_on_a_page_is_taken(
    command: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command.replace("[", "").replace("]", ""), comments=True)
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None
    elif words[0] == "openiap-worker":
        monkeypatch.chdir(tmp_path)
        for name in ("items.jsonl", "items.csv"):
            (tmp_path / name).touch()
        assert parsed(words[1:]) is not None
    else:
        assert ROOTS.match(command), f"{place}: what is {command}?"


@pytest.mark.parametrize("words", [["push", "q", "--nosuch", "1"], ["nosuch"], ["items", "shwo"]])
def test_a_wrong_command_is_seen(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"nosuch|shwo"):
        parsed(words)


def test_the_page_of_commands_has_each_command_and_options_that_there_are() -> None:
    text = PAGES["commands"].read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (`.+?`) \| (.+) \|$", text)
    told: dict[str, str] = {}
    for named, line in rows:
        first, *others = re.findall(r"`([a-z]+)(?: ([a-z]+))?", named)
        group = first[0] if first[1] else ""
        told[" ".join(filter(None, first))] = line
        told.update({f"{group} {name}".strip(): line for name, _ in others})
    there = dict(leaves(typer.main.get_command(command_line())))
    assert sorted(told) == sorted(there)
    assert {name.split()[0] for name in there} == set(COMMANDS)
    for named, line in rows:
        (name,) = re.findall(r"^`([a-z]+(?: [a-z]+)?)", named)
        options = {option for one in there if one.startswith(name) for option in there[one]}
        for option in re.findall(r"`(--[a-z-]+)", f"{named} {line}"):
            assert option in options, (name, option)


def leaves(command: Any, above: str = "") -> Iterator[tuple[str, set[str]]]:
    """Return each command with its options."""
    for name, one in command.commands.items():
        full = f"{above} {name}".strip()
        if hasattr(one, "commands"):
            yield from leaves(one, full)
        else:
            yield full, {o for p in one.params for o in (*p.opts, *p.secondary_opts)}
