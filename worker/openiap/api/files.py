"""Files."""

from pathlib import Path

from worker.openiap.api.subject import Subject
from worker.openiap.file_transfer import FILES
from worker.openiap.types import JsonText
from worker.openiap.values import argument_text


class FileCalls(Subject):
    """The documented calls on files."""

    async def upload(
        self,
        filepath: str | Path,
        filename: str = "",
        mimetype: str = "",
        metadata: JsonText | None = None,
        collectionname: str = "",
        *,
        timeout: float | None = None,
    ) -> str:
        """Store a local file and return its id.

        Raises:
            FileTransferError: the local file is missing or unreadable (nothing was sent), or the
                native client was told that another length was stored.
        """
        return await self._transfer.upload(
            Path(filepath),
            filename,
            mimetype,
            argument_text(metadata),
            collectionname or FILES,
            self._seconds(timeout),
        )

    async def download(
        self,
        id: str,
        folder: str | Path = ".",
        filename: str = "",
        collectionname: str = "",
        *,
        timeout: float | None = None,
    ) -> Path:
        """Fetch a stored file whole into ``folder`` (the present one) and return its path.

        The length is compared with what is stored; the file appears under its name only when it is
        whole. ``filename`` replaces the stored name.

        Raises:
            FileTransferError: unknown file, unsafe name, or a length that is not the stored one.
        """
        return await self._transfer.download(
            id, Path(folder), filename, collectionname or FILES, self._seconds(timeout)
        )
