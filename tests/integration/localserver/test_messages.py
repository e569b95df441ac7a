"""Message queues, exchanges, watches, wake-ups."""

import asyncio
import functools
import json
import operator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.localserver.conftest import ServerSaidError
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build


async def register(client: Any, name: str = "") -> str:
    reply = await client.ask("registerqueue", pb.RegisterQueueRequest(queuename=name))
    return str(reply.queuename)


async def send(client: Any, data: object, **fields: Any) -> Any:
    return await client.ask("queuemessage", pb.QueueMessageRequest(data=json.dumps(data), **fields))


async def no_event(client: Any, command: str) -> None:
    """Everything sent before an answer has arrived with it, as messages keep their order."""
    await client.ask("getelement", pb.GetElementRequest())
    while not client.events.empty():
        assert client.events.get_nowait().command != command


async def test_a_message_reaches_the_queue_whatever_the_case(
    server: Any, connect: Any, transport: str
) -> None:
    listener, sender = await connect(server, transport), await connect(server, transport)
    assert await register(listener, "Wake") == "Wake"
    sent = {"queuename": "wAKE", "correlationId": "c", "replyto": "r", "striptoken": True}
    reply = await send(sender, {"x": 1}, **sent)
    assert (reply.queuename, reply.correlationId) == ("wAKE", "c")
    event = await listener.event("queueevent")
    assert (event.queuename, event.correlationId, event.replyto) == ("Wake", "c", "r")
    assert json.loads(event.data) == {"x": 1}


async def test_a_question_is_answered_through_a_made_up_queue(server: Any, connect: Any) -> None:
    service, asker = await connect(server), await connect(server)
    await register(service, "service")
    answers = await register(asker)
    assert answers
    await send(asker, {"q": 1}, queuename="service", replyto=answers, correlationId="42")
    event = await service.event("queueevent")
    back = {"queuename": event.replyto, "correlationId": event.correlationId}
    await send(service, {"a": 2}, **back, striptoken=True)
    answer = await asker.event("queueevent")
    assert (answer.correlationId, json.loads(answer.data)) == ("42", {"a": 2})


async def test_a_message_names_its_sender_with_a_token_of_theirs(server: Any, connect: Any) -> None:
    listener, sender = await connect(server), await connect(server)
    await register(listener, "orders")
    await send(sender, {"x": 1, "__user": "somebody else"}, queuename="orders")
    data = json.loads((await listener.event("queueevent")).data)
    assert (data["x"], data["__user"]["username"]) == (1, "tester")
    again = await connect(server)
    signed = await again.ask("signin", pb.SigninRequest(jwt=data["__jwt"]))
    assert signed.user.username == "tester"
    for plain in ([1], "text", 5):
        await send(sender, plain, queuename="orders")
        assert json.loads((await listener.event("queueevent")).data) == plain


async def test_an_agent_is_registered_once_and_gets_what_people_wrote(
    server: Any, connect: Any
) -> None:
    client = await connect(server)

    async def register_agent(id: str = "", **said: str) -> dict[str, Any]:
        request = pb.CustomCommandRequest(command="registeragent", id=id, data=json.dumps(said))
        return dict(json.loads((await client.ask("customcommand", request)).result))

    first = await register_agent(hostname="box", username="root", os="linux")
    assert (first["_type"], first["name"]) == ("agent", "box / root")
    assert await register(client, first["slug"]) == first["slug"]
    document = json.dumps({**first, "environment": {"wiq": "jobs"}, "name": "mine"})
    request = pb.UpdateOneRequest(collectionname="agents", item=document)
    await client.ask("updateone", request)
    for id in (first["_id"], ""):
        again = await register_agent(id, hostname="box", username="root", version="2")
        assert {key: again[key] for key in ("_id", "slug", "name", "environment", "version")} == {
            "_id": first["_id"],
            "slug": first["slug"],
            "name": "mine",
            "environment": {"wiq": "jobs"},
            "version": "2",
        }
        assert "jwt" not in again
    other = await register_agent("0123456789abcdef01234567", hostname="cloud", username="root")
    assert other["_id"] == "0123456789abcdef01234567"
    with pytest.raises(ServerSaidError, match="No data found"):
        await register_agent()
    with pytest.raises(ServerSaidError, match="Access denied to runas user nobody"):
        await register_agent(hostname="third", username="root", runas="nobody")


