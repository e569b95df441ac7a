"""One round of everything with the client ``openiap`` 0.0.37; run with that client's own Python."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from openiap import Client


async def main(url: str, username: str, password: str, tag: str) -> None:
    client = Client(url)
    user = await client.Signin(username, password)
    assert user.username == username
    assert await client.GetElement("there?") == "there?"

    queue = f"py-{tag}"
    await client.InsertOne({"_type": "workitemqueue", "name": queue, "maxretries": 3}, "mq")
    files = Path(tempfile.mkdtemp())
    (files / "scan.bin").write_bytes(os.urandom(100_000))
    pushed = await client.PushWorkitem(
        queue, "first", {"n": 1.0}, files=[str(files / "scan.bin")], compressed=True
    )
    assert pushed.state == "new"
    popped = await client.PopWorkitem(queue, includefiles=True)
    assert (popped._id, popped.state, popped.payload) == (pushed._id, "processing", '{"n":1}')
    assert popped.files[0].file == (files / "scan.bin").read_bytes()
    popped.state = "retry"
    popped.errormessage = "again"
    assert (await client.UpdateWorkitem(popped)).retries == 1
    popped = await client.PopWorkitem(queue)
    file_id = popped.files[0]._id
    popped.state = "successful"
    assert (await client.UpdateWorkitem(popped)).state == "successful"
    nothing = await client.PopWorkitem(queue)
    assert nothing is None or nothing._id == ""

    (files / "out").mkdir()
    await client.DownloadFile(Id=file_id, OutPath=str(files / "out"))
    assert (files / "out" / "scan.bin").read_bytes() == (files / "scan.bin").read_bytes()

    watched = asyncio.Event()
    heard: asyncio.Queue = asyncio.Queue()

    async def on_watch(client, operation, document):
        if document.get("x") == 2:
            watched.set()

    async def on_message(client, message, payload):
        await heard.put(payload)
        return {"echo": payload["q"]} if "q" in payload else None

    collection = f"things_{tag}"
    await client.Watch(collection, [], on_watch)
    made = await client.InsertOne({"x": 1}, collection)
    await client.UpdateOne({**made, "x": 2}, collection)
    await asyncio.wait_for(watched.wait(), 20)
    changed = await client.UpdateDocument({"x": 2}, {"$set": {"y": 3}}, collection)
    assert changed.modifiedCount == 1
    assert (await client.Query(collection, {"x": 2}, {"y": 1}))[0]["y"] == 3
    assert await client.Count({}, collection) == 1
    found = await client.Aggregate([{"$match": {"x": 2}}, {"$project": {"y": 1}}], collection)
    assert found[0]["y"] == 3
    assert collection in [one["name"] for one in await client.ListCollections()]
    assert await client.DeleteOne(made["_id"], collection) == 1
    refused = await asyncio.gather(client.PopWorkitem("nowhere"), return_exceptions=True)
    assert "Work item queue not found nowhere (undefined) not found." in str(refused[0])

    await client.RegisterQueue("", on_message)
    await client.RegisterQueue(f"service-{tag}", on_message)
    answer = await asyncio.wait_for(client.QueueMessage(f"service-{tag}", {"q": 42}, rpc=True), 20)
    assert answer == {"echo": 42}


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 90))
os._exit(0)  # the client's threads never end
