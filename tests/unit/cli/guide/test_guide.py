"""The pages come with the package, and every alert has its section."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from worker.cli.app import command_line
from worker.cli.guide.command import pages, section_of, title_of
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


def said(*arguments: str) -> str:
    found = CliRunner().invoke(command_line("guide"), ["guide", *arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout


def test_pages_are_listed_and_shown() -> None:
    assert "operating" in said()
    assert "/readyz" in said("operating", "OpenIAPNotReady")
    assert said("operating").startswith("# Operating")


@pytest.mark.parametrize("arguments", [("nosuch",), ("operating", "nosuch")])
def test_what_is_not_there_is_refused_with_what_is(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="nosuch"):
        said(*arguments)
