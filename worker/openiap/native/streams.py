"""Files between the disk and a connection, with a bounded part of them in memory.

What arrives faster than the disk takes it stops the reading from the connection; what is sent waits
until the connection has taken what went before.
"""

import asyncio
from collections import deque
from pathlib import Path
from typing import Final

from worker.openiap.errors import LocalFileError, OpenIAPError
from worker.openiap.native.scope import Scope
from worker.openiap.native.session import Session
from worker.openiap.wire import openiap_pb2 as pb

CHUNK: Final = 1024 * 1024
MOST_WAITING: Final = 2 * CHUNK
"""Bytes that wait for the disk before the connection is no longer read."""


class FileInflow:
    """Takes the parts of one download and writes them to a file; an ``Inflow``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        # Nobody writes any more: what still comes is dropped, or it would stop the link for good.
        self._left = False
        self._error: OpenIAPError | None = None
        self._news = asyncio.Event()

    def part(self, data: bytes) -> None:
        """Take a part; too many that wait for the disk stop the reading."""
        if self._left:
            return
        self._parts.append(data)
        self._waiting += len(data)
        if self._waiting > MOST_WAITING:
            self._session.congest(self)
        self._news.set()

    def end(self, error: OpenIAPError | None) -> None:
        """Nothing more comes; ``error`` says why when it broke off."""
        self._ended = True
        self._error = self._error or error
        self._news.set()

    async def write_to(self, path: Path) -> int:
        """Write what comes to a new file until the stream ends; returns its length in bytes.

        Raises:
            OpenIAPError: the stream broke off.
            OSError: the disk refused.
        """
        length = 0
        try:
            # On the loop: cancelled in a thread, it would make the file after it was cleared away.
            with path.open("xb") as file:
                while True:
                    if self._error is not None:
                        raise self._error
                    if self._parts:
                        parts = list(self._parts)
                        self._parts.clear()
                        await asyncio.to_thread(file.writelines, parts)
                        written = sum(len(part) for part in parts)
                        parts.clear()
                        length += written
                        self._waiting -= written
                        if self._waiting <= MOST_WAITING:
                            self._session.relieve(self)
                    elif self._ended:
                        return length
                    else:
                        self._news.clear()
                        await self._news.wait()
        finally:
            self._left = True
            self._parts.clear()
            self._session.relieve(self)


async def send_file(
    session: Session,
    rid: str,
    path: Path,
    reply: "asyncio.Future[pb.UploadResponse]",
    scope: Scope | None,
) -> int:
    """Stream a local file as the body of the upload request ``rid``; returns its length.

    It ends early when the reply is there: the server has refused the file, or the link is down.

    Raises:
        LocalFileError: the file cannot be read.
    """
    length = 0
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            session.send_part("beginstream", pb.BeginStream(), rid, scope)
            while not reply.done():
                chunk = await asyncio.to_thread(file.read, CHUNK)
                if not chunk:
                    session.send_part("endstream", pb.EndStream(), rid, scope)
                    break
                length += len(chunk)
                session.send_part("stream", pb.Stream(data=chunk), rid, scope)
                await session.drain()
    except OSError as error:
        # The stream is left open: an end would make the server keep a part as the whole file.
        raise LocalFileError(
            f"the local file {path} cannot be read: {error.strerror or error}", operation="upload"
        ) from None
    return length
