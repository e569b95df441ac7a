"""Work items through the official library.

A pop downloads the item's files by itself, under the names that the server gives, with no check of
the name or the length. It is pointed at a folder in which nothing can be made, and the files are
fetched by ``download`` afterwards, when they are asked for.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from ctypes import pointer
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.openiap.errors import OpenIAPError, Unsupported
from worker.openiap.filenames import safe_name
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.files import OfficialFiles, now_seconds
from worker.openiap.official.items import attach_files, encoded_workitem, native_text
from worker.openiap.official.platform import INSTEAD, no_such_folder, scratch_files
from worker.openiap.part_file import discard
from worker.openiap.types import FileArgument, Payload
from worker.openiap.values import argument_text, checked_payload
from worker.openiap.workitem import Workitem, WorkItemQueue

LatePop = Callable[[Workitem], None]


class OfficialWorkitems(OfficialFiles):
    """The documented calls on work items; see ``worker.openiap.client.Client``.

    Attributes:
        on_late_pop: told of an item whose pop nobody waits for any more (the deadline had passed,
            or the caller was cancelled). The item is in ``processing``; whoever is told hands it
            back. Without a callback it is logged as an error.
    """

    on_late_pop: LatePop | None = None

    async def push_workitem(
        self,
        wiq: str = "",
        payload: Payload = None,
        *,
        wiqid: str = "",
        name: str = "",
        nextrun: datetime | None = None,
        priority: int = 2,
        files: Sequence[FileArgument] = (),
        success_wiqid: str = "",
        failed_wiqid: str = "",
        success_wiq: str = "",
        failed_wiq: str = "",
        timeout: float | None = None,
    ) -> Workitem:
        """Add an item to a queue and return it as stored; ``nextrun`` travels in whole seconds.

        Raises:
            QueueNotFound: no such queue, or no rights.
            FileTransferError: a file is missing; nothing was pushed.
        """
        request = abi.PushRequest(
            wiq=native_text(wiq),
            wiqid=native_text(wiqid),
            name=native_text(name),
            payload=native_text(checked_payload(argument_text(payload), operation="push_workitem")),
            nextrun=_seconds_up(nextrun),
            success_wiqid=native_text(success_wiqid),
            failed_wiqid=native_text(failed_wiqid),
            success_wiq=native_text(success_wiq),
            failed_wiq=native_text(failed_wiq),
            priority=priority,
        )
        if files:
            metadata = {"wiq": wiq, "wiqid": wiqid}
            stored = await self._stored_files(
                files, metadata, operation="push_workitem", timeout=timeout
            )
            attach_files(request, stored)
        pushed: Workitem = await self._call(
            functions.PUSH_WORKITEM, request, operation="push_workitem", timeout=timeout
        )
        return pushed

    async def push_workitems(
        self,
        wiq: str,
        items: Sequence[Workitem],
        *,
        wiqid: str = "",
        nextrun: datetime | None = None,
        priority: int = 2,
        timeout: float | None = None,
    ) -> list[Workitem]:
        """Refuse: the library has no such call.

        Raises:
            Unsupported: always.
        """
        raise _unsupported("push_workitems", "pushes in bulk")

    async def pop_workitem(
        self,
        wiq: str = "",
        *,
        wiqid: str = "",
        downloadfolder: str | Path | None = None,
        timeout: float | None = None,
    ) -> Workitem | None:
        """Take the next due item, or None when there is none.

        An item once popped is always returned: a file that could not be fetched whole is logged and
        has no ``path``.

        Args:
            downloadfolder: the item's files go to a new folder in it, each whole and under a safe
                name; None leaves them on the server.
        """
        request = abi.PopRequest(wiq=native_text(wiq), wiqid=native_text(wiqid))
        began = now_seconds()
        item: Workitem | None = await self._call(
            functions.POP_WORKITEM,
            request,
            native_text(no_such_folder()),
            operation="pop_workitem",
            timeout=timeout,
            late=self._popped_late,
        )
        if item is None or not item.files:
            return item
        for path in scratch_files(began, now_seconds()):
            discard(path)
        if downloadfolder is not None:
            try:
                await self._fetch_files(item, Path(downloadfolder), timeout)
            except BaseException:
                # Cancelled: nobody gets the item that is in ``processing`` now.
                self._popped_late(item)
                raise
        return item

    async def update_workitem(
        self,
        workitem: Workitem,
        files: Sequence[FileArgument] = (),
        ignoremaxretries: bool = False,
        *,
        timeout: float | None = None,
    ) -> Workitem:
        """Write an item back and return it as stored; its ``nextrun`` is left out, always.

        Raises:
            ItemNotFound: deleted, or no rights.
            FileTransferError: a file is missing; nothing was sent.
        """
        native = encoded_workitem(workitem)
        request = abi.UpdateRequest(workitem=pointer(native), ignoremaxretries=ignoremaxretries)
        if files:
            metadata = {"wi": workitem.id, "wiq": workitem.wiq, "wiqid": workitem.wiqid}
            stored = await self._stored_files(
                files,
                metadata,
                operation="update_workitem",
                item_id=workitem.id,
                timeout=timeout,
            )
            attach_files(request, stored)
        updated: Workitem = await self._call(
            functions.UPDATE_WORKITEM,
            request,
            operation="update_workitem",
            timeout=timeout,
            item_id=workitem.id,
        )
        return updated

    async def delete_workitem(self, id: str, *, timeout: float | None = None) -> None:
        """Delete an item and its files."""
        request = abi.DeleteRequest(id=native_text(id))
        await self._call(
            functions.DELETE_WORKITEM,
            request,
            operation="delete_workitem",
            timeout=timeout,
            item_id=id,
        )

    async def add_workitem_queue(
        self, queue: WorkItemQueue, *, skiprole: bool = True, timeout: float | None = None
    ) -> WorkItemQueue:
        """Refuse: the library has no such call.

        Raises:
            Unsupported: always.
        """
        raise _unsupported("add_workitem_queue", "administrates queues")

    async def update_workitem_queue(
        self,
        queue: WorkItemQueue,
        *,
        skiprole: bool = True,
        purge: bool = False,
        timeout: float | None = None,
    ) -> WorkItemQueue:
        """Refuse: the library has no such call.

        Raises:
            Unsupported: always.
        """
        raise _unsupported("update_workitem_queue", "administrates queues")

    async def delete_workitem_queue(
        self, wiq: str = "", *, wiqid: str = "", purge: bool = False, timeout: float | None = None
    ) -> None:
        """Refuse: the library has no such call.

        Raises:
            Unsupported: always.
        """
        raise _unsupported("delete_workitem_queue", "administrates queues")

    async def _fetch_files(self, item: Workitem, parent: Path, timeout: float | None) -> None:
        try:
            folder = await asyncio.to_thread(_own_folder, parent)
        except OSError as error:
            self.error(f"no folder for the files of work item {item.id}: {error.strerror or error}")
            return
        taken: set[str] = set()
        for file in item.files:
            try:
                name = safe_name(file.filename, operation="pop_workitem", item_id=item.id)
                if name.casefold() in taken:
                    self.error(f"work item {item.id} has two files that come down to {name!r}")
                    continue
                file.path = await self.download(file.id, folder, name, timeout=timeout)
                taken.add(name.casefold())
            except OpenIAPError as error:
                self.error(f"a file of work item {item.id} could not be fetched: {error}")
        if not taken:
            await asyncio.to_thread(shutil.rmtree, folder, True)

    def _popped_late(self, item: Any) -> None:
        if not isinstance(item, Workitem):
            return
        if self.on_late_pop is None:
            self.error(f"work item {item.id} was popped too late: nobody waits for it any more")
            return
        try:
            self.on_late_pop(item)
        except Exception as error:
            self.error(f"on_late_pop raised {error!r} for work item {item.id}")


def _own_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="item-", dir=parent))


def _seconds_up(moment: datetime | None) -> int:
    """Return whole seconds since 1970, rounded up: an item is never due before its time."""
    if moment is None:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(1, -int(-aware.timestamp() // 1))


def _unsupported(operation: str, what: str) -> Unsupported:
    return Unsupported(f"the official library never {what}: {INSTEAD}", operation=operation)
