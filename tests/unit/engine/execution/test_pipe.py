"""The frames between the worker and a child: whole messages, or a refusal."""

import os
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.execution.pipe import MAX_FRAME, Channel, Frames, PipeError, frame

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=3), max_size=3),
    st.integers(1, 50),
)
def test_messages_arrive_whole_however_the_bytes_are_cut(
    messages: list[dict[str, object]], step: int
) -> None:
    data = b"".join(frame(message) for message in messages)
    frames = Frames()
    got = [m for at in range(0, len(data), step) for m in frames.feed(data[at : at + step])]
    assert got == messages


def test_a_surrogate_in_a_payload_survives() -> None:
    assert list(Frames().feed(frame({"text": "\ud800"}))) == [{"text": "\ud800"}]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", MAX_FRAME + 1),
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 3) + b"{x}",
        struct.pack(">I", 2) + b"\xff\xfe",
        struct.pack(">I", 60_000) + b'{"a":' * 12_000,
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(PipeError):
        list(Frames().feed(data))


def test_a_message_without_a_json_form_is_refused_before_anything_is_written() -> None:
    read_fd, write_fd = os.pipe()
    channel = Channel(read_fd, write_fd)
    for value in (object(), float("nan")):
        with pytest.raises((TypeError, ValueError)):
            channel.send({"value": value})
    channel.send({"value": 1})
    assert channel.read() == {"value": 1}
    os.close(write_fd)
    assert channel.read() is None
    os.close(read_fd)


def test_messages_of_many_threads_do_not_mix() -> None:
    read_fd, write_fd = os.pipe()
    channel = Channel(read_fd, write_fd)
    texts = [str(n) * 20_000 for n in range(8)]
    threads = [threading.Thread(target=channel.send, args=({"text": t},)) for t in texts]
    for thread in threads:
        thread.start()
    got = []
    for _ in texts:
        message = channel.read()
        assert message is not None
        got.append(message["text"])
    for thread in threads:
        thread.join(60)
    assert sorted(got) == sorted(texts)
    os.close(read_fd)
    os.close(write_fd)
