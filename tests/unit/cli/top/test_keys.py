"""Keys: what a terminal sends, in whatever pieces it comes."""

from tests.cases import each
from worker.cli.top.keys import Keys


@each(
    ("sent", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[5~\x1b[6~", ["page-up", "page-down"]),
        (b"\r\t\x7f\x03", ["enter", "tab", "backspace", "quit"]),
        ("ä字".encode(), ["ä", "字"]),
        (b"\x1b[200~x", ["x"]),
        (b"\x1b[1;5Cx", ["x"]),
        (b"\x00\x01\xffa", ["\ufffd", "a"]),
        (b"\x1bx", ["escape", "x"]),
    ],
)
def test_bytes_are_keys(sent: bytes, keys: list[str]) -> None:
    assert Keys().feed(sent) == keys


def test_a_key_may_come_in_pieces() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.pending
    assert keys.feed(b"[") == []
    assert keys.feed(b"B") == ["down"]
    assert not keys.pending
    assert keys.feed("é".encode()[:1]) == []
    assert keys.feed("é".encode()[1:]) == ["é"]


def test_escape_alone_is_a_key_once_nothing_more_came() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.flush() == ["escape"]
    assert keys.flush() == []


def test_an_endless_sequence_takes_no_memory() -> None:
    keys = Keys()
    keys.feed(b"\x1b[" + b"1" * 10_000)
    assert len(keys._left) <= 64