async def test_listeners_of_one_queue_take_turns(server: Any, connect: Any) -> None:
    listeners = [await connect(server) for _ in range(3)]
    for listener in listeners:
        await register(listener, "turns")
    for number in range(6):
        await send(listeners[0], number, queuename="turns")
    got = [
        [json.loads((await listener.event("queueevent")).data) for _ in range(2)]
        for listener in listeners
    ]
    assert sorted(functools.reduce(operator.iadd, got, [])) == list(range(6))


async def test_a_message_to_nobody_is_lost_and_no_error(server: Any, connect: Any) -> None:
    client, other = await connect(server), await connect(server)
    await send(client, 1, queuename="empty")
    await register(other, "q")
    await other.ask("unregisterqueue", pb.UnRegisterQueueRequest(queuename="Q"))
    await send(client, 1, queuename="q")
    await no_event(other, "queueevent")
    await register(other, "q")
    await other.close()
    async with asyncio.timeout(60):
        while server.services.messages.subscribers("q"):
            await asyncio.sleep(0.01)
    await send(client, 1, queuename="q")


@pytest.mark.parametrize(
    ("algorithm", "bound", "sent", "arrives"),
    [
        ("fanout", "", "anything", True),
        ("direct", "red", "red", True),
        ("direct", "red", "blue", False),
        ("topic", "orders.*", "orders.new", True),
        ("topic", "orders.*", "orders.new.big", False),
        ("topic", "orders.#", "orders.new.big", True),
        ("topic", "#.big", "big", True),
        ("topic", "#.big", "orders.new.big", True),
        ("topic", "#.big", "orders.bigger", False),
        ("header", "", "x", True),
    ],
)
async def test_exchanges_deliver_by_their_algorithm(
    server: Any, connect: Any, algorithm: str, bound: str, sent: str, arrives: bool
) -> None:
    client, other = await connect(server), await connect(server)
    request = pb.RegisterExchangeRequest(
        exchangename="Ex", algorithm=algorithm, routingkey=bound, addqueue=True
    )
    first = (await client.ask("registerexchange", request)).queuename
    second = (await other.ask("registerexchange", request)).queuename
    assert first != second
    await send(other, {"n": 1}, exchangename="ex", routingkey=sent)
    for one in (client, other):
        if arrives:
            event = await one.event("queueevent")
            assert (event.exchangename, event.routingkey) == ("ex", sent)
        else:
            await no_event(one, "queueevent")


async def test_wrong_exchanges_are_refused(client: Any) -> None:
    with pytest.raises(Exception, match=r"algorithm is mandatory"):
        await client.ask(
            "registerexchange", pb.RegisterExchangeRequest(exchangename="e", algorithm="odd")
        )
    with pytest.raises(Exception, match=r"Unknown exchange nope"):
        await send(client, 1, exchangename="nope")


async def test_a_watch_sees_every_change_until_it_ends(server: Any, connect: Any) -> None:
    client, other = await connect(server), await connect(server)
    watch = (await client.ask("watch", pb.WatchRequest(collectionname="workitems"))).id
    await other.queue("q")
    item = await other.push("q", {"a": 1})
    seen = await client.event("watchevent")
    assert (seen.id, seen.operation) == (watch, "insert")
    assert json.loads(seen.document)["payload"] == {"a": 1}
    await other.pop("q")
    seen = await client.event("watchevent")
    assert (seen.operation, json.loads(seen.document)["state"]) == ("update", "processing")
    await other.update(item._id, "successful")
    seen = await client.event("watchevent")
    assert (seen.operation, json.loads(seen.document)["state"]) == ("replace", "successful")
    # OpenIAP keeps no history of work items, and so cannot say what was deleted.
    await other.ask("deleteworkitem", pb.DeleteWorkitemRequest(_id=item._id))
    await no_event(client, "watchevent")
    with pytest.raises(Exception, match=r"Unknown watch"):
        await other.ask("unwatch", pb.UnWatchRequest(id=watch))
    await client.ask("unwatch", pb.UnWatchRequest(id=watch))
    await other.push("q")
    await no_event(client, "watchevent")


