"""One round of everything with the official client openiap-edge; a program of its own.

The library's native threads outlive its objects, so it gets a process that ends by itself.
``python official_round.py URL USER PASSWORD TAG FOLDER``
"""

import json
import os
import queue
import sys
import time
from pathlib import Path

from openiap import Client

DEADLINE = 60.0
TRIES = 50


def main(url: str, username: str, password: str, tag: str, folder: Path) -> None:
    client = Client()
    client.connect(url)
    assert client.signin(username, password)["jwt"]
    wiq, collection = f"official-{tag}", f"official_{tag}"
    client.insert_one(
        collectionname="mq",
        item=json.dumps({"_type": "workitemqueue", "name": wiq, "maxretries": 3}),
    )

    data = os.urandom(100_000)
    (folder / "scan.bin").write_bytes(data)
    pushed = client.push_workitem(
        wiq=wiq,
        name="first",
        payload='{"n": 1.0}',
        nextrun=int(time.time()) - 5,
        files=[str(folder / "scan.bin")],
    )
    assert (pushed["state"], pushed["payload"]) == ("new", '{"n":1}')
    (folder / "popped").mkdir()
    popped = client.pop_workitem(wiq=wiq, downloadfolder=str(folder / "popped").encode())
    assert (popped["id"], popped["state"]) == (pushed["id"], "processing")
    came = folder / "popped" / "scan.bin"
    if came.exists():  # perhaps not to its end, or not at all yet, see ``whole``
        assert data.startswith(came.read_bytes())
    popped.update(state="retry", errormessage="again", errortype="application")
    again = client.update_workitem(popped)
    assert (again["state"], again["retries"]) == ("new", 1)
    popped = client.pop_workitem(wiq=wiq)
    popped["state"] = "successful"
    (folder / "receipt.txt").write_text("paid", encoding="utf-8")
    done = client.update_workitem(popped, files=[str(folder / "receipt.txt")])
    assert done["state"] == "successful"
    assert client.pop_workitem(wiq=wiq) is None
    (stored,) = json.loads(client.query(collectionname="workitems", query=json.dumps({"wiq": wiq})))
    assert sorted(file["filename"] for file in stored["files"]) == ["receipt.txt", "scan.bin"]

    uploaded = client.upload(filepath=str(folder / "scan.bin"), filename="other.bin")
    assert whole(client, uploaded, folder, len(data)) == data

    seen: queue.Queue[dict] = queue.Queue()
    heard: queue.Queue[dict] = queue.Queue()
    # Without a path the library sends an empty one, by which OpenIAP tells nothing.
    client.watch(collectionname=collection, paths="$", callback=lambda event, _: seen.put(event))
    made = json.loads(client.insert_one(collectionname=collection, item='{"x": 1}'))
    assert seen.get(timeout=DEADLINE)["operation"] == "insert"
    made["x"] = 2
    client.update_one(collectionname=collection, item=json.dumps(made))
    assert client.count(collectionname=collection, query='{"x": 2}') == 1
    assert client.distinct(collectionname=collection, field="_id") == [made["_id"]]
    assert client.delete_one(collectionname=collection, id=made["_id"]) == 1

    name = f"queue-{tag}"
    client.register_queue(queuename=name, callback=lambda event, _: heard.put(event) or None)
    client.queue_message(data='{"hello": 1}', queuename=name, striptoken=True)
    assert json.loads(heard.get(timeout=DEADLINE)["data"]) == {"hello": 1}

    try:
        client.pop_workitem(wiq="nowhere")
    except Exception as error:
        refused = str(error)
    assert "Work item queue not found nowhere (undefined) not found." in refused
    client.delete_workitem(done["id"])


def whole(client: Client, id: str, folder: Path, length: int) -> bytes:
    """Download until the file is whole: now and then the library returns before its end came."""
    for _ in range(TRIES):
        client.download(collectionname="fs.files", id=id, folder=str(folder), filename="back.bin")
        data = (folder / "back.bin").read_bytes()
        if len(data) >= length:
            break
        (folder / "back.bin").unlink()
    return data


if __name__ == "__main__":
    main(*sys.argv[1:5], Path(sys.argv[5]))
    sys.stdout.flush()
    os._exit(0)  # the library may crash a process that ends while its threads live
