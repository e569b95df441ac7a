# ruff: noqa: RUF001
"""What foreign texts hide is seen, whatever Unicode calls it; what belongs to a script stays."""

import unicodedata

import pytest

from worker.cli.shared.output import safe
from worker.telemetry.log_forms import line_of
from worker.unseen import seen


def shown(text: str) -> str:
    return seen(text, lambda one: f"<{ord(one):x}>", layout=True)


@pytest.mark.parametrize(
    ("what", "hidden"),
    [
        ("Arabic letter mark", "\u061c"),
        ("marks of direction", "\u200e\u200f"),
        ("embeddings, overrides, isolates", "\u202a\u202e\u2066\u2069"),
        ("zero widths", "\u200b\u2060\ufeff"),
        ("joiners of nothing", "\u200c\u200d"),
        ("soft hyphen", "\xad"),
        ("Mongolian vowel separator", "\u180e"),
        ("invisible operators", "\u2061\u2064"),
        ("annotations", "\ufff9\ufffb"),
        ("tags", "\U000e0001\U000e0041\U000e007f"),
        ("what may be a tag one day", "\U000e0002\ufff0\u2065"),
        ("lines and paragraphs", "\u2028\u2029"),
        ("C0, C1, delete", "\x00\x1b\x7f\x85\x9b"),
        ("half a character", "\ud800"),
        ("blank letters", "\u115f\u1160\u3164\uffa0\u2800"),
        ("selectors of nothing", "\ufe00\ufe0f\U000e0100\U000e01ef"),
        ("musical formats", "\U0001d173"),
    ],
)
def test_what_is_not_seen_is_shown(what: str, hidden: str) -> None:
    text = f"pay{hidden}ments ü"
    escaped = "".join(f"<{ord(one):x}>" for one in hidden)
    assert shown(text) == f"pay{escaped}ments ü", what
    assert not set(hidden) & set(safe(text).plain), what
    assert not set(hidden) & set(line_of(text, {"name": text})), what


@pytest.mark.parametrize(
    "text",
    [
        "Köln, Łódź, Ελλάδα, Москва, 東京, 서울, ไทย",
        "می\u200cخواهم",  # Persian: a joiner that keeps letters apart
        "क्\u200dष",  # Devanagari
        "👩\u200d💻 ❤\ufe0f\u200d🔥 👨🏽\u200d🚀 1\ufe0f\u20e3 ⚠\ufe0f",
        "葛\U000e0100城",  # an ideograph in one of its forms
        "\u0601١٢",  # an Arabic sign before a number
        "line one\n\tline two é",
    ],
)
def test_what_belongs_to_a_script_stays(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("text", ["❤\ufe0f\ufe0f", "x\ufe0f é", "1\ufe0f é", "क\u200d\u200dष"])
def test_selectors_and_joiners_that_only_hide_are_shown(text: str) -> None:
    assert "<" in shown(text)


def test_no_format_character_of_any_plane_passes() -> None:
    for code in range(0x110000):
        one = chr(code)
        if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp") and one not in "\t\n":
            signs = "ARABIC", "SYRIAC ABBREVIATION", "KAITHI"
            if unicodedata.name(one, "").startswith(signs) and code != 0x61C:
                continue
            assert shown(f"é{one}a") == f"é<{code:x}>a"
