"""Files: stored, fetched, and those of items."""

import os
from typing import Any

import httpx

from tests.conformance.facts import CannotAsk, Table
from tests.conformance.ground import Ground
from worker.openiap.workitem import Workitem, WorkitemFile, WorkItemQueue

TABLE = Table("files")
fact = TABLE.fact
SIZE = 700_000
"""Bytes: more than two of the pieces in which files travel."""


async def names(on: Ground, item: Workitem) -> list[str]:
    """Return the names of an item's files as they are stored."""
    return sorted(file["filename"] for file in (await on.item(item.id)).get("files") or ())


async def with_file(on: Ground, name: str = "a.txt") -> tuple[WorkItemQueue, Workitem]:
    """Push an item with one file."""
    queue = await on.queue()
    return queue, await on.push(queue, {}, files=[on.file(name, b"content")])


@fact("What is uploaded comes back whole, and its length is stored.", [True, SIZE])
async def there_and_back(on: Ground) -> Any:
    content = os.urandom(SIZE)
    id = await on.client.upload(on.file(on.name("f"), content))
    path = await on.client.download(id, on.folder, filename="back")
    (stored,) = await on.client.query("fs.files", {"_id": id})
    return [path.read_bytes() == content, stored["length"]]


@fact(
    "/download gives a file to a token that may read it, 404 without one, 500 to one that is none.",
    [200, True, 404, 500],
)
async def over_http(on: Ground) -> Any:
    if not on.site.http_url:
        raise CannotAsk("no address of HTTP is known (--http-url)")
    content = os.urandom(SIZE)
    id = await on.client.upload(on.file(on.name("f"), content))
    token, _ = await on.client.signin()
    url = f"{on.site.http_url.rstrip('/')}/download/{id}"
    async with httpx.AsyncClient(trust_env=False, timeout=30, follow_redirects=False) as http:
        answer = await http.get(url, headers={"Authorization": f"Bearer {token}"})
        other = await http.get(url)
        wrong = await http.get(url, headers={"Authorization": "Bearer no.token.this"})
    codes = [other.status_code, wrong.status_code]
    return [answer.status_code, answer.content == content, *codes]


@fact("An item may be pushed with files, and a pop can fetch them.", [["a.txt"], "content"])
async def pushed(on: Ground) -> Any:
    queue, item = await with_file(on)
    popped = await on.client.pop_workitem(queue.name, downloadfolder=on.folder)
    path = popped.files[0].path if popped and popped.files else None
    return [await names(on, item), path.read_text() if path else ""]


@fact("A file of the same name replaces; another is added.", ["a.txt", "b.txt"])
async def replaced(on: Ground) -> Any:
    queue, item = await with_file(on)
    files = [on.file("a.txt", b"other"), on.file("b.txt", b"more")]
    await on.update(item.id, "", files=files, wiq=queue.name)
    return await names(on, item)


@fact(
    "A file that was replaced stays stored; deleting the item deletes those that name it.",
    [[1, 1], [1, 0]],
)
async def replaced_stays(on: Ground) -> Any:
    queue, item = await with_file(on)
    (first,) = (await on.item(item.id))["files"]
    item.wiq, item.wiqid = queue.name, queue.id
    item.state, item.payload = "", None
    await on.client.update_workitem(item, [on.file("a.txt", b"other")])
    (now,) = (await on.item(item.id))["files"]
    ids = [first["_id"], now["_id"]]

    async def stored() -> list[int]:
        return [await on.maker.count("fs.files", {"_id": id}) for id in ids]

    before = await stored()
    await on.client.delete_workitem(item.id)
    return [before, await stored()]


@fact("A name without an id removes that file from the item.", [])
async def removed(on: Ground) -> Any:
    _, item = await with_file(on)
    await on.update(item.id, "", files=[WorkitemFile("a.txt")])
    return await names(on, item)


@fact("Updates without files, and the end of the item, keep them.", ["a.txt"])
async def kept(on: Ground) -> Any:
    queue, item = await with_file(on)
    await on.popped(queue)
    await on.update(item.id, "processing")
    await on.update(item.id, "successful")
    return await names(on, item)


@fact("A stored file is attached by its id.", ["mine.txt"])
async def attached(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.push(queue)
    id = await on.client.upload(
        on.file(on.name("f"), b"content"),
        filename="mine.txt",
        metadata={"wi": item.id, "wiq": queue.name, "wiqid": queue.id},
    )
    await on.update(item.id, "", files=[WorkitemFile("mine.txt", id)])
    return await names(on, item)


@fact("A file that an item has cannot be deleted.", True)
async def in_use(on: Ground) -> Any:
    _, item = await with_file(on)
    id = (await on.item(item.id))["files"][0]["_id"]
    text = await on.refusal(on.client.delete_one("fs.files", id))
    return "in use by a workitem" in text


@fact("Purging a queue removes the files that name it, and no others.", [0, 1], "native")
async def purged(on: Ground) -> Any:
    queue = await on.queue()
    ids: list[str] = []
    for metadata in ({"wiq": queue.name, "wiqid": queue.id}, {"wiq": queue.name}):
        path = on.file(f"{on.name('f')}-{len(ids)}", b"content")
        ids.append(await on.client.upload(path, metadata=metadata))
        await on.push(queue, {}, files=[WorkitemFile(f"{len(ids)}.txt", ids[-1])])
    await on.maker.delete_workitem_queue(queue.name, purge=True)
    return [await on.maker.count("fs.files", {"_id": id}) for id in ids]
