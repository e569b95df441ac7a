"""The pages come with the package, and every alert has its section."""

import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from tests.pages import PAGES, blocks_of
from worker.cli.app import command_line
from worker.cli.guide.command import rendered, show_page
from worker.cli.guide.pages import for_terminal, headings_of, pages, section_of, title_of
from worker.cli.shared.errors import CommandError

ROOT = Path(__file__).resolve().parents[4]


def alerts() -> dict[str, dict[str, str]]:
    text = (ROOT / "config/prometheus/alerts.yaml").read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["annotations"] for rule in rules}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    text = pages()["operating"].read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (OpenIAP\w+)$", text, re.MULTILINE))
    assert headings == set(alerts())
    for name, annotations in alerts().items():
        assert annotations["runbook"] == "openiap-worker guide operating"
        assert "- Do:" in section_of(text, name) or "- `" in section_of(text, name)


def test_a_section_ends_where_the_next_one_of_its_level_begins() -> None:
    text = "# A\na\n## B one\nb\n### C\nc\n## D\nd\n"
    assert section_of(text, "b ONE") == "## B one\nb\n### C\nc"
    assert section_of(text, "D") == "## D\nd"
    assert section_of(text, "nothing") == ""
    assert title_of(text) == "A"


def test_a_comment_in_code_is_no_heading() -> None:
    text = "# A\n## B\n```python\n# C\n```\nb\n## D\n"
    assert [one.text for one in headings_of(text)] == ["A", "B", "D"]
    assert section_of(text, "B") == "## B\n```python\n# C\n```\nb"


def test_the_heading_that_is_just_the_word_comes_before_one_with_it() -> None:
    text = "# Rates and keys\n## Keys of customers\nb\n## Keys\nc\n"
    assert section_of(text, "keys") == "## Keys\nc"
    assert section_of(text, "#keys-of-customers") == "## Keys of customers\nb"
    assert section_of(text, "rates") == ""


def test_links_are_said_in_the_words_of_the_terminal() -> None:
    said = for_terminal(
        "[a](values.md) [b](errors.md#retrying) [c](#here) [d](../../../config/x.toml)"
        " [`config/y`](../../../config/y) [e](https://x.y)\n```\n[f](values.md)\n```\n"
    )
    assert said == (
        "a (`guide values`) b (`guide errors retrying`) c d (config/x.toml)"
        " `config/y` [e](https://x.y)\n```\n[f](values.md)\n```\n"
    )


def said(*arguments: str) -> str:
    found = CliRunner().invoke(command_line("guide"), ["guide", *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout


def test_pages_are_listed_and_shown() -> None:
    assert "operating" in said()
    assert "/readyz" in said("operating", "OpenIAPNotReady")
    assert said("operating").startswith("# Operating")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("nosuch",), r"no page nosuch\. Pages: first-hour, .*operating"),
        (("error",), r"no page error\. Did you mean errors\?"),
        (("OpenIAPNotReady",), r"Sections with it: operating \(OpenIAPNotReady\)"),
        (("operating", "nosuch"), r"no section with nosuch .* Sections: .*OpenIAPNotReady"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(arguments: tuple[str, ...], answer: str) -> None:
    with pytest.raises(CommandError, match=answer):
        said(*arguments)


@pytest.mark.parametrize("width", [80, pytest.param(40, marks=pytest.mark.dear)])
def test_a_terminal_shows_every_page_whole(width: int) -> None:
    for name, path in pages().items():
        text = path.read_text(encoding="utf-8")
        console = Console(width=width, force_terminal=True, color_system=None)
        shown = rendered(console, text)
        assert max(map(len, shown.splitlines())) <= width, name
        assert shown.count("…") == for_terminal(text).count("…"), name


@pytest.mark.parametrize("height", [10, 1000])
def test_what_is_longer_than_the_screen_goes_through_the_pager(
    height: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paged: list[str] = []
    monkeypatch.setattr("pydoc.pager", paged.append)
    text = pages()["errors"].read_text(encoding="utf-8")
    show_page(Console(width=80, height=height, force_terminal=True, color_system=None), text)
    whole = "".join(paged) or capsys.readouterr().out
    assert bool(paged) is (height == 10)
    assert "What the worker or its machine cannot do" in whole
    assert whole.count("\n") == rendered(Console(width=80), text).count("\n")


def test_code_on_the_pages_fits_a_terminal() -> None:
    """80 columns, of which the terminal's margin takes two; other libraries' code is as it is."""
    wide = [
        f"{block.name}: {line}"
        for page in PAGES
        if page != "comparison"
        for language in ("python", "sh", "text")
        for block in blocks_of(page, language)
        for line in block.text.splitlines()
        if len(line) > 78
    ]
    assert wide == []
