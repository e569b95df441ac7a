"""Routes of items: ``/api/v1/items``."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Query, Request, Response, status
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from worker.management.api.access import (
    Caller,
    Changing,
    ChangingUnlessDry,
    DryRun,
    SignedIn,
    one_transfer,
)
from worker.management.api.jobs import JobResponse
from worker.management.api.problems import ALWAYS, CONFLICT, MISSING, AsciiJson
from worker.management.errors import TooLargeError, said_by_openiap
from worker.management.items.asked import BatchAsked, ItemsAsked, ItemsPageAsked
from worker.management.items.cancelling import (
    CancelAsked,
    ItemCancelledResponse,
    ItemCancelPayload,
)
from worker.management.items.files import ItemFiles, checked_name
from worker.management.items.service import Items
from worker.management.items.signalling import (
    ItemSignalledResponse,
    ItemSignalPayload,
    SignalAsked,
)
from worker.management.items.timeline import ItemHistoryResponse
from worker.management.items.types import (
    MOST_TEXT,
    BatchPreviewResponse,
    ErrorGroupResponse,
    ItemDeletePayload,
    ItemDetailResponse,
    ItemGetHistoryPayload,
    ItemGetPayload,
    ItemResponse,
    ItemRetryPayload,
    ItemsGetCountPayload,
    ItemsGetGroupsPayload,
)
from worker.management.items.types_of_changes import (
    ItemCreatedResponse,
    ItemCreatePayload,
    ItemFileCreatePayload,
    ItemFileGetPayload,
    ItemMovePayload,
    ItemsCreateBatchPayload,
    ItemsCreateBatchResponse,
    ItemUpdatePayload,
)
from worker.management.paging import PaginatedResponse
from worker.openiap.filenames import MAX_NAME

BINARY: Final = "application/octet-stream"
router = APIRouter(
    prefix="/items", tags=["items"], redirect_slashes=False, responses={**ALWAYS, **MISSING}
)

Id = Annotated[
    str,
    InPath(
        max_length=MOST_TEXT, description="The item's id.", examples=["65f2c1d4a0b1c2d3e4f50617"]
    ),
]


class CountResponse(BaseModel):
    """How many there are."""

    count: int


class RetryAsked(BaseModel):
    """How an item is tried again; ``force``: although somebody may be working it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"force": False}]})

    force: bool = False


class MoveAsked(BaseModel):
    """Where an item goes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to": "orders"}]})

    to: str = Field(min_length=1, max_length=MOST_TEXT)


class ChangeAsked(BaseModel):
    """One of both: another priority, or a JSON Merge Patch (RFC 7396) for the payload."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"priority": 1}, {"patch": {"customer": "acme", "draft": None}}]
        },
    )

    priority: int | None = Field(default=None, ge=-1_000_000, le=1_000_000)
    patch: dict[str, Any] | None = None


def items_of(caller: SignedIn) -> Items:
    """Return the service, with the rights of who asks."""
    api = caller.api
    return Items(
        caller.client,
        contracts=api.contracts,
        history=api.settings.history,
        namespace=api.settings.namespace,
    )


Service = Annotated[Items, Depends(items_of)]


@router.get("")
async def get_plist(
    asked: Annotated[ItemsPageAsked, Query()], items: Service
) -> PaginatedResponse[ItemResponse]:
    """List items: one page, and how many there are on all."""
    return await items.get_plist(asked.page())


@router.get("/count")
async def get_count(asked: Annotated[ItemsAsked, Query()], items: Service) -> CountResponse:
    """Count items."""
    return CountResponse(count=await items.get_count(ItemsGetCountPayload(filter=asked.filter())))


@router.get("/errors")
async def get_groups(
    asked: Annotated[ItemsAsked, Query()], items: Service
) -> list[ErrorGroupResponse]:
    """Group items by their errors, the largest group first; failed ones if no state is named."""
    return await items.get_groups(ItemsGetGroupsPayload(filter=asked.filter()))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": ItemCreatedResponse, "description": "The key is taken."}},
)
async def create_one(
    payload: ItemCreatePayload, items: Service, caller: Changing, response: Response
) -> ItemCreatedResponse:
    """Push an item. With a key that is taken the answer is 200 and the item that has it."""
    created = await items.create_one(payload)
    if created.result == "existing":
        response.status_code = status.HTTP_200_OK
    return created


@router.post("/create-batch")
async def create_batch(
    payload: ItemsCreateBatchPayload, items: Service, caller: Changing
) -> ItemsCreateBatchResponse:
    """Push up to 200 items, and tell of each whether it was created, was there or was refused."""
    return await items.create_batch(payload)


@router.post(
    "/batches",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobResponse,
    responses={200: {"model": BatchPreviewResponse, "description": "With dry_run"}, **CONFLICT},
)
async def start_batch(
    payload: BatchAsked,
    items: Service,
    caller: ChangingUnlessDry,
    response: Response,
    dry_run: DryRun = False,
) -> Any:
    """Change many items in the background; ``GET /api/v1/batches/{id}`` tells how far it is."""
    if dry_run:
        # Another model than the one of a batch that runs, so it is answered as it is.
        preview = await items.preview_batch(payload)
        return AsciiJson(preview.model_dump(mode="json"))
    jobs, key = caller.api.jobs, caller.session.key
    jobs.require_room(key)
    batch = await items.plan_batch(payload)
    with said_by_openiap():
        total = await batch.count()
    job = jobs.start(key, payload.action, batch.response, batch.run, total)
    response.headers["Location"] = f"/api/v1/batches/{job.id}"
    return job


