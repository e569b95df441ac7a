"""Ignore files mean what git means by them."""

import subprocess
from pathlib import Path

import pytest

from worker.cli.package.ignore import ignored, parse

PATHS = [
    *("a.log", "x/a.log", "x/y/a.log", "keep.log", "docs/a.md", "docs/deep/b.md", "src/docs/c.md"),
    *("data/raw/1.csv", "data/2.csv", "a b.txt", "[x].txt", "file1.txt", "file22.txt", "#note"),
    *("!odd", "out/x", "x/out/y", "trailing ", "abc/def/ghi", "abc/ghi"),
]
PATTERNS = [
    *("*.log", "*.log\n!keep.log", "/a.log", "docs/*.md", "docs/**/*.md", "**/docs", "docs/"),
    *("data/**", "data/raw/", "file?.txt", "file[0-9].txt", "file[!0-9]*.txt", "\\#note"),
    *(
        "\\!odd",
        "# comment\n\n*.txt",
        "out",
        "out/",
        "x/out",
        "abc/**/ghi",
        "trailing\\ ",
        "a b.txt",
    ),
    *("\\[x].txt", "**", "*", "/*\n!/docs\n/docs/*\n!/docs/a.md", "file[", "[a", "*.LOG"),
]


@pytest.mark.parametrize("patterns", PATTERNS)
def test_same_files_are_left_out_as_by_git(patterns: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=60)
    for path in PATHS:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    (tmp_path / ".gitignore").write_text(patterns + "\n", encoding="utf-8")
    git = subprocess.run(
        ["git", "-C", tmp_path, "-c", "core.ignoreCase=false", "check-ignore", "-z", "--stdin"],
        input="\0".join(PATHS).encode(),
        capture_output=True,
        timeout=60,
    )
    theirs = {path for path in git.stdout.decode().split("\0") if path}
    assert {path for path in PATHS if left_out(path, patterns)} == theirs


def left_out(path: str, patterns: str) -> bool:
    """As the build asks: the folders above first, and nothing in one that is left out."""
    parsed = parse(patterns)
    parts = path.split("/")
    above = ("/".join(parts[:end]) for end in range(1, len(parts)))
    return any(ignored(folder, parsed, folder=True) for folder in above) or ignored(path, parsed)


@pytest.mark.parametrize(
    "patterns",
    [
        *("docs//", "[!]]", "[!]]*.log", "a[/]b", "abc[/]ghi"),
        *("docs\n!docs/a.md", "docs/**\n!docs/a.md", "*\n!*/\n!*.md", "**\n!**/\n!*.md"),
        *("!", "a.log\\", "[z-a].log\n*.md", "data/**  ", "x/**/"),
    ],
)
def test_rare_patterns_mean_what_they_mean_to_git(patterns: str, tmp_path: Path) -> None:
    test_same_files_are_left_out_as_by_git(patterns, tmp_path)
