"""Websocket frames: cut wherever the network cuts them, and what is made is what a server reads."""

import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from tests.cases import each
from worker.openiap.wire.wsframes import FrameMaker, FrameSplitter, unmasked_frame

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


def sent(frame: Frame) -> bytes:
    return frame.serialize(mask=False)


def binary(data: bytes, *, fin: bool = True, opcode: Opcode = Opcode.BINARY) -> bytes:
    return sent(Frame(opcode, data, fin=fin))


@each("size", SIZES)
def test_a_server_reads_what_is_made(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    server = Protocol(Side.SERVER)
    server.receive_data(FrameMaker().frame(payload[:size]))
    (frame,) = server.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.BINARY, True, payload[:size])


@each("size", SIZES)
def test_a_client_reads_what_a_server_makes(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    assert unmasked_frame(payload[:size]) == binary(payload[:size])


def test_no_two_frames_share_a_mask() -> None:
    maker = FrameMaker()
    masks = {maker.frame(b"x")[2:6] for _ in range(2000)}
    assert len(masks) > 1990  # four bytes: two may meet by chance


@given(
    payloads=st.lists(st.binary(max_size=400) | st.just(b"y" * 66_000), max_size=6),
    cuts=st.lists(st.integers(0, 70_000), max_size=12),
    masked=st.booleans(),
)
def test_whole_messages_come_out_wherever_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int], masked: bool
) -> None:
    make = FrameMaker().frame if masked else binary
    stream = b"".join(make(payload) for payload in payloads)
    borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    splitter = FrameSplitter(1 << 20, masked=masked)
    found = [part for start, end in pairwise(borders) for part in splitter.feed(stream[start:end])]
    assert found == [(True, payload) for payload in payloads]


def test_other_frames_are_handed_over_untouched() -> None:
    others = [
        sent(Frame(Opcode.PING, b"p")),
        binary(b"text", opcode=Opcode.TEXT),
        binary(b"a" * 300, fin=False),
        sent(Frame(Opcode.PONG, b"")),
        binary(b"b", fin=False, opcode=Opcode.CONT),
        binary(b"c", opcode=Opcode.CONT),
        sent(Frame(Opcode.CLOSE, b"\x03\xe8")),
    ]
    stream = b"".join([*others[:2], binary(b"1"), *others[2:6], binary(b"2"), others[6]])
    splitter = FrameSplitter(1 << 20)
    found = [part for at in range(len(stream)) for part in splitter.feed(stream[at : at + 1])]
    assert [part for whole, part in found if whole] == [b"1", b"2"]
    assert [part for whole, part in found if not whole] == others


def test_a_binary_frame_inside_a_fragmented_message_is_the_librarys_to_refuse() -> None:
    splitter = FrameSplitter(1 << 20)
    stream = [binary(b"a", fin=False), binary(b"b")]
    assert list(splitter.feed(b"".join(stream))) == [(False, part) for part in stream]


def test_masked_and_reserved_frames_are_the_librarys_to_refuse() -> None:
    masked = FrameMaker().frame(b"data")
    reserved = bytes([0xC2]) + binary(b"data")[1:]
    for odd in (masked, reserved):
        assert list(FrameSplitter(1 << 20).feed(odd)) == [(False, odd)]
    bare = binary(b"data")
    assert list(FrameSplitter(1 << 20, masked=True).feed(bare)) == [(False, bare)]


def test_a_frame_that_announces_too_much_is_not_waited_for() -> None:
    splitter = FrameSplitter(1000)
    head = binary(b"x" * 2000)[:10]
    assert list(splitter.feed(binary(b"fits") + head)) == [(True, b"fits"), (False, head)]
    assert list(splitter.feed(b"more")) == [(False, b"more")]


def test_a_frame_that_comes_in_tiny_pieces_takes_little_more_memory_than_its_bytes() -> None:
    stream = binary(b"y" * 200_000)
    splitter, found = FrameSplitter(1 << 20), []
    tracemalloc.start()
    try:
        for start in range(0, len(stream), 2):
            found += splitter.feed(stream[start : start + 2])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [(True, b"y" * 200_000)]
    assert peak < 1_500_000
