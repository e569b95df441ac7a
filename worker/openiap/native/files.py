"""Stored files over the protocol's streams, and over HTTP where a stream comes short."""

import asyncio
from pathlib import Path
from typing import Any, Final

from worker.openiap.errors import FileTransferError, RequestTimeout
from worker.openiap.native.link import Link
from worker.openiap.native.operations import Operations
from worker.openiap.native.scope import current_scope
from worker.openiap.native.streams import FileInflow, send_file
from worker.openiap.values import json_text, objects_from_text
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text

_MOST_TOLD: Final = 2**31
"""Lengths from here on do not fit the protocol's ``bytes`` field."""


class Files:
    """Stored files of one client; a ``FileBackend``."""

    def __init__(self, link: Link, operations: Operations) -> None:
        self._link = link
        self._operations = operations

    async def upload(
        self,
        path: Path,
        filename: str,
        mimetype: str,
        metadata: str,
        collectionname: str,
        seconds: float,
    ) -> str:
        """Store a local file and return its id.

        Raises:
            FileTransferError: the server stored another length.
        """
        request = pb.UploadRequest(
            filename=wire_text(filename),
            mimetype=mimetype,
            metadata=wire_text(metadata),
            collectionname=collectionname,
        )
        session = self._link.session_for("upload")
        scope = current_scope(self._link)
        rid, reply = session.open("upload", "upload", request, pb.UploadResponse, seconds, scope)
        try:
            async with asyncio.timeout(seconds):
                length = await send_file(session, rid, path, reply, scope)
                stored = await reply
                await self._check_stored(stored, length, collectionname, seconds)
        except TimeoutError:
            raise RequestTimeout(f"not stored within {seconds:g} s", operation="upload") from None
        finally:
            _settle(reply)
        return stored.id

    async def _check_stored(
        self, stored: pb.UploadResponse, length: int, collectionname: str, seconds: float
    ) -> None:
        found: object = stored.bytes
        if length >= _MOST_TOLD or (length and not stored.bytes):
            fields = {
                "collectionname": collectionname,
                "query": json_text({"_id": stored.id}),
                "projection": '{"length":1}',
                "top": 1,
            }
            text = await self._operations.call("query", seconds, "", fields)
            (document,) = objects_from_text(text, operation="upload") or [{}]
            found = document.get("length")
        if found != length:
            raise FileTransferError(
                f"the server stored {found} of {length} bytes as {stored.id}", operation="upload"
            )

    async def fetch(
        self, id: str, part: Path, length: int, collectionname: str, seconds: float
    ) -> None:
        """Write a stored file to ``part``: streamed, and once more over HTTP if it comes short."""
        if await self._streamed(id, part, collectionname, seconds) == length:
            return
        # Here and not above: its HTTP client would be a part of every start (download.py).
        from worker.openiap.download import Download

        link = self._link
        download = Download(link.web, link.verify)
        try:
            await download.fetch_signed_in(id, part, link.token, lambda: link.fresh_token(seconds))
        finally:
            await download.close()

    async def _streamed(self, id: str, part: Path, collectionname: str, seconds: float) -> int:
        session = self._link.session_for("download")
        inflow = FileInflow(session)
        reply = session.request(
            "download",
            "download",
            pb.DownloadRequest(id=id, collectionname=collectionname),
            pb.DownloadResponse,
            seconds,
            scope=current_scope(self._link),
            inflow=inflow,
        )
        try:
            length = await inflow.write_to(part)
            await reply
        finally:
            _settle(reply)
        return length

    def removal_problem(self, filename: str) -> str:
        """Nothing stands in the way of removing a file from an item."""
        return ""

    async def close(self) -> None:
        """Nothing is kept open."""


def _settle(reply: "asyncio.Future[Any]") -> None:
    """Leave a reply that may not have been awaited: nobody asks for its error any more."""
    if not reply.cancel() and not reply.cancelled():
        reply.exception()
