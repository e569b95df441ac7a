"""Websocket frames (RFC 6455, section 5): the common ones cut from the stream and made. Pure.

Nearly all that travels is one whole, unfragmented, binary frame per message. Those are handled here
in a few steps; whatever else a peer sends is handed over frame by frame, untouched, to a library
that knows all the rules.
"""

import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the package has no compiled part
    from websockets.utils import apply_mask

WHOLE_BINARY: Final = 0x82
_FIN: Final = 0x80
_MASKED: Final = 0x80
_OPCODE: Final = 0x0F
_DATA_OPCODES: Final = (0x0, 0x1, 0x2)
_SHORT: Final = 126
_LONG: Final = 127
_HEAD: Final = Struct("!BB")
_HEAD_16: Final = Struct("!BBH")
_HEAD_64: Final = Struct("!BBQ")
_MASKS_AT_ONCE: Final = 256
_PIECE: Final = 16 * 1024


class _Gathered:
    """Bytes of a frame that is not whole yet: put together once, and not moved at each piece.

    Few pieces, however small those are that come: each costs more memory than its bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes | bytearray] = []
        self._last = bytearray()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if not self._last and len(data) >= _PIECE:
            self._pieces.append(data)
            return
        self._last += data
        if len(self._last) >= _PIECE:
            self._pieces.append(self._last)
            self._last = bytearray()

    def take(self) -> bytes:
        """Return all of it, and be empty."""
        whole = b"".join((*self._pieces, self._last))
        self.size = 0
        self._pieces.clear()
        self._last.clear()
        return whole


class FrameSplitter:
    """Cuts a received stream at the borders of its frames.

    Args:
        max_size: bytes of payload; from a frame that announces more on, all is handed over as it
            comes.
        masked: whether the frames come from a client, which masks them.
    """

    def __init__(self, max_size: int, *, masked: bool = False) -> None:
        self.max_size = max_size
        self._masked = masked
        self._gathered = _Gathered()
        self._wanted = 0
        self._fragmented = False
        self._passing = False

    def feed(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """Add received bytes and yield what is whole now.

        Yields:
            True and the payload of a whole binary message, or False and the bytes of another frame.
        """
        gathered = self._gathered
        if gathered.size:
            gathered.add(data)
            if gathered.size < self._wanted:
                return
            data = gathered.take()
        start, size = 0, len(data)
        while start < size:
            payload, end = self._borders(data, start)
            if self._passing:
                yield False, data[start:]
                return
            if size < end:
                self._wanted = end - start
                gathered.add(data[start:])
                return
            first = data[start]
            masked = data[start + 1] >= _MASKED
            if first == WHOLE_BINARY and masked is self._masked and not self._fragmented:
                body = data[payload:end]
                yield True, apply_mask(body, data[payload - 4 : payload]) if masked else body
            else:
                if first & _OPCODE in _DATA_OPCODES:
                    self._fragmented = not first & _FIN
                yield False, data[start:end]
            start = end

    def _borders(self, data: bytes, start: int) -> tuple[int, int]:
        """Return where a frame's payload starts and ends, or how far its head goes at least."""
        if self._passing or len(data) < start + 2:
            return start, start + 2
        second = data[start + 1]
        length = second & ~_MASKED
        payload = start + 2
        if length == _SHORT:
            payload += 2
        elif length == _LONG:
            payload += 8
        if len(data) < payload:
            return start, payload
        if length >= _SHORT:
            length = int.from_bytes(data[start + 2 : payload], "big")
        if length > self.max_size:
            self._passing = True
            return start, start
        if second & _MASKED:
            payload += 4
        return payload, payload + length


class FrameMaker:
    """Makes masked binary frames, as a client has to send them.

    Masks are random, so that no peer can choose the bytes that travel (section 10.3); they are
    taken from the system in one go for many frames, since each call costs more than the frame.
    """

    def __init__(self) -> None:
        self._masks = b""
        self._next = 0

    def frame(self, payload: bytes) -> bytes:
        """Return one whole binary message."""
        if self._next >= len(self._masks):
            self._masks = os.urandom(4 * _MASKS_AT_ONCE)
            self._next = 0
        mask = self._masks[self._next : self._next + 4]
        self._next += 4
        return b"".join((_head(len(payload), _MASKED), mask, apply_mask(payload, mask)))


def unmasked_frame(payload: bytes) -> bytes:
    """Return one whole binary message as a server sends it."""
    return _head(len(payload), 0) + payload


def _head(size: int, masked: int) -> bytes:
    if size < _SHORT:
        return _HEAD.pack(WHOLE_BINARY, masked | size)
    if size < 0x10000:
        return _HEAD_16.pack(WHOLE_BINARY, masked | _SHORT, size)
    return _HEAD_64.pack(WHOLE_BINARY, masked | _LONG, size)
