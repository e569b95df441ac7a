"""An item's files as a handler sees them: those that came along, and those that it attaches."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from worker.openiap.workitem import WorkitemFile

SHOWN: Final = 20


def shown_names(names: Collection[str]) -> str:
    """Return the names of files for an error, of very many the first ones."""
    shown = ", ".join(sorted(names)[:SHOWN]) or "none"
    more = len(names) - SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


class Attachment:
    """A file that the handler declared as an output: its name and the worker's own copy of it."""

    __slots__ = ("name", "path")

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path


class FileSource(Protocol):
    """Where the files lie that came along."""

    async def fetch(self, file: WorkitemFile) -> Path:
        """Download a file whole into the item's own folder (once) and return its path."""

    async def size(self, file: WorkitemFile) -> int:
        """Return the stored length in bytes without downloading."""


class ItemFiles(FileSource, Protocol):
    """What an item needs of the world for its files; the runner provides it."""

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        """Copy an output to where it outlives the handler and this process."""


class InputFile:
    """A file of the item; nothing is downloaded before it is asked for."""

    def __init__(self, file: WorkitemFile, files: FileSource) -> None:
        self._file = file
        self._files = files

    @property
    def name(self) -> str:
        """The file's base name, as the server gives it."""
        return self._file.filename

    @property
    def id(self) -> str:
        """The stored file's id in ``fs.files``."""
        return self._file.id

    async def size(self) -> int:
        """Return the stored length in bytes."""
        return await self._files.size(self._file)

    async def path(self) -> Path:
        """Download the file, whole, and return where it is; gone when the item is finished.

        Raises:
            FileTransferError: it did not arrive whole, or its name is not safe.
            StateError: the worker's disk does not take it; see ``Item.attach``.
        """
        return await self._files.fetch(self._file)

    async def read_bytes(self) -> bytes:
        """Download the file and return its content."""
        path = await self.path()
        return await asyncio.to_thread(path.read_bytes)

    async def read_text(self, encoding: str = "utf-8") -> str:
        """Download the file and return its content as text."""
        path = await self.path()
        return await asyncio.to_thread(path.read_text, encoding)


class InputFiles(Mapping[str, InputFile]):
    """The item's files by name."""

    def __init__(self, files: Mapping[str, InputFile]) -> None:
        self._by_name = dict(files)

    def __getitem__(self, name: str) -> InputFile:
        try:
            return self._by_name[name]
        except KeyError:
            names = shown_names(self._by_name)
            raise KeyError(f"the item has no file {name!r}; it has: {names}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)
