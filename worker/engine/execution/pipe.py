"""The pipe between the worker and a process handler's child: JSON in frames.

A frame is four bytes of length, big-endian, and that many bytes of UTF-8 JSON: one object with a
``type``. JSON and not pickle: what a payload holds is hostile, and must stay data on both sides.
"""

import json
import os
import struct
import threading
from collections.abc import Iterator
from typing import Any, Final

from worker.forks import Origin, blind, in_children
from worker.openiap.values import json_text

Message = dict[str, Any]

_LENGTH: Final = struct.Struct(">I")
MAX_FRAME: Final = 256 * 1024 * 1024


class PipeError(Exception):
    """What came over the pipe is no frame; somebody else wrote to it."""


def frame(message: Message) -> bytes:
    """Return the bytes of a message.

    Raises:
        TypeError, ValueError: it has no JSON form, or is larger than ``MAX_FRAME``.
    """
    body = json_text(message).encode("utf-8", "surrogatepass")
    if len(body) > MAX_FRAME:
        raise ValueError(f"{len(body)} bytes are more than the {MAX_FRAME} that fit the pipe")
    return _LENGTH.pack(len(body)) + body


def parse(body: bytes) -> Message:
    """Return the message of a frame's body.

    Raises:
        PipeError: it is not a JSON object.
    """
    try:
        message = json.loads(body.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise PipeError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise PipeError("not an object")
    return message


def _length(header: bytes) -> int:
    (length,) = _LENGTH.unpack(header)
    if length > MAX_FRAME:
        raise PipeError(f"a frame of {length} bytes")
    return int(length)


class Frames:
    """Bytes in, messages out: the worker's end, fed by its loop."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take what arrived; give the messages that are whole with it.

        Raises:
            PipeError: no frame; nothing after it can be read.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            end = _LENGTH.size + _length(bytes(buffer[: _LENGTH.size]))
            if len(buffer) < end:
                return
            body = bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
            yield parse(body)


class Channel:
    """The child's end: blocking, readable from one thread, writable from any."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._lock = threading.Lock()
        self._origin = Origin()
        in_children(self, Channel._of_a_child)

    @property
    def copied(self) -> bool:
        """Whether this is the copy of a forked child: the worker hears nothing of it."""
        return self._origin.left

    def _of_a_child(self) -> None:
        self._lock = threading.Lock()
        for descriptor in {self._read_fd, self._write_fd}:
            blind(descriptor)

    def read(self) -> Message | None:
        """Read one message; None at the end of the pipe.

        Raises:
            PipeError: no frame.
        """
        header = self._exactly(_LENGTH.size)
        if header is None:
            return None
        body = self._exactly(_length(header))
        return None if body is None else parse(body)

    def send(self, message: Message) -> None:
        """Write one message.

        Raises:
            TypeError, ValueError: it has no JSON form; nothing was written.
            OSError: the other end is gone.
        """
        rest = memoryview(frame(message))
        with self._lock:
            while rest:
                rest = rest[os.write(self._write_fd, rest) :]

    def _exactly(self, count: int) -> bytes | None:
        parts: list[bytes] = []
        while count:
            part = os.read(self._read_fd, min(count, 1 << 20))
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
