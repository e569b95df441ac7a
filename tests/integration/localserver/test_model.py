"""The cycle of work items against a model that is written from the facts about the real server.

Hypothesis pushes, pops, updates, deletes, purges, moves the clock and restarts the server on its
data file; after each step every item of the server must be what the model says. The commands go
through a real session, encoded as on the wire; only the socket is missing.
"""

import asyncio
import itertools
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from worker.localserver.operations.options import ServerOptions
from worker.localserver.operations.services import Services
from worker.localserver.protocol.session import Session
from worker.localserver.storage.user import User
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build, message_name, parse

START = 1_800_000_000_000
UPDATES = ["failed", "successful", "retry", "processing", "", "Retry", "FAILED", "new", "odd"]
PAYLOADS = ["null", '{"a":1.0}', "[1]", "5", '"x"', "false", "", "{"]
STORED = {'{"a":1.0}': {"a": 1}, "[1]": [1], "5": {"value": 5}, '"x"': {"value": "x"}}


@dataclass
class Queue:
    """What the model knows of a queue; delays in seconds."""

    maxretries: int
    retrydelay: int = 0
    initialdelay: int = 0
    success: str = ""
    failed: str = ""


# C is made with maxretries 0, which OpenIAP stores as 3; the queue after B does not exist.
QUEUES = {
    "A": Queue(2, retrydelay=5, success="B", failed="C"),
    "B": Queue(1, initialdelay=3, success="nowhere"),
    "C": Queue(3),
}


@dataclass
class Item:
    """What the model knows of an item; times in milliseconds."""

    queue: str
    payload: Any
    name: str
    priority: int
    nextrun: int | None
    order: int
    state: str = "new"
    retries: int = 0
    lastrun: int | None = None
    username: str | None = None
    errors: dict[str, str] = field(default_factory=dict)


class MemoryLink:
    """Where a session's messages end."""

    numbered = True
    address = "127.0.0.1"

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def send(self, body: bytes) -> None:
        self.bodies.append(body)

    def push(self) -> None:
        return

    def close(self) -> None:
        raise AssertionError("the server gave up the connection")

    def trust(self) -> None: ...

    async def can_send(self) -> None:
        return


