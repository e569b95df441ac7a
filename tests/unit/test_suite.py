"""The suite itself: it runs on Linux, and all of it does."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SKIPS = re.compile(r"\bpytest\.(mark\.(skip|skipif|xfail)|skip|xfail|importorskip)\b")


def test_no_test_is_skipped() -> None:
    found = {
        str(path.relative_to(TESTS)): match.group()
        for path in TESTS.rglob("*.py")
        if (match := SKIPS.search(path.read_text(encoding="utf-8")))
    }
    assert found == {}
