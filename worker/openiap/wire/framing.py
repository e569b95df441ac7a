"""Framing of envelopes on a websocket: a byte stream of 4-byte little-endian lengths and bodies.

One websocket message may hold a part of a frame, one frame or several (older clients send length
and body apart), so the reader is a stream decoder and knows nothing of message borders.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from worker.openiap.wire.envelope import WireError

LENGTH: Final = Struct("<I")
MAX_FRAME: Final = 64 * 1024 * 1024


def frame(body: bytes) -> bytes:
    """Return ``body`` with its length in front."""
    return LENGTH.pack(len(body)) + body


class FrameReader:
    """Collects bytes as they come and gives back whole frames."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self.max_frame = max_frame

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add received bytes and yield the body of every frame that is whole now.

        Nearly always a message holds exactly whole frames, so those are cut out of it as it is;
        only a rest goes to the buffer.

        Args:
            data: the payload of one websocket message.

        Raises:
            WireError: a frame announces more than ``max_frame`` bytes: not this protocol.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._wanted():
                return
            data = bytes(buffer)
            buffer.clear()
        start = 0
        size = len(data)
        try:
            while size - start >= LENGTH.size:
                (length,) = LENGTH.unpack_from(data, start)
                if length > self.max_frame:
                    raise self._refusal(length)
                end = start + LENGTH.size + length
                if size < end:
                    break
                body = data[start + LENGTH.size : end]
                start = end
                yield body
        finally:
            if start < size:
                buffer += data[start:]

    def _wanted(self) -> int:
        """Return how many bytes the buffer needs before a frame can be whole."""
        if len(self._buffer) < LENGTH.size:
            return LENGTH.size
        (length,) = LENGTH.unpack_from(self._buffer)
        if length > self.max_frame:
            raise self._refusal(length)
        return int(LENGTH.size + length)

    def _refusal(self, length: int) -> WireError:
        return WireError(f"a frame of {length} bytes, more than the {self.max_frame} allowed")