@router.get("/{id}", responses=MISSING)
async def get_one(id: Id, items: Service) -> ItemDetailResponse:
    """Show an item whole."""
    return await items.get_one(ItemGetPayload(id=id))


@router.get("/{id}/history")
async def get_history(id: Id, items: Service) -> ItemHistoryResponse:
    """Tell what happened to an item, what it comes from and what came of it."""
    return await items.get_history(ItemGetHistoryPayload(id=id))


@router.patch("/{id}", responses=CONFLICT)
async def update_one(id: Id, asked: ChangeAsked, items: Service, caller: Changing) -> ItemResponse:
    """Change the priority or the payload of a waiting or failed item."""
    return await items.update_one(
        ItemUpdatePayload(id=id, priority=asked.priority, patch=asked.patch)
    )


@router.delete("/{id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_one(id: Id, items: Service, caller: Changing) -> None:
    """Delete an item and its files."""
    await items.delete_one(ItemDeletePayload(id=id))


@router.post("/{id}/retry", responses=CONFLICT)
async def retry_one(
    id: Id,
    items: Service,
    caller: Changing,
    asked: Annotated[RetryAsked, Body()] = RetryAsked(),  # noqa: B008 (never changed)
) -> ItemResponse:
    """Put an item back to new, whatever its queue's limit of attempts says."""
    return await items.retry_one(ItemRetryPayload(id=id, force=asked.force))


@router.post("/{id}/signals", status_code=status.HTTP_201_CREATED, responses=CONFLICT)
async def signal_one(
    id: Id, asked: SignalAsked, items: Service, caller: Changing
) -> ItemSignalledResponse:
    """Tell an item something that its handler waits for, now or later."""
    return await items.signal_one(ItemSignalPayload(id=id, **asked.model_dump()))


@router.post("/{id}/cancel", responses=CONFLICT)
async def cancel_one(
    id: Id,
    items: Service,
    caller: Changing,
    asked: Annotated[CancelAsked, Body()] = CancelAsked(),  # noqa: B008 (never changed)
) -> ItemCancelledResponse:
    """Have an item that waits fail with the code CANCELLED, and one that runs be asked to end."""
    return await items.cancel_one(ItemCancelPayload(id=id, reason=asked.reason))


@router.post("/{id}/move", responses=CONFLICT)
async def move_one(id: Id, asked: MoveAsked, items: Service, caller: Changing) -> ItemResponse:
    """Move a waiting or failed item to another queue, under its id and with that one's rights."""
    return await items.move_one(ItemMovePayload(id=id, to=asked.to))


async def _folder(caller: SignedIn) -> AsyncIterator[Path]:
    """Give a folder for one file, until the answer is sent."""
    async with one_transfer(caller.api), _temporary() as folder:
        yield folder


Folder = Annotated[Path, Depends(_folder)]


@router.get(
    "/{id}/files/{file}",
    response_class=FileResponse,
    responses={
        200: {"content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "A range of it"},
        **CONFLICT,
        416: {"description": "No such range"},
    },
)
async def get_file(
    id: Id,
    file: Annotated[
        str,
        InPath(
            max_length=MOST_TEXT,
            description="The file's id; or its name, where one file alone has it.",
            examples=["invoice.pdf"],
        ),
    ],
    caller: SignedIn,
    folder: Folder,
) -> FileResponse:
    """Download a file of an item: always as a file, whatever it says that it is."""
    files = ItemFiles(caller.client, caller.api.options.limits.upload)
    name, path = await files.get_one(ItemFileGetPayload(id=id, file=file), folder)
    shown = quote(name[-MAX_NAME:], safe="")
    return FileResponse(
        path,
        media_type=BINARY,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{shown}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Content-Encoding": "identity",
        },
    )


@router.put(
    "/{id}/files/{name}",
    status_code=status.HTTP_201_CREATED,
    responses=CONFLICT,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def create_file(
    id: Id,
    name: Annotated[
        str,
        InPath(max_length=MAX_NAME, description="The file's name.", examples=["invoice.pdf"]),
    ],
    request: Request,
    caller: Changing,
    items: Service,
    folder: Folder,
) -> ItemDetailResponse:
    """Add a file to an item that nobody works; the body is the file as it is."""
    path = folder / checked_name(name)
    await _receive(request, path, caller)
    files = ItemFiles(caller.client, caller.api.options.limits.upload)
    await files.create_one(ItemFileCreatePayload(id=id, name=name), path)
    return await items.get_one(ItemGetPayload(id=id))


async def _receive(request: Request, path: Path, caller: Caller) -> None:
    """Write a request's body to a file.

    Raises:
        TooLargeError: it is more than may be.
    """
    most = caller.api.options.limits.upload
    too_large = TooLargeError(f"The file is larger than {most:,} bytes.")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise too_large
    size = 0
    with await asyncio.to_thread(path.open, "xb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise too_large
            await asyncio.to_thread(file.write, chunk)


@asynccontextmanager
async def _temporary() -> AsyncIterator[Path]:
    made = await asyncio.to_thread(
        tempfile.TemporaryDirectory, prefix="openiap-worker-", ignore_cleanup_errors=True
    )
    try:
        yield Path(made.name)
    finally:
        await asyncio.to_thread(made.cleanup)