async def test_a_watch_can_be_narrowed_by_paths(server: Any, connect: Any) -> None:
    client = await connect(server)
    await client.ask(
        "watch",
        pb.WatchRequest(
            collectionname="c", paths=["$[?(@.kind == 'a' && @.n == 1)]", "$[?(@.deep.x != 0)]"]
        ),
    )
    await client.insert("c", {"kind": "b", "n": 1, "deep": {"x": 0}})
    await client.insert("c", {"kind": "a", "n": 1, "deep": {"x": 0}, "_id": "first"})
    await client.insert("c", {"kind": "b", "deep": {"x": 1}, "_id": "second"})
    for expected in ("first", "second"):
        seen = await client.event("watchevent")
        assert json.loads(seen.document)["_id"] == expected
    with pytest.raises(Exception, match=r"cannot watch the path"):
        await client.ask("watch", pb.WatchRequest(collectionname="c", paths=["$[?(@.x > 1)]"]))


async def test_a_path_that_recurses_hears_of_no_pushed_item_and_the_log_says_why(
    serve: Any, connect: Any
) -> None:
    said: list[str] = []
    server = await serve(log=said.append)
    right, wrong = await connect(server), await connect(server)
    for client, path in ((right, "$[?(@.state == 'new')]"), (wrong, "$.[?(@.state == 'new')]")):
        await client.ask("watch", pb.WatchRequest(collectionname="workitems", paths=[path]))
    await right.queue("q")
    for _ in range(2):
        await right.push("q")
        seen = json.loads((await right.event("watchevent")).document)
        assert (seen["state"], seen["lastrun"]) == ("new", None)
    await no_event(wrong, "watchevent")
    (line,) = said
    assert "$.[?(@.state == 'new')] on workitems tells nothing" in line
    assert "Cannot read properties of null (reading 'state')" in line


async def test_a_watch_of_an_empty_path_is_told_nothing(serve: Any, connect: Any) -> None:
    for strict, told in ((True, ["2"]), (False, ["1", "2"])):
        server = await serve(strict=strict)
        client = await connect(server)
        watch = pb.WatchRequest(collectionname="c", paths=[""])
        await client.ask("watch", watch)
        await client.insert("c", {"_id": "1"})
        await client.ask("watch", pb.WatchRequest(collectionname="c", paths=["$"]))
        await client.insert("c", {"_id": "2"})
        seen = [json.loads((await client.event("watchevent")).document)["_id"] for _ in told]
        assert seen == told


async def test_what_is_deleted_is_told_as_it_was(server: Any, connect: Any) -> None:
    client = await connect(server)
    await client.ask("watch", pb.WatchRequest(collectionname="c", paths=["$[?(@.kind == 'a')]"]))
    for kind in ("b", "a"):
        await client.insert("c", {"_id": kind, "kind": kind})
        await client.ask("deleteone", pb.DeleteOneRequest(collectionname="c", id=kind))
    assert (await client.event("watchevent")).operation == "insert"
    seen = await client.event("watchevent")
    assert (seen.operation, json.loads(seen.document)["kind"]) == ("delete", "a")


async def test_nothing_is_told_of_a_command_that_was_undone(server: Any, connect: Any) -> None:
    client = await connect(server)
    await client.ask("watch", pb.WatchRequest(collectionname="c"))
    with pytest.raises(Exception, match=r"E11000"):
        await client.ask(
            "insertmany",
            pb.InsertManyRequest(collectionname="c", items='[{"_id": "a"}, {"_id": "a"}]'),
        )
    await no_event(client, "watchevent")


async def test_clients_of_a_queue_with_due_items_are_woken_every_round(
    serve: Any, connect: Any
) -> None:
    now = 1_800_000_000.0
    server = await serve(wakeup_interval=0.05, wakeup_spacing=0.01, clock=lambda: now)
    first, second = await connect(server), await connect(server)
    queue = await first.queue("q", amqpqueue="Wake.Me", packageid="")
    for client in (first, second):
        await register(client, "wake.me")
    await first.push("q", nextrun=Timestamp(seconds=int(now) + 15))
    await asyncio.sleep(0.2)
    assert server.stats.get("wakeups", 0) == 0, "nothing is due"
    now += 15
    for client in (first, second, first, second):
        event = await client.event("queueevent")
        assert json.loads(event.data) == {"wiq": "q", "wiqid": queue._id, "packageid": ""}
        assert event.queuename == "wake.me", "as it was registered"
    await first.pop("q")


async def test_answers_to_events_and_stray_messages_are_ignored(client: Any) -> None:
    await client.send(build("queueeventreply", rid="something", id="x1"))
    await client.send(build("ping", id="x2"))
    await client.send(build("endstream", pb.EndStream(), rid="no upload"))
    assert await client.ask("getelement", pb.GetElementRequest())
