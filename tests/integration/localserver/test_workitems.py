"""The cycle of work items over the protocol, rule by rule of the real server."""

import asyncio
import itertools
import json
import zlib
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from worker.localserver import Faults
from worker.openiap.wire import openiap_pb2 as pb


class Clock:
    """The server's time, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(serve: Any, connect: Any, clock: Clock) -> Any:
    # The token would run out as the clock moves; nothing here is about that.
    client = await connect(await serve(clock=clock))
    client.server_clock = clock
    return client


async def document(client: Any, item_id: str) -> dict[str, Any]:
    (found,) = await client.query("workitems", {"_id": item_id})
    return dict(found)


async def test_an_item_goes_from_new_through_processing_to_successful(
    serve: Any, connect: Any, transport: str
) -> None:
    client = await connect(await serve(), transport)
    queue = await client.queue("q")
    assert queue.maxretries == 3
    pushed = await client.push("q", {"a": 1})
    assert (pushed.state, pushed.retries, pushed.priority, pushed.name) == (
        "new",
        0,
        2,
        "New work item",
    )
    popped = await client.pop("q")
    assert (popped._id, popped.state, popped.username) == (pushed._id, "processing", "tester")
    assert popped.HasField("lastrun")
    assert not popped.HasField("nextrun")
    assert await client.pop("q") is None
    done = await client.update(popped._id, "Successful", '{"b":2}')
    assert (done.state, done.payload) == ("successful", '{"b":2}')
    assert await client.pop("q") is None


async def test_the_lowest_priority_number_comes_first_then_the_oldest(client: Any) -> None:
    await client.queue("q")
    for name, priority in [("b", 2), ("c", 3), ("a", 1), ("b2", 0), ("c2", 3)]:
        await client.push("q", name=name, priority=priority)
    assert [(await client.pop("q")).name for _ in range(5)] == ["a", "b", "b2", "c", "c2"]


async def test_an_item_waits_for_its_time(client: Any, clock: Clock) -> None:
    await client.queue("q", initialdelay=10)
    await client.push("q", name="delayed")
    due = Timestamp(seconds=int(clock.seconds) + 5)
    await client.push("q", name="whole second", nextrun=due)
    await client.push("q", name="past", nextrun=Timestamp(seconds=1))
    assert (await client.pop("q")).name == "past"
    assert await client.pop("q") is None
    clock.seconds += 5
    assert (await client.pop("q")).name == "whole second"
    assert await client.pop("q") is None
    clock.seconds += 5
    assert (await client.pop("q")).name == "delayed"


async def test_one_item_is_never_given_to_two_clients(serve: Any, connect: Any) -> None:
    server = await serve()
    clients = [await connect(server, kind) for kind in ("ws", "ws", "grpc", "grpc")]
    await clients[0].queue("q")
    request = pb.PushWorkitemsRequest(wiq="q")
    for number in range(200):
        request.items.add(payload=json.dumps({"n": number}))
    pushed = await clients[0].ask("pushworkitems", request)
    assert len(pushed.workitems) == 200

    async def drain(client: Any) -> list[str]:
        taken = []
        while (item := await client.pop("q")) is not None:
            taken.append(item._id)
        return taken

    taken = await asyncio.gather(*(drain(client) for client in clients))
    flat = [one for some in taken for one in some]
    assert sorted(flat) == sorted(one._id for one in pushed.workitems)


@pytest.mark.parametrize(
    ("pushed", "stored"),
    [
        ('{"a":[1]}', '{"a":[1]}'),
        ("[1,2]", "[1,2]"),
        ("7", '{"value":7}'),
        ('"x"', '{"value":"x"}'),
        ("true", '{"value":true}'),
        ('""', "{}"),
        ("null", "{}"),
        ("false", "{}"),
        ("0", "{}"),
        ("12345678901234567890", '{"value":12345678901234567000}'),
        ('{"n":1.0}', '{"n":1}'),
        ('{"n":12345678901234567890}', '{"n":12345678901234567000}'),
        ('{"t":"Ünïcode \\ud83d\\ude00"}', '{"t":"Ünïcode 😀"}'),
        ('{"half":"\\ud83d"}', '{"half":"\\ud83d"}'),
        ('{"nul":"\\u0000"}', '{"nul":"\\u0000"}'),
    ],
)
async def test_payloads_are_kept_as_javascript_keeps_them(
    client: Any, pushed: str, stored: str
) -> None:
    await client.queue("q")
    assert (await client.push("q", pushed)).payload == stored
    assert (await client.pop("q")).payload == stored


@pytest.mark.parametrize("text", ["{", "nope", "{'a': 1}", "NaN", '{"a": Infinity}', "[1,]"])
async def test_a_payload_that_is_not_json_is_refused(client: Any, text: str) -> None:
    await client.queue("q")
    expected = "^(Unexpected token |Unexpected end of JSON input)"
    with pytest.raises(Exception, match=expected):
        await client.push("q", text)
    item = await client.push("q")
    with pytest.raises(Exception, match=expected):
        await client.update(item._id, "failed", text)
    assert (await document(client, item._id))["state"] == "new"


async def test_an_update_needs_a_payload_and_null_keeps_the_stored_one(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q", {"keep": "me"})
    with pytest.raises(Exception, match=r"^Unexpected end of JSON input$"):
        await client.update(item._id, "failed", "")
    assert (await client.update(item._id, "processing", "null")).payload == '{"keep":"me"}'
    assert (await client.update(item._id, "", "5")).payload == '{"value":5}'


async def test_illegal_states_are_refused_in_openiaps_words(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q")
    await client.pop("q")
    for state in ("new", "abandoned", "Done"):
        with pytest.raises(
            Exception,
            match=f"^Illegal state {state} on Workitem, "
            "must be failed, successful, processing or retry$",
        ):
            await client.update(item._id, state)


async def test_retry_counts_attempts_and_obeys_maxretries(client: Any, clock: Clock) -> None:
    await client.queue("q", maxretries=3, retrydelay=60)
    item = await client.push("q")
    for attempt in (1, 2):
        assert await client.pop("q")
        again = await client.update(item._id, "retry", errormessage="broke", errorsource="trace")
        assert (again.state, again.retries, again.username) == ("new", attempt, "")
        assert (again.errortype, again.errormessage, again.errorsource) == (
            "application",
            "broke",
            "trace",
        )
        assert again.nextrun.seconds == int(clock.seconds) + 60
        assert await client.pop("q") is None
        clock.seconds += 60
    assert await client.pop("q")
    last = await client.update(item._id, "retry")
    assert (last.state, last.retries) == ("failed", 2)
    over = await client.update(item._id, "retry", ignoremaxretries=True)
    assert (over.state, over.retries) == ("new", 3)


async def test_business_errors_are_final_unless_maxretries_are_ignored(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q")
    await client.pop("q")
    failed = await client.update(item._id, "retry", errortype="business")
    assert (failed.state, failed.retries, failed.errortype) == ("failed", 0, "")
    again = await client.update(item._id, "retry", errortype="business", ignoremaxretries=True)
    assert (again.state, again.retries) == ("new", 1)
    told = await client.update(
        item._id, "retry", errortype="business", errormessage="amount must be positive"
    )
    assert (told.state, told.errortype) == ("failed", "business")
    case = await client.update(item._id, "retry", errortype="Business")
    assert case.state == "new"


async def test_updates_keep_what_they_do_not_name(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q", {"a": 1}, name="mine", priority=7)
    kept = await client.update(item._id, "processing")
    assert (kept.name, kept.priority) == ("mine", 7)
    changed = await client.update(item._id, "", name="other", priority=1)
    assert (changed.name, changed.priority, changed.state) == ("other", 1, "processing")


async def test_processing_again_moves_modified_and_not_lastrun(client: Any, clock: Clock) -> None:
    await client.queue("q")
    item = await client.push("q")
    await client.pop("q")
    before = await document(client, item._id)
    clock.seconds += 10
    await client.update(item._id, "processing")
    after = await document(client, item._id)
    assert after["lastrun"] == before["lastrun"]
    assert after["_modified"] > before["_modified"]


async def test_a_nextrun_in_a_retry_is_honoured(client: Any, clock: Clock) -> None:
    await client.queue("q", retrydelay=3600)
    item = await client.push("q")
    await client.pop("q")
    when = Timestamp(seconds=int(clock.seconds) + 7, nanos=1_000_000)
    again = await client.update(item._id, "retry", nextrun=when)
    assert (again.nextrun.seconds, again.nextrun.nanos) == (when.seconds, when.nanos)
    clock.seconds += 8
    assert await client.pop("q")


@pytest.mark.parametrize("strict", [True, False])
async def test_whole_seconds_in_an_update_become_1970(
    serve: Any, connect: Any, clock: Clock, strict: bool
) -> None:
    faults = Faults(whole_second_nextrun_is_1970=not strict)
    client = await connect(await serve(clock=clock, strict=strict, faults=faults))
    await client.queue("q", retrydelay=3600)
    item = await client.push("q", nextrun=Timestamp(seconds=int(clock.seconds)))
    await client.pop("q")
    due = Timestamp(seconds=int(clock.seconds) + 600)
    again = await client.update(item._id, "retry", nextrun=due)
    assert again.nextrun.seconds == 0
    assert await client.pop("q"), "the item is due at once and the retry delay is bypassed"
    due.nanos = 1
    again = await client.update(item._id, "retry", nextrun=due)
    assert again.nextrun.seconds == due.seconds
    assert await client.pop("q") is None


async def test_a_chain_copies_the_item_once(client: Any) -> None:
    second = await client.queue("second")
    await client.queue("bad")
    await client.queue("first", success_wiq="second", failed_wiqid=second._id)
    item = await client.push("first", {"n": 1}, name="mine", priority=5)
    await client.pop("first")
    await client.update(item._id, "successful", '{"n":2}')
    await client.update(item._id, "successful")
    copy = await client.pop("second")
    assert copy._id != item._id
    assert (copy.name, copy.priority, copy.payload, copy.retries) == ("mine", 5, '{"n":2}', 0)
    assert await client.pop("second") is None

    own = await client.push("first", {"n": 3})
    (stored,) = await client.query("workitems", {"_id": own._id})
    await client.replace("workitems", {**stored, "failed_wiq": "bad"})
    await client.update(own._id, "failed")
    assert (await client.pop("bad")).payload == '{"n":3}'
    assert await client.pop("second") is None


async def test_a_kind_server_takes_chains_and_whole_seconds_over_the_protocol(
    serve: Any, connect: Any, clock: Clock
) -> None:
    client = await connect(await serve(clock=clock, strict=False))
    await client.queue("next")
    queue = pb.WorkItemQueue(name="first", success_wiq="next")
    made = await client.ask("addworkitemqueue", pb.AddWorkItemQueueRequest(workitemqueue=queue))
    assert made.workitemqueue.success_wiq == "next"
    item = await client.push("first", {"n": 1}, failed_wiq="first")
    assert item.failed_wiq == "first"
    due = Timestamp(seconds=int(clock.seconds) + 600)
    again = await client.update(item._id, "retry", nextrun=due)
    assert again.nextrun.seconds == due.seconds
    await client.update(item._id, "successful")
    assert (await client.pop("next")).payload == '{"n":1}'
    for command, request in (
        ("count", pb.CountRequest(collectionname="c")),
        ("query", pb.QueryRequest(collectionname="c")),
        ("distinct", pb.DistinctRequest(collectionname="c", field="n")),
    ):
        assert await client.ask(command, request) is not None


async def test_an_unknown_chain_target_is_an_error_after_the_change(client: Any) -> None:
    await client.queue("q", success_wiq="nowhere")
    item = await client.push("q")
    await client.pop("q")
    with pytest.raises(Exception, match=r"^Work item queue not found nowhere \(undefined\)"):
        await client.update(item._id, "successful", '{"done":true}')
    stored = await document(client, item._id)
    assert (stored["state"], stored["payload"]) == ("successful", {"done": True})


@pytest.mark.parametrize("strict", [True, False])
async def test_chains_over_the_protocol_do_not_arrive(
    serve: Any, connect: Any, strict: bool
) -> None:
    faults = Faults(ignore_item_chains=not strict)
    client = await connect(await serve(strict=strict, faults=faults))
    queue = pb.WorkItemQueue(name="q", success_wiq="next")
    made = await client.ask("addworkitemqueue", pb.AddWorkItemQueueRequest(workitemqueue=queue))
    assert made.workitemqueue.success_wiq == ""
    await client.queue("next")
    item = await client.push("q", success_wiq="next")
    assert item.success_wiq == ""
    await client.update(item._id, "successful", success_wiq="next")
    assert await client.pop("next") is None
    again = await client.push("q")
    await client.ask(
        "updatedocument",
        pb.UpdateDocumentRequest(
            collectionname="workitems",
            query=json.dumps({"_id": again._id}),
            document='{"$set": {"success_wiq": "next"}}',
        ),
    )
    await client.update(again._id, "successful")
    assert await client.pop("next"), "written into the document it works on OpenIAP too"


async def test_unknown_queues_and_items_are_named_in_openiaps_words(client: Any) -> None:
    await client.queue("Known")
    for wrong in ("nope", "known"):
        expected = rf"^Work item queue not found {wrong} \(undefined\) not found\.$"
        with pytest.raises(Exception, match=expected):
            await client.pop(wrong)
        with pytest.raises(Exception, match=expected):
            await client.push(wrong)
    with pytest.raises(Exception, match=r"^Work item  with _id 42 not found\.$"):
        await client.update("42", "failed")
    with pytest.raises(Exception, match=r"^Work item  with _id 42 not found\.$"):
        await client.ask("deleteworkitem", pb.DeleteWorkitemRequest(_id="42"))


async def test_files_are_added_replaced_kept_copied_and_deleted(client: Any) -> None:
    await client.queue("second")
    await client.queue("first", success_wiq="second")
    packed = zlib.compress(b"packed")
    item = await client.push(
        "first",
        files=[
            pb.WorkitemFile(filename="../../plain.txt", file=b"plain"),
            pb.WorkitemFile(filename="C:\\x\\packed.txt", file=packed, compressed=True),
        ],
    )
    assert [file.filename for file in item.files] == ["plain.txt", "packed.txt"]
    (found,) = await client.query("fs.files", {"_id": item.files[0]._id})
    assert (found["length"], found["metadata"]["wi"]) == (5, item._id)

    popped = await client.pop("first", includefiles=True, compressed=True)
    assert [zlib.decompress(file.file) for file in popped.files] == [b"plain", b"packed"]

    uploaded = await client.upload("plain.txt", b"new", json.dumps({"wi": item._id}))
    kept = await client.update(item._id, "processing")
    assert len(kept.files) == 2
    replaced = await client.update(
        item._id, "", files=[pb.WorkitemFile(filename="plain.txt", _id=uploaded.id)]
    )
    assert [(f.filename, f._id) for f in replaced.files] == [
        ("packed.txt", item.files[1]._id),
        ("plain.txt", uploaded.id),
    ]
    assert await client.query("fs.files", {"_id": item.files[0]._id}), "replaced, still stored"

    less = await client.update(item._id, "", files=[pb.WorkitemFile(filename="packed.txt")])
    assert [file.filename for file in less.files] == ["plain.txt"]
    done = await client.update(item._id, "successful")
    copy = await client.pop("second", includefiles=True)
    assert copy.files[0]._id == done.files[0]._id, "OpenIAP answers with the files of the copy"
    assert copy.files[0]._id != uploaded.id
    assert copy.files[0].file == b"new"

    await client.ask("deleteworkitem", pb.DeleteWorkitemRequest(_id=item._id))
    left = await client.query("fs.files", {})
    assert [one["_id"] for one in left] == [copy.files[0]._id]
    await client.ask("deleteworkitemqueue", pb.DeleteWorkItemQueueRequest(wiq="second", purge=True))
    assert await client.query("fs.files", {}) == []


async def test_a_file_that_unpacks_to_nonsense_is_refused(client: Any) -> None:
    await client.queue("q")
    for data in (b"not packed", zlib.compress(b"x" * 1000)[:-3]):
        file = pb.WorkitemFile(filename="x", file=data, compressed=True)
        with pytest.raises(Exception, match=r"compressed file"):
            await client.push("q", files=[file])
    assert await client.pop("q") is None, "a refused push leaves nothing behind"


async def test_queues_are_made_changed_purged_and_deleted(client: Any) -> None:
    queue = await client.queue("q", maxretries=5, retrydelay=1, amqpqueue="wake")
    with pytest.raises(Exception, match=r"^Work item queue with name q already exists$"):
        await client.queue("q")
    with pytest.raises(Exception, match=r"^Name is mandatory$"):
        await client.queue("")

    async def change(purge: bool = False, **fields: Any) -> pb.WorkItemQueue:
        reply = await client.ask(
            "updateworkitemqueue",
            pb.UpdateWorkItemQueueRequest(workitemqueue=pb.WorkItemQueue(**fields), purge=purge),
        )
        return reply.workitemqueue

    denied = r"^Access denied, no authorization to UpdateOne with current ACL$"
    for purge in (False, True):
        with pytest.raises(Exception, match=denied):
            await change(purge=purge, _id=queue._id, name="renamed")
    rights = {"_id": queue._id, "_acl": queue._acl}
    changed = await change(**rights, name="renamed", maxretries=2, initialdelay=1)
    assert (changed.name, changed.maxretries, changed.retrydelay) == ("renamed", 2, 0)
    assert (changed.amqpqueue, changed._version) == ("", 1)
    item = await client.push("renamed")
    assert (await client.pop("renamed", wiqid=queue._id)) is None, "the initial delay counts"
    with pytest.raises(
        Exception, match=r"^Work item queue renamed is not empty, enable purge to delete$"
    ):
        await client.ask("deleteworkitemqueue", pb.DeleteWorkItemQueueRequest(wiq="renamed"))
    with pytest.raises(Exception, match=r"^Access Denied, you must call DeleteWorkItemQueue to de"):
        await client.ask("deleteone", pb.DeleteOneRequest(collectionname="mq", id=queue._id))
    purged = await change(purge=True, **rights, name="renamed")
    assert purged.maxretries == 0
    assert await client.query("workitems", {"_id": item._id}) == []
    once = await client.push("renamed")
    assert (await client.update(once._id, "retry")).state == "failed", "maxretries 0 is kept"
    await client.ask(
        "deleteworkitemqueue", pb.DeleteWorkItemQueueRequest(wiqid=queue._id, purge=True)
    )
    with pytest.raises(Exception, match=r"not found"):
        await client.push("renamed")
    gone = r"^Work item queue with name gone not found.$"
    with pytest.raises(Exception, match=gone):
        await change(name="gone")
    with pytest.raises(Exception, match=gone):
        await client.ask("deleteworkitemqueue", pb.DeleteWorkItemQueueRequest(wiq="gone"))


async def test_a_kind_server_keeps_what_a_change_of_a_queue_does_not_say(
    serve: Any, connect: Any
) -> None:
    client = await connect(await serve(strict=False))
    await client.queue("q", maxretries=5, amqpqueue="wake")
    await client.push("q")
    request = pb.UpdateWorkItemQueueRequest(
        workitemqueue=pb.WorkItemQueue(name="q", retrydelay=7), purge=True
    )
    changed = (await client.ask("updateworkitemqueue", request)).workitemqueue
    assert (changed.maxretries, changed.amqpqueue, changed.retrydelay) == (5, "wake", 7)
    assert len(changed._acl) == 1
    assert await client.query("workitems", {}) == []


async def test_pushing_many_takes_all_from_the_items_and_nothing_from_the_request(
    client: Any, clock: Clock
) -> None:
    await client.queue("q", initialdelay=5)
    request = pb.PushWorkitemsRequest(
        wiq="q", priority=4, nextrun=Timestamp(seconds=int(clock.seconds) - 1)
    )
    uploaded = await client.upload("a.txt", b"by its id")
    files = [
        pb.WorkitemFile(filename="a.txt", _id=uploaded.id),
        pb.WorkitemFile(filename="b.txt", file=b"by its contents"),
    ]
    due = Timestamp(seconds=int(clock.seconds) - 1)
    request.items.add(name="a", payload="1", files=files)
    request.items.add(name="b", payload="{}", priority=1, nextrun=due)
    reply = await client.ask("pushworkitems", request)
    assert [(one.name, one.priority) for one in reply.workitems] == [("a", 2), ("b", 1)]
    assert [one.nextrun.ToMilliseconds() for one in reply.workitems] == [0, 0], "told as 1970"
    assert [one.HasField("nextrun") for one in reply.workitems] == [True, True]
    assert [file.filename for file in reply.workitems[0].files] == ["b.txt"]
    assert (await client.pop("q")).name == "b"
    assert await client.pop("q") is None, "its queue's initial delay counts"
    request.items.add(payload="{")
    with pytest.raises(Exception, match=r"Unexpected"):
        await client.ask("pushworkitems", request)
    clock.seconds += 5
    assert (await client.pop("q")).name == "a"
    assert await client.pop("q") is None, "all or none"


async def test_an_item_written_back_as_a_document_is_popped_again_at_no_cost(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q", {"big": "payload"}, priority=9)
    await client.pop("q")
    stored = await document(client, item._id)
    assert stored["userid"]
    stored.update(state="new", nextrun="2020-01-01T00:00:00.000Z", userid=None, username=None)
    await client.ask(
        "updateone", pb.UpdateOneRequest(collectionname="workitems", item=json.dumps(stored))
    )
    popped = await client.pop("q")
    assert (popped._id, popped.retries, popped.priority) == (item._id, 0, 9)
    assert popped.payload == '{"big":"payload"}'


async def test_the_fence_matches_one_attempt_only(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q", {"a": 1})
    await client.pop("q")

    async def mark(token: str, **query: Any) -> int:
        reply = await client.ask(
            "updatedocument",
            pb.UpdateDocumentRequest(
                collectionname="workitems",
                query=json.dumps({"_id": item._id, **query}),
                document=json.dumps({"$set": {"closing": token}}),
            ),
        )
        assert reply.opresult.matchedCount == reply.opresult.modifiedCount
        return int(reply.opresult.matchedCount)

    assert await mark("one", state="processing", retries=0) == 1
    assert await mark("two", state="processing", retries=1) == 0
    assert await mark("three", state="processing", closing={"$exists": False}) == 0
    assert await mark("four", closing="one") == 1
    stored = await document(client, item._id)
    assert stored["closing"] == "four"
    assert await mark("five", lastrun=stored["lastrun"]) == 0, "dates are not converted here"
    await client.update(item._id, "retry")
    assert (await document(client, item._id))["closing"] == "four", "updates keep own fields"
    assert await mark("six", state="processing", retries=0) == 0
    assert (await document(client, item._id))["payload"] == {"a": 1}


async def test_popping_from_many_costs_no_more_than_from_few(serve: Any, connect: Any) -> None:
    server = await serve()
    client = await connect(server)
    steps = {}
    for name, size in (("few", 300), ("many", 100_000)):
        queue = await client.queue(name)
        store = server.services.store
        with store.undone_on_error():
            for number in range(size):
                store.write(
                    "INSERT INTO workitems (id, wiqid, wiq, state, priority, waiting, nextrun,"
                    " retries, name, files, userid, username, errormessage, errorsource,"
                    " errortype, success_wiq, success_wiqid, failed_wiq, failed_wiqid, version,"
                    " modified, modifiedby, modifiedbyid, extra) VALUES (?, ?, ?, 'new', ?, 0, 1,"
                    " 0, 'n', '', '', '', '', '', '', '', '', '', '', 0, 0, '', '', '')",
                    (f"{name}{number}", queue._id, name, number % 3),
                )
                store.write("INSERT INTO payloads VALUES (last_insert_rowid(), '{}')")
        counted = itertools.count(1)
        store._connection.set_progress_handler(lambda counted=counted: next(counted) < 0, 10)
        for _ in range(50):
            assert await client.pop(name)
        store._connection.set_progress_handler(None, 0)
        steps[name] = next(counted)
    # SQLite's steps, by tens, and no clock: a scan of 100,000 rows takes hundreds of times more.
    assert steps["few"] > 50
    assert steps["many"] < steps["few"] * 3


async def test_pops_at_once_lose_rounds_and_each_item_goes_to_one(serve: Any, connect: Any) -> None:
    server = await serve(pop_contention=True)
    clients = [await connect(server) for _ in range(8)]
    await clients[0].queue("q")
    for n in range(16):
        await clients[0].push("q", {"n": n})
    assert (await clients[0].pop("q")).payload == '{"n":0}'
    assert (server.stats["poprounds"], server.stats.get("lostrounds", 0)) == (1, 0)

    popped = await asyncio.gather(*(client.pop("q") for client in clients))
    assert len({item._id for item in popped}) == 8
    lost = server.stats["lostrounds"]
    assert lost >= 7, "all but one of the first round started over"
    assert server.stats["poprounds"] == 9 + lost
    rest = [await clients[0].pop("q") for _ in range(8)]
    assert [item is None for item in rest] == [False] * 7 + [True]
    assert server.stats["lostrounds"] == lost, "alone nobody loses"
    with pytest.raises(Exception, match=r"queue not found nope"):
        await clients[0].pop("nope")
