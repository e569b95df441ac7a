"""File names from the server are reduced to something safe, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from worker.openiap.errors import FileTransferError
from worker.openiap.filenames import MAX_NAME, safe_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scan.pdf", "scan.pdf"),
        ("../../x", "x"),
        ("..\\..\\x", "x"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("Zoë, Übersicht.xlsx", "Zoë, Übersicht.xlsx"),
        (".hidden", ".hidden"),
    ],
)
def test_folders_are_cut_off(name: str, expected: str) -> None:
    assert safe_name(name) == expected


@each(
    "name",
    [
        "",
        ".",
        "..",
        "a/",
        "a/..",
        " ",
        "a\0b",
        "a\nb",
        "con",
        "NUL.txt",
        "com1",
        "a:b",
        "a?",
        "x.",
        "x ",
        "x" * (MAX_NAME + 1),
        "é" * 128,
    ],
)
def test_what_cannot_be_safe_is_refused(name: str) -> None:
    with pytest.raises(FileTransferError) as caught:
        safe_name(name, operation="download", item_id="5f")
    assert caught.value.operation == "download"
    assert caught.value.item_id == "5f"


@given(st.text())
def test_no_name_leaves_its_folder(name: str) -> None:
    try:
        safe = safe_name(name)
    except FileTransferError:
        return
    assert "/" not in safe
    assert "\\" not in safe
    assert "\0" not in safe
    assert safe not in ("", ".", "..")
