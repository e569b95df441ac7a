"""Work items and their queues."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from worker.openiap.api.chained_push import ChainTargets, push_chained
from worker.openiap.api.subject import Subject
from worker.openiap.errors import AccessDenied, ServerError
from worker.openiap.fields import id_of
from worker.openiap.given import Moment, moment_of, workitem_of
from worker.openiap.large import apart, is_large
from worker.openiap.types import FileArgument, Payload
from worker.openiap.values import argument_text, checked_payload, documents_from_text, query_text
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile, WorkItemQueue


def _payload_text(payload: Payload) -> str:
    return checked_payload(argument_text(payload), operation="push_workitem")


def _as_stored(text: str) -> JsonObject:
    """Return a payload as OpenIAP stores one that is pushed (server.md, Payload)."""
    found = json.loads(text) if text else {}
    if isinstance(found, dict | list):
        return found  # type: ignore[return-value]
    return {"value": found} if found else {}


def _goes_alone(item: Workitem) -> bool:
    targets = (item.success_wiq, item.failed_wiq, item.success_wiqid, item.failed_wiqid)
    return bool(item.files) or any(targets)


class WorkitemCalls(Subject):
    """The documented calls on work items.

    Attributes:
        on_late_pop: told of an item whose pop nobody waits for any more (its deadline passed, or
            its caller was cancelled): the item is in ``processing``, and whoever is told hands it
            back. Without a callback it is logged as an error.
    """

    on_late_pop: Callable[[Workitem], None] | None = None
    _queue_ids: dict[str, str] | None = None

    async def push_workitem(
        self,
        wiq: str = "",
        payload: Payload = None,
        *,
        wiqid: str = "",
        name: str = "",
        nextrun: Moment = None,
        priority: int = 2,
        files: Sequence[FileArgument] = (),
        success_wiqid: str = "",
        failed_wiqid: str = "",
        success_wiq: str = "",
        failed_wiq: str = "",
        timeout: float | None = None,
    ) -> Workitem:
        """Add an item to a queue and return it as stored.

        Args:
            nextrun: not before: a datetime or seconds since 1970 (0: now); in whole seconds,
                rounded up, with the official client.
            success_wiq, failed_wiq, success_wiqid, failed_wiqid: where a copy goes when it is
                successful, or failed; see ``chained_push.py``.

        Raises:
            QueueNotFound: no such queue, or no rights.
            AccessDenied: chain targets, and this user may not write items as documents.
            FileTransferError: a file is missing; nothing was pushed.
            PayloadTooLarge: OpenIAP cannot carry it.
            TypeError: a priority that is no whole number.
        """
        not_before = moment_of(nextrun)
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority: {priority!r} is none; allowed: a whole number")
        text = await apart(is_large(payload), _payload_text, payload)
        if files:
            files = await self._transfer.stored(
                files,
                {"wiq": wiq, "wiqid": wiqid or await self._queue_id(wiq, timeout)},
                operation="push_workitem",
                seconds=self._seconds(timeout),
            )
        targets = ChainTargets(success_wiqid, failed_wiqid, success_wiq, failed_wiq)
        if targets:
            item = Workitem(
                name=name,
                payload=_as_stored(text),
                priority=priority,
                nextrun=not_before,
                wiq=wiq,
                wiqid=wiqid,
            )
            return await push_chained(
                targets,
                item,
                [one for one in files if isinstance(one, WorkitemFile)],
                lambda query, wanted: self._queues(query, wanted, timeout),
                lambda document: self._call(
                    "insert_one",
                    timeout,
                    collectionname="workitems",
                    item=argument_text(document),
                    w=1,
                    j=False,
                ),
            )
        pushed: Workitem = await self._call(
            "push_workitem",
            timeout,
            wiq=wiq,
            wiqid=wiqid,
            name=name,
            payload=text,
            nextrun=not_before,
            success_wiqid="",
            failed_wiqid="",
            success_wiq="",
            failed_wiq="",
            priority=priority,
            files=files,
        )
        if files:
            self._queue_ids = {**(self._queue_ids or {}), pushed.wiq: pushed.wiqid}
        return pushed

    async def _queue_id(self, wiq: str, timeout: float | None) -> str:
        """Return a queue's id, by which OpenIAP finds the files that go with it; "" if unknown.

        Asked for once: a push tells whether the queue has been made anew since.
        """
        known = (self._queue_ids or {}).get(wiq)
        if known:
            return known
        with suppress(AccessDenied, ServerError):
            query: JsonObject = {"_type": "workitemqueue", "name": wiq}
            for found in await self._queues(query, {"name": 1}, timeout):
                return id_of(found)
        return ""

    async def _queues(
        self, query: JsonObject, wanted: JsonObject, timeout: float | None
    ) -> list[JsonObject]:
        """Return the document of the queue that fits a query."""
        text = await self._call(
            "query",
            timeout,
            collectionname="mq",
            query=query_text(query),
            projection=argument_text(wanted),
            orderby="",
            queryas="",
            explain=False,
            skip=0,
            top=1,
        )
        return documents_from_text(text, operation="query")

    async def push_workitems(
        self,
        wiq: str,
        items: Sequence[Workitem],
        *,
        wiqid: str = "",
        nextrun: Moment = None,
        priority: int = 2,
        timeout: float | None = None,
    ) -> list[Workitem]:
        """Add many items in one message, in the order given.

        An item with stored files, or with queues that come after it, goes in a message of its own:
        OpenIAP drops what a bulk push would attach (openflow 1.5.10.62).

        Args:
            nextrun, priority: for items that have none of their own.

        Raises:
            Unsupported: the official library has no such call.
        """
        not_before = moment_of(nextrun)
        filled = [
            replace(item, nextrun=item.nextrun or not_before, priority=item.priority or priority)
            for item in items
        ]
        pushed: list[Workitem] = []
        for alone, group in groupby(filled, key=_goes_alone):
            if alone and self._backend.capabilities.bulk_push:
                for item in group:
                    pushed.append(await self._push_alone(wiq, wiqid, item, timeout))
                continue
            sent = list(group)
            stored = await self._call("push_workitems", timeout, wiq=wiq, wiqid=wiqid, items=sent)
            # OpenIAP answers 1970 whatever it has stored.
            pushed += [
                replace(found, nextrun=item.nextrun or found.nextrun)
                for item, found in zip(sent, stored, strict=True)
            ]
        return pushed

    async def _push_alone(
        self, wiq: str, wiqid: str, item: Workitem, timeout: float | None
    ) -> Workitem:
        return await self.push_workitem(
            wiq,
            item.payload,
            wiqid=wiqid,
            name=item.name,
            nextrun=item.nextrun,
            priority=item.priority,
            files=item.files,
            success_wiqid=item.success_wiqid,
            failed_wiqid=item.failed_wiqid,
            success_wiq=item.success_wiq,
            failed_wiq=item.failed_wiq,
            timeout=timeout,
        )

    async def pop_workitem(
        self,
        wiq: str = "",
        wiqid: str = "",
        downloadfolder: str | Path | None = None,
        *,
        timeout: float | None = None,
    ) -> Workitem | None:
        """Take the next due item, or None when there is none.

        An item once popped is always returned: a file that could not be fetched whole is logged and
        has no ``path``.

        Args:
            downloadfolder: the item's files go to a new folder in it, each whole and under a safe
                name; None leaves them on the server.
        """
        seconds = self._seconds(timeout)
        item = await self._backend.operations.pop_workitem(wiq, wiqid, seconds, self._popped_late)
        if downloadfolder is not None and item is not None and item.files:
            try:
                await self._transfer.fetch_all(item, Path(downloadfolder), seconds)
            except BaseException:
                # Cancelled: nobody gets the item that is in ``processing`` now.
                self._popped_late(item)
                raise
        return item

    async def update_workitem(
        self,
        workitem: Workitem | Mapping[str, Any],
        files: Sequence[FileArgument] = (),
        ignoremaxretries: bool = False,
        *,
        timeout: float | None = None,
    ) -> Workitem:
        """Write an item back and return it as stored.

        A dict with ``_id`` and what is to be changed will do: what it does not name (payload,
        priority, name) stays as it is stored.

        ``files``: paths are uploaded first; ``WorkitemFile(filename, id)`` attaches a stored file,
        ``WorkitemFile(filename)`` removes that file from the item. A ``nextrun`` travels only where
        ``capabilities.nextrun_on_update`` says so; elsewhere it is left out.

        Raises:
            ItemNotFound: deleted, or no rights.
            FileTransferError: a file is missing; nothing was sent.
            ValueError: a dict without an id.
        """
        workitem = workitem_of(workitem)
        if files:
            files = await self._transfer.stored(
                files,
                {"wi": workitem.id, "wiq": workitem.wiq, "wiqid": workitem.wiqid},
                operation="update_workitem",
                item_id=workitem.id,
                seconds=self._seconds(timeout),
            )
        updated: Workitem = await self._call(
            "update_workitem",
            timeout,
            workitem.id,
            workitem=workitem,
            files=files,
            ignoremaxretries=ignoremaxretries,
        )
        return updated

    async def delete_workitem(self, id: str, *, timeout: float | None = None) -> None:
        """Delete an item and its files."""
        await self._call("delete_workitem", timeout, id, id=id)

    async def add_workitem_queue(
        self, queue: WorkItemQueue, *, skiprole: bool = True, timeout: float | None = None
    ) -> WorkItemQueue:
        """Create a queue.

        Raises:
            Unsupported: the official library has no such call.
        """
        added: WorkItemQueue = await self._call(
            "add_workitem_queue", timeout, queue=queue, skiprole=skiprole
        )
        return added

    async def update_workitem_queue(
        self,
        queue: WorkItemQueue,
        *,
        skiprole: bool = True,
        purge: bool = False,
        timeout: float | None = None,
    ) -> WorkItemQueue:
        """Change a queue; ``purge`` deletes its items.

        What ``queue`` says replaces all that is stored, but for the rights: a queue without ``acl``
        keeps those that it has. OpenIAP would take them away, and then refuse the change for want
        of rights.

        Raises:
            Unsupported: the official library has no such call.
        """
        if not queue.acl and self._backend.capabilities.queue_administration:
            queue = replace(queue, acl=await self._acl_of(queue, timeout))
        updated: WorkItemQueue = await self._call(
            "update_workitem_queue", timeout, queue=queue, skiprole=skiprole, purge=purge
        )
        return updated

    async def delete_workitem_queue(
        self, wiq: str = "", *, wiqid: str = "", purge: bool = False, timeout: float | None = None
    ) -> None:
        """Delete a queue; ``purge`` deletes its items too.

        Raises:
            Unsupported: the official library has no such call.
        """
        await self._call("delete_workitem_queue", timeout, wiq=wiq, wiqid=wiqid, purge=purge)

    async def _acl_of(self, queue: WorkItemQueue, timeout: float | None) -> list[JsonObject]:
        named = {"_id": queue.id} if queue.id else {"name": queue.name}
        text = await self._call(
            "query",
            timeout,
            collectionname="mq",
            query=argument_text({"_type": "workitemqueue", **named}),
            projection=argument_text({"_acl": 1}),
            orderby="",
            queryas="",
            explain=False,
            skip=0,
            top=1,
        )
        found = documents_from_text(text, operation="update_workitem_queue")
        return list(found[0].get("_acl") or ()) if found else []

    def _popped_late(self, item: Workitem) -> None:
        if self.on_late_pop is None:
            self._report(f"work item {item.id} was popped too late: nobody waits for it any more")
            return
        try:
            self.on_late_pop(item)
        except Exception as error:  # a callback of others
            self._report(f"on_late_pop raised {error!r} for work item {item.id}")