class CycleMachine(RuleBasedStateMachine):
    """The server and the model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.now = START
        self.items: dict[str, Item] = {}
        self.order = itertools.count()
        self.sent: dict[str, pb.WorkItemQueue] = {}
        self.start()

    def start(self) -> None:
        self.services = Services(
            ServerOptions(
                data=Path(self.folder.name) / "data.db", clock=lambda: self.now / 1000 + 0.0001
            )
        )
        self.link = MemoryLink()
        self.session = Session(self.services, self.link)
        self.session.user = User("u1", "tester")
        self.seq = itertools.count()

    def stop(self) -> None:
        self.session.close()
        self.services.store.close()

    def teardown(self) -> None:
        self.stop()
        self.loop.close()
        self.folder.cleanup()

    def ask(self, command: str, message: Message) -> Any:
        """Send one command and return its reply, or the text of its error."""

        async def exchange() -> None:
            seq = next(self.seq)
            request = build(command, message, id=f"r{seq}", seq=seq)
            self.session.receive(request.SerializeToString())
            await asyncio.sleep(0)

        self.link.bodies.clear()
        self.loop.run_until_complete(exchange())
        (body,) = self.link.bodies
        reply = parse(body)
        answer = getattr(pb, message_name(reply)).FromString(reply.data.value)
        return answer.message if reply.command == "error" else answer

    @initialize()
    def queues(self) -> None:
        for name, queue in QUEUES.items():
            values = pb.WorkItemQueue(
                name=name,
                maxretries=0 if name == "C" else queue.maxretries,
                retrydelay=queue.retrydelay,
                initialdelay=queue.initialdelay,
            )
            reply = self.ask("addworkitemqueue", pb.AddWorkItemQueueRequest(workitemqueue=values))
            assert reply.workitemqueue.maxretries == queue.maxretries
            self.sent[name] = reply.workitemqueue
            self.ask(
                "updatedocument",
                pb.UpdateDocumentRequest(
                    collectionname="mq",
                    query=json.dumps({"name": name}),
                    document=json.dumps(
                        {"$set": {"success_wiq": queue.success, "failed_wiq": queue.failed}}
                    ),
                ),
            )

    @rule(
        queue=st.sampled_from([*QUEUES, "unknown"]),
        payload=st.sampled_from([*PAYLOADS, "0"]),
        name=st.sampled_from(["", "mine"]),
        priority=st.integers(0, 3),
        due=st.one_of(st.none(), st.integers(-5, 10)),
        many=st.booleans(),
    )
    def push(
        self, queue: str, payload: str, name: str, priority: int, due: int | None, many: bool
    ) -> None:
        nextrun = None if due is None else Timestamp(seconds=self.now // 1000 + due)
        fields = {"name": name, "payload": payload, "priority": priority, "nextrun": nextrun}
        if many:
            reply = self.ask(
                "pushworkitems",
                pb.PushWorkitemsRequest(wiq=queue, items=[pb.Workitem(**fields)]),
            )
        else:
            reply = self.ask("pushworkitem", pb.PushWorkitemRequest(wiq=queue, **fields))
        if queue == "unknown":
            assert reply == "Work item queue not found unknown (undefined) not found."
            return
        if payload == "{":
            assert reply == "Unexpected end of JSON input"
            return
        item = reply.workitems[0] if many else reply.workitem
        self.items[item._id] = Item(
            queue=queue,
            payload=STORED.get(payload, {}),
            name=name or "New work item",
            priority=priority or 2,
            nextrun=(
                self.now + QUEUES[queue].initialdelay * 1000
                if due is None
                else (self.now // 1000 + due) * 1000
            ),
            order=next(self.order),
        )

    @rule(queue=st.sampled_from([*QUEUES, "a"]))
    def pop(self, queue: str) -> None:
        reply = self.ask("popworkitem", pb.PopWorkitemRequest(wiq=queue))
        if queue not in QUEUES:
            assert reply == f"Work item queue not found {queue} (undefined) not found."
            return
        due = [
            (item.priority, item.order, item_id)
            for item_id, item in self.items.items()
            if item.queue == queue
            and item.state == "new"
            and item.nextrun is not None
            and item.nextrun <= self.now
        ]
        if not due:
            assert not reply.HasField("workitem")
            return
        expected = min(due)[2]
        assert reply.workitem._id == expected
        item = self.items[expected]
        item.state, item.username = "processing", "tester"
        item.lastrun, item.nextrun = self.now, None

    @precondition(lambda self: self.items)
    @rule(
        which=st.integers(0, 1000),
        state=st.sampled_from(UPDATES),
        payload=st.sampled_from(["null", "null", "null", *PAYLOADS]),
        errortype=st.sampled_from(["", "", "application", "business", "Business"]),
        errormessage=st.sampled_from(["", "", "it broke"]),
        errorsource=st.sampled_from(["", "line 1"]),
        ignore=st.booleans(),
        due=st.one_of(st.none(), st.none(), st.integers(-3, 10)),
        nanos=st.sampled_from([0, 7_000_000]),
        name=st.sampled_from(["", "", "renamed"]),
        priority=st.sampled_from([0, 0, 1]),
    )
    def update(
        self,
        which: int,
        state: str,
        payload: str,
        errortype: str,
        errormessage: str,
        errorsource: str,
        ignore: bool,
        due: int | None,
        nanos: int,
        name: str,
        priority: int,
    ) -> None:
        item_id = list(self.items)[which % len(self.items)]
        item = self.items[item_id]
        nextrun = None if due is None else Timestamp(seconds=self.now // 1000 + due, nanos=nanos)
        reply = self.ask(
            "updateworkitem",
            pb.UpdateWorkitemRequest(
                workitem=pb.Workitem(
                    _id=item_id,
                    state=state,
                    payload=payload,
                    errortype=errortype,
                    errormessage=errormessage,
                    errorsource=errorsource,
                    nextrun=nextrun,
                    name=name,
                    priority=priority,
                ),
                ignoremaxretries=ignore,
            ),
        )
        if payload in ("", "{"):
            assert reply == "Unexpected end of JSON input"
            return
        wanted = state.lower()
        if wanted == "odd" or (wanted == "new" and item.state != "new"):
            assert reply == (
                f"Illegal state {state} on Workitem, "
                "must be failed, successful, processing or retry"
            )
            return
        queue, before = QUEUES[item.queue], item.state
        if payload != "null":
            item.payload = {"value": False} if payload == "false" else STORED[payload]
        item.name = name or item.name
        item.priority = priority or item.priority
        if errormessage:
            item.errors["errormessage"] = errormessage
            item.errors["errortype"] = errortype or "application"
        if errorsource:
            item.errors["errorsource"] = errorsource
        if wanted == "retry":
            self.retry(item, queue, errortype, ignore, nextrun)
        elif wanted not in ("", "new"):
            item.state, item.nextrun = wanted, None
            if wanted == "processing" and before != "processing":
                item.lastrun = self.now
        target = {"successful": queue.success, "failed": queue.failed}.get(item.state, "")
        if item.state == before or not target:
            assert reply.workitem.state == item.state
        elif target in QUEUES:
            assert reply.workitem.state == item.state
            self.adopt_copy(item, target)
        else:
            assert reply == f"Work item queue not found {target} (undefined) not found."

    def retry(
        self, item: Item, queue: Queue, errortype: str, ignore: bool, nextrun: Timestamp | None
    ) -> None:
        if errortype == "business" and not ignore:
            item.state, item.nextrun = "failed", None
        elif item.retries + 1 < queue.maxretries or ignore:
            item.state, item.username = "new", None
            item.retries += 1
            item.nextrun = self.now + queue.retrydelay * 1000
            if nextrun is not None:
                item.nextrun = 0
                if nextrun.nanos:
                    item.nextrun = nextrun.seconds * 1000 + nextrun.nanos // 1_000_000
        else:
            item.state, item.nextrun = "failed", None

    def adopt_copy(self, item: Item, target: str) -> None:
        """Find the one item that the chain must have made, and know it from now on."""
        (copy,) = set(self.documents()) - set(self.items)
        self.items[copy] = Item(
            queue=target,
            payload=item.payload,
            name=item.name,
            priority=item.priority,
            nextrun=self.now + QUEUES[target].initialdelay * 1000,
            order=next(self.order),
        )

    @precondition(lambda self: self.items)
    @rule(which=st.integers(0, 1000), state=st.sampled_from(["retry", "successful", "failed"]))
    def outcome(self, which: int, state: str) -> None:
        """The plain updates that workers send most, often enough to reach every limit."""
        self.update(which, state, "null", "application", "", "", False, None, 0, "", 0)

    @precondition(lambda self: self.items)
    @rule(which=st.integers(0, 1000), again=st.booleans())
    def delete(self, which: int, again: bool) -> None:
        item_id = list(self.items)[which % len(self.items)]
        reply = self.ask("deleteworkitem", pb.DeleteWorkitemRequest(_id=item_id))
        assert isinstance(reply, pb.DeleteWorkitemResponse)
        del self.items[item_id]
        if again:
            expected = f"Work item  with _id {item_id} not found."
            gone = pb.Workitem(_id=item_id, state="failed", payload="{}")
            assert self.ask("deleteworkitem", pb.DeleteWorkitemRequest(_id=item_id)) == expected
            reply = self.ask("updateworkitem", pb.UpdateWorkitemRequest(workitem=gone))
            assert reply == expected

    @rule(queue=st.sampled_from(list(QUEUES)), really=st.integers(0, 5))
    def purge(self, queue: str, really: int) -> None:
        if really:
            return
        whole = pb.UpdateWorkItemQueueRequest(workitemqueue=self.sent[queue], purge=True)
        assert isinstance(self.ask("updateworkitemqueue", whole), pb.UpdateWorkItemQueueResponse)
        self.items = {key: item for key, item in self.items.items() if item.queue != queue}

    @precondition(lambda self: self.items)
    @rule(which=st.integers(0, 1000))
    def put_back_as_a_document(self, which: int) -> None:
        item_id = list(self.items)[which % len(self.items)]
        document = self.documents()[item_id]
        document.update(state="new", nextrun="2020-01-01T00:00:00.000Z")
        document.update(userid=None, username=None)
        self.ask(
            "updateone",
            pb.UpdateOneRequest(collectionname="workitems", item=json.dumps(document)),
        )
        item = self.items[item_id]
        item.state, item.username, item.nextrun = "new", None, 1_577_836_800_000

    @precondition(lambda self: self.items)
    @rule(which=st.integers(0, 1000), state=st.sampled_from(["new", "processing"]))
    def fence(self, which: int, state: str) -> None:
        item_id = list(self.items)[which % len(self.items)]
        item = self.items[item_id]
        for retries, fits in ((item.retries, True), (item.retries + 1, False)):
            reply = self.ask(
                "updatedocument",
                pb.UpdateDocumentRequest(
                    collectionname="workitems",
                    query=json.dumps({"_id": item_id, "state": state, "retries": retries}),
                    document='{"$set": {"closing": "token"}}',
                ),
            )
            assert reply.opresult.matchedCount == int(fits and item.state == state)

    @rule(milliseconds=st.sampled_from([1, 999, 1000, 3000, 7000]))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(really=st.integers(0, 3))
    def restart(self, really: int) -> None:
        if not really:
            self.stop()
            self.start()

    def documents(self) -> dict[str, dict[str, Any]]:
        request = pb.QueryRequest(collectionname="workitems", query="{}", top=10_000)
        return {one["_id"]: one for one in json.loads(self.ask("query", request).results)}

    @invariant()
    def server_and_model_agree(self) -> None:
        documents = self.documents()
        assert set(documents) == set(self.items)
        for item_id, item in self.items.items():
            document = documents[item_id]
            seen = Item(
                queue=document["wiq"],
                payload=document["payload"],
                name=document["name"],
                priority=document["priority"],
                nextrun=milliseconds(document.get("nextrun")),
                order=item.order,
                state=document["state"],
                retries=document["retries"],
                lastrun=milliseconds(document.get("lastrun")),
                username=document["username"],
                errors={key: document[key] for key in document if key.startswith("error")},
            )
            assert seen == item


def milliseconds(text: str | None) -> int | None:
    """Return an ISO time of a document as milliseconds, without the server's own code."""
    if text is None:
        return None
    day, _, clock = text.removesuffix("Z").partition("T")
    stamp = Timestamp()
    stamp.FromJsonString(f"{day}T{clock}Z")
    return stamp.ToMilliseconds()


@pytest.mark.parametrize(
    ("examples", "least"), [(15, 400), pytest.param(60, 2000, marks=pytest.mark.dear)]
)
def test_the_server_does_what_the_model_says(examples: int, least: int) -> None:
    steps = itertools.count()

    class CountedMachine(CycleMachine):
        @invariant()
        def count(self) -> None:
            next(steps)

    run_state_machine_as_test(
        CountedMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=80,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    assert next(steps) >= least
