"""Frames come whole, however the bytes are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.openiap.wire.envelope import WireError
from worker.openiap.wire.framing import LENGTH, FrameReader, frame


@given(
    bodies=st.lists(st.binary(max_size=40), max_size=12),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_frames_come_whole_and_in_order_however_the_bytes_are_cut(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frame(body) for body in bodies)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    reader = FrameReader()
    found = [
        body for start, end in itertools.pairwise(edges) for body in reader.feed(stream[start:end])
    ]
    assert found == bodies


def test_length_and_body_may_come_apart() -> None:
    reader = FrameReader()
    assert list(reader.feed(LENGTH.pack(5))) == []
    assert list(reader.feed(b"hello")) == [b"hello"]


def test_several_frames_in_one_message_and_the_beginning_of_the_next() -> None:
    reader = FrameReader()
    assert list(reader.feed(frame(b"one") + frame(b"two") + frame(b"three")[:6])) == [
        b"one",
        b"two",
    ]
    assert list(reader.feed(frame(b"three")[6:])) == [b"three"]


def test_a_reader_left_early_keeps_what_it_was_not_asked_for() -> None:
    reader = FrameReader()
    for body in reader.feed(frame(b"one") + frame(b"two")):
        assert body == b"one"
        break
    assert list(reader.feed(b"")) == [b"two"]


@pytest.mark.parametrize("cut", [2, 4, 6])
def test_a_length_beyond_all_measure_is_not_the_protocol(cut: int) -> None:
    data = frame(b"x" * 100)
    reader = FrameReader(max_frame=99)

    def feed() -> None:
        list(reader.feed(data[:cut]))
        list(reader.feed(data[cut:]))

    with pytest.raises(WireError, match="100 bytes"):
        feed()


def test_an_announced_length_costs_no_memory_before_the_bytes_come() -> None:
    reader = FrameReader()
    assert list(reader.feed(LENGTH.pack(60 * 1024 * 1024))) == []
    assert list(reader.feed(b"x")) == []
