"""The documented calls on work items and their queues."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from worker.openiap.errors import OpenIAPError
from worker.openiap.filenames import safe_name
from worker.openiap.native.collections import json_argument
from worker.openiap.native.files import FileCalls
from worker.openiap.types import FileArgument, Payload
from worker.openiap.values import checked_payload
from worker.openiap.wire import messages
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text
from worker.openiap.workitem import Workitem, WorkItemQueue


class WorkitemCalls(FileCalls):
    """See ``worker.openiap.client.Client`` for each.

    Attributes:
        on_late_pop: told of an item whose pop nobody waits for any more (the deadline had passed,
            or the caller was cancelled). The item is in ``processing``; whoever is told hands it
            back. Without a callback it is logged as an error.
    """

    on_late_pop: Callable[[Workitem], None] | None = None

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
        """Add an item to a queue and return it as stored.

        Raises:
            QueueNotFound: no such queue, or no rights.
            FileTransferError: a file is missing; nothing was pushed.
        """
        request = pb.PushWorkitemRequest(
            wiq=wire_text(wiq),
            wiqid=wiqid,
            name=wire_text(name),
            payload=checked_payload(json_argument(payload), operation="push_workitem"),
            nextrun=None if nextrun is None else messages.timestamp(nextrun),
            success_wiqid=success_wiqid,
            failed_wiqid=failed_wiqid,
            success_wiq=wire_text(success_wiq),
            failed_wiq=wire_text(failed_wiq),
            priority=priority,
        )
        if files:
            stored = await self._stored_files(
                files, {"wiq": wiq, "wiqid": wiqid}, operation="push_workitem", timeout=timeout
            )
            request.files.extend(messages.file_messages(stored))
        reply = await self._call(
            "push_workitem", "pushworkitem", request, pb.PushWorkitemResponse, timeout
        )
        return messages.workitem(reply.workitem)

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
        """Add many items in one message; each one's stored files go along with it."""
        request = pb.PushWorkitemsRequest(
            wiq=wire_text(wiq),
            wiqid=wiqid,
            nextrun=None if nextrun is None else messages.timestamp(nextrun),
            priority=priority,
        )
        for item in items:
            message = messages.workitem_message(item)
            message.files.extend(messages.file_messages(item.files))
            request.items.append(message)
        reply = await self._call(
            "push_workitems", "pushworkitems", request, pb.PushWorkitemsResponse, timeout
        )
        return [messages.workitem(found) for found in reply.workitems]

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
        future = self._call(
            "pop_workitem",
            "popworkitem",
            pb.PopWorkitemRequest(wiq=wire_text(wiq), wiqid=wiqid),
            pb.PopWorkitemResponse,
            timeout,
            on_late=self._popped_late,
        )
        try:
            reply = await future
        except asyncio.CancelledError:
            # The answer may be here already, with the caller cancelled before it could look.
            if not future.cancelled() and future.exception() is None:
                self._popped_late(future.result())
            raise
        if not reply.HasField("workitem"):
            return None
        item = messages.workitem(reply.workitem)
        if downloadfolder is not None and item.files:
            try:
                await self._fetch_files(item, Path(downloadfolder), timeout)
            except BaseException:
                self._popped_late(reply)
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
        """Write an item back, with its ``nextrun``, and return it as stored.

        Raises:
            ItemNotFound: deleted, or no rights.
            FileTransferError: a file is missing; nothing was sent.
        """
        request = pb.UpdateWorkitemRequest(
            workitem=messages.workitem_message(workitem), ignoremaxretries=ignoremaxretries
        )
        if files:
            stored = await self._stored_files(
                files,
                {"wi": workitem.id, "wiq": workitem.wiq, "wiqid": workitem.wiqid},
                operation="update_workitem",
                item_id=workitem.id,
                timeout=timeout,
            )
            request.files.extend(messages.file_messages(stored))
        reply = await self._call(
            "update_workitem",
            "updateworkitem",
            request,
            pb.UpdateWorkitemResponse,
            timeout,
            workitem.id,
        )
        return messages.workitem(reply.workitem)

    async def delete_workitem(self, id: str, *, timeout: float | None = None) -> None:
        """Delete an item and its files."""
        await self._call(
            "delete_workitem",
            "deleteworkitem",
            pb.DeleteWorkitemRequest(_id=id),
            pb.DeleteWorkitemResponse,
            timeout,
            id,
        )

    async def add_workitem_queue(
        self, queue: WorkItemQueue, *, skiprole: bool = True, timeout: float | None = None
    ) -> WorkItemQueue:
        """Create a queue."""
        reply = await self._call(
            "add_workitem_queue",
            "addworkitemqueue",
            pb.AddWorkItemQueueRequest(
                workitemqueue=messages.queue_message(queue), skiprole=skiprole
            ),
            pb.AddWorkItemQueueResponse,
            timeout,
        )
        return messages.queue(reply.workitemqueue)

    async def update_workitem_queue(
        self,
        queue: WorkItemQueue,
        *,
        skiprole: bool = True,
        purge: bool = False,
        timeout: float | None = None,
    ) -> WorkItemQueue:
        """Change a queue; ``purge`` deletes its items."""
        reply = await self._call(
            "update_workitem_queue",
            "updateworkitemqueue",
            pb.UpdateWorkItemQueueRequest(
                workitemqueue=messages.queue_message(queue), skiprole=skiprole, purge=purge
            ),
            pb.UpdateWorkItemQueueResponse,
            timeout,
        )
        return messages.queue(reply.workitemqueue)

    async def delete_workitem_queue(
        self, wiq: str = "", *, wiqid: str = "", purge: bool = False, timeout: float | None = None
    ) -> None:
        """Delete a queue; ``purge`` deletes its items too."""
        await self._call(
            "delete_workitem_queue",
            "deleteworkitemqueue",
            pb.DeleteWorkItemQueueRequest(wiq=wire_text(wiq), wiqid=wiqid, purge=purge),
            pb.DeleteWorkItemQueueResponse,
            timeout,
        )

    async def _fetch_files(self, item: Workitem, parent: Path, timeout: float | None) -> None:
        try:
            folder = await asyncio.to_thread(_own_folder, parent)
        except OSError as error:
            self._report(
                f"no folder for the files of work item {item.id}: {error.strerror or error}"
            )
            return
        taken: set[str] = set()
        for file in item.files:
            try:
                name = safe_name(file.filename, operation="pop_workitem", item_id=item.id)
                if name.casefold() in taken:
                    self._report(f"work item {item.id} has two files that come down to {name!r}")
                    continue
                file.path = await self.download(file.id, folder, name, timeout=timeout)
                taken.add(name.casefold())
            except OpenIAPError as error:
                self._report(f"a file of work item {item.id} could not be fetched: {error}")
        if not taken:
            await asyncio.to_thread(shutil.rmtree, folder, True)

    def _popped_late(self, reply: pb.PopWorkitemResponse) -> None:
        if not reply.HasField("workitem"):
            return
        item = messages.workitem(reply.workitem)
        if self.on_late_pop is None:
            self._report(f"work item {item.id} was popped too late: nobody waits for it any more")
            return
        try:
            self.on_late_pop(item)
        except Exception as error:  # a callback of others
            self._report(f"on_late_pop raised {error!r} for work item {item.id}")


def _own_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="item-", dir=parent))
