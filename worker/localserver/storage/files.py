"""Stored files: documents in ``fs.files`` and their contents in chunks of 255 KiB.

A file is written chunk by chunk as it arrives and read chunk by chunk as it leaves, so its size
costs no memory.
"""

from collections.abc import Iterator
from typing import Any, Final

from worker.localserver.storage import json_text
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.store import Store
from worker.localserver.storage.user import User, created_by

COLLECTION: Final = "fs.files"
CHUNK: Final = 261_120


def base_name(name: str) -> str:
    """Return the last part of a path of either kind; OpenIAP stores base names."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


class Upload:
    """One file on its way in; nothing of it is visible before ``Files.finish``."""

    def __init__(self, store: Store, filename: str, mimetype: str, metadata: dict[str, Any]):
        self.id = new_id()
        self.filename = filename
        self.mimetype = mimetype
        self.metadata = metadata
        self.length = 0
        self.chunks = 0
        self._store = store
        self._rest = bytearray()

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._rest += data
        self.length += len(data)
        while len(self._rest) >= CHUNK:
            self._write(bytes(self._rest[:CHUNK]))
            del self._rest[:CHUNK]

    def end(self) -> None:
        """Write what is left over."""
        if self._rest:
            self._write(bytes(self._rest))
            self._rest.clear()

    def _write(self, data: bytes) -> None:
        self._store.write(
            "INSERT INTO chunks (file, n, data) VALUES (?, ?, ?)", (self.id, self.chunks, data)
        )
        self.chunks += 1


class Files:
    """Keeps files."""

    def __init__(self, store: Store, documents: DocumentTable) -> None:
        self._store = store
        self._documents = documents

    def begin(self, filename: str, mimetype: str, metadata: str) -> Upload:
        """Start to take a file.

        Args:
            filename: as the client calls it; only the base name is kept.
            mimetype: what the client says it is.
            metadata: JSON text of an object, or "".

        Raises:
            RefusedError: no name, or metadata that is no JSON object.
        """
        name = base_name(filename)
        if not name:
            raise RefusedError("Filename is mandatory")
        parsed = json_text.parse(metadata) if metadata else {}
        if not isinstance(parsed, dict):
            raise RefusedError("metadata must be a JSON object")
        return Upload(self._store, name, mimetype or "application/octet-stream", parsed)

    def finish(self, upload: Upload, user: User, now: int) -> dict[str, Any]:
        """Make an uploaded file visible and return its document."""
        upload.end()
        document = {
            "_id": upload.id,
            "_type": "file",
            "name": upload.filename,
            "filename": upload.filename,
            "length": upload.length,
            "chunkSize": CHUNK,
            "uploadDate": json_text.write_date(now),
            "contentType": upload.mimetype,
            "metadata": {**upload.metadata, **created_by(user, now)},
        }
        self._documents.insert(COLLECTION, document)
        return document

    def drop(self, upload: Upload) -> None:
        """Forget a file that never arrived whole."""
        self._store.write("DELETE FROM chunks WHERE file = ?", (upload.id,))

    def drop_leftovers(self) -> None:
        """Forget the contents of uploads that a killed server did not finish."""
        self._store.write(
            "DELETE FROM chunks WHERE file NOT IN (SELECT id FROM documents WHERE collection = ?)",
            (COLLECTION,),
        )

    def add(
        self, filename: str, data: bytes, metadata: dict[str, Any], user: User, now: int
    ) -> str:
        """Store a file whose contents are here, and return its id."""
        upload = Upload(self._store, base_name(filename), "application/octet-stream", metadata)
        upload.add(data)
        return str(self.finish(upload, user, now)["_id"])

    def copy(self, file_id: str, metadata: dict[str, Any]) -> str | None:
        """Store a second copy of a file and return its id; None where there is no such file."""
        document = self._documents.get(COLLECTION, file_id)
        if document is None:
            return None
        copied = {**document, "_id": new_id(), "metadata": metadata}
        self._store.write(
            "INSERT INTO chunks (file, n, data) SELECT ?, n, data FROM chunks WHERE file = ?",
            (copied["_id"], file_id),
        )
        self._documents.insert(COLLECTION, copied)
        return str(copied["_id"])

    def delete(self, file_id: str) -> bool:
        """Remove a file and say whether there was one."""
        self._store.write("DELETE FROM chunks WHERE file = ?", (file_id,))
        return self._documents.delete(COLLECTION, file_id)

    def delete_of(self, key: str, value: str) -> None:
        """Remove the files whose metadata have this value: ``wi`` an item's, ``wiqid`` a queue's.

        Args:
            key: written by this package.
            value: the item's or the queue's id.
        """
        found = self._store.rows(
            "SELECT id FROM documents WHERE collection = 'fs.files'"  # noqa: S608 (see key)
            f" AND json_extract(body, '$.metadata.{key}') = ?",
            (value,),
        )
        for (file_id,) in list(found):
            self.delete(str(file_id))

    def find(self, file_id: str, filename: str = "") -> dict[str, Any]:
        """Return the document of a file by id, else the newest of this name.

        Raises:
            RefusedError: neither given, or no such file.
        """
        if not file_id and not filename:
            raise RefusedError("id or filename is mandatory")
        found = self._documents.get(COLLECTION, file_id) if file_id else None
        if not file_id:
            for document in self._documents.all(COLLECTION):
                if filename in (document.get("filename"), document["_id"]):
                    found = document
        if found is None:
            raise RefusedError(f"File {file_id or filename} not found")
        return found

    def chunk(self, file_id: str, number: int) -> bytes | None:
        """Return one chunk of a file's contents, None behind the last."""
        found = self._store.row(
            "SELECT data FROM chunks WHERE file = ? AND n = ?", (file_id, number)
        )
        return bytes(found[0]) if found else None

    def contents(self, file_id: str) -> Iterator[bytes]:
        """Yield the contents of a file, chunk by chunk."""
        number = 0
        while (data := self.chunk(file_id, number)) is not None:
            yield data
            number += 1
