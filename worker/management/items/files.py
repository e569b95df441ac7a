"""Files of items: fetched whole, and added to items that nobody works."""

from pathlib import Path
from typing import Final

from worker.management.errors import ConflictError, TooLargeError, ValidationError, said_by_openiap
from worker.management.items.errors import ItemFileNotFoundError, ItemNotFoundError, ItemStateError
from worker.management.items.shown import shown_text
from worker.management.items.store import ItemStore
from worker.management.items.types_of_changes import ItemFileCreatePayload, ItemFileGetPayload
from worker.openiap.client import Client
from worker.openiap.errors import FileTransferError
from worker.openiap.fields import objects_of, text_of
from worker.openiap.filenames import safe_name
from worker.openiap.workitem import PROCESSING, JsonObject

LOCAL: Final = "file"
"""What a file is called while it lies here: its own name is whoever's who pushed it."""


class ItemFiles:
    """Files of items, with the rights of a client's user.

    Args:
        most: bytes of a file that is fetched.
    """

    def __init__(self, client: Client, most: int) -> None:
        self._store = ItemStore(client)
        self._most = most

    async def get_one(self, payload: ItemFileGetPayload, folder: Path) -> tuple[str, Path]:
        """Fetch a file whole, and return its name as it was pushed and where it lies.

        Args:
            folder: an empty one.

        Raises:
            ItemNotFoundError, ItemFileNotFoundError: there is none, or none for this user.
            ConflictError: several files have this name.
            TooLargeError: it is larger than is fetched.
            RefusedError: it did not come whole.
        """
        with said_by_openiap():
            document = await self._found(payload.id)
            one = _file_of(document, payload)
            id = text_of(one.get("_id"))
            size = (await self._store.get_sizes([id])).get(id, 0)
            if size > self._most:
                raise TooLargeError(
                    f"The file has {size:,} bytes; at most {self._most:,} are fetched."
                )
            path = await self._store.client.download(id, folder, LOCAL)
        return shown_text(_name(one)), path

    async def create_one(self, payload: ItemFileCreatePayload, path: Path) -> None:
        """Add a file to an item.

        Args:
            path: the file, under the name that it is to have.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
            ItemStateError: somebody works it.
            ConflictError: it has a file of that name.
        """
        with said_by_openiap():
            document = await self._found(payload.id)
            if document.get("state") == PROCESSING:
                raise ItemStateError(
                    f"Item {payload.id} is being processed; a file now would come too late or in"
                    " the middle.",
                    {"state": PROCESSING},
                )
            there = {_name(one) for one in objects_of(document.get("files"))}
            if path.name in there:
                raise ConflictError(f"Item {payload.id} has a file {path.name} already.")
            await self._store.client.update_workitem({"_id": payload.id}, files=[path])

    async def _found(self, id: str) -> JsonObject:
        found = await self._store.get_one(id)
        if found is None:
            raise ItemNotFoundError(id)
        return found


def _name(file: JsonObject) -> str:
    return text_of(file.get("filename")) or text_of(file.get("name"))


def _file_of(document: JsonObject, payload: ItemFileGetPayload) -> JsonObject:
    """Return the file of an item that is meant, by its id, else by its name.

    Raises:
        ItemFileNotFoundError, ConflictError: there is none, or there are several.
    """
    files = objects_of(document.get("files"))
    found = [one for one in files if text_of(one.get("_id")) == payload.file]
    found = found or [one for one in files if _name(one) == payload.file]
    if not found or not payload.file:
        raise ItemFileNotFoundError(payload.id, payload.file)
    if len(found) > 1:
        raise ConflictError(
            f"Item {payload.id} has {len(found)} files of the name {payload.file}; ask by id.",
            {"ids": [text_of(one.get("_id")) for one in found]},
        )
    return found[0]


def checked_name(name: str) -> str:
    """Return a file's name, where it is one everywhere.

    Raises:
        ValidationError: it has folders in it, or is none on Linux, macOS or Windows.
    """
    try:
        if safe_name(name) == name and name.isprintable():
            return name
    except (FileTransferError, UnicodeError):
        pass
    raise ValidationError(
        f"The file name {name[:200]!a} is refused; allowed: one without folders that Linux, macOS"
        " and Windows take."
    )
