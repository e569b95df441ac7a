"""Every operation of the API is one that both implementations know, field by field."""

from collections.abc import Awaitable, Callable, Mapping
from ctypes import Structure
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.openiap.backend import Backend
from worker.openiap.client import Client
from worker.openiap.native.operations import OPERATIONS as NATIVE
from worker.openiap.official import abi
from worker.openiap.official.functions import OPERATIONS as OFFICIAL
from worker.openiap.official.operations import UNSUPPORTED, Operations
from worker.openiap.official.requests import encoded
from worker.openiap.types import Capabilities, ConnectionOptions
from worker.openiap.workitem import Workitem, WorkItemQueue

NOW = datetime(2026, 11, 20, 10, 0, 0, 5000, tzinfo=UTC)
CALLS: tuple[Callable[[Client], Awaitable[Any]], ...] = (
    lambda client: client.list_collections(True),
    lambda client: client.create_collection(
        "c", collation={"locale": "da", "caseLevel": True}, timeseries={"timeField": "at"}
    ),
    lambda client: client.drop_collection("c"),
    lambda client: client.get_indexes("c"),
    lambda client: client.create_index("c", {"name": 1}, {"unique": True}, "i"),
    lambda client: client.drop_index("c", "i"),
    lambda client: client.query("c", {"a": 1}, {"a": 1}, {"a": 1}, "u", True, 1, 2),
    lambda client: client.aggregate("c", [{"$match": {}}], "u", "h", True),
    lambda client: client.count("c", {"a": 1}, "u", True),
    lambda client: client.distinct("c", "f", {"a": 1}, "u", True),
    lambda client: client.insert_one("c", {"a": 1}, 2, True),
    lambda client: client.insert_many("c", [{"a": 1}], 2, True, True),
    lambda client: client.update_one("c", {"a": 1}, 2, True),
    lambda client: client.update_document("c", {"a": 1}, {"$set": {"a": 2}}),
    lambda client: client.insert_or_update_one("c", {"a": 1}, "a", 2, True),
    lambda client: client.insert_or_update_many("c", [{"a": 1}], "a", True, 2, True),
    lambda client: client.delete_one("c", "1", True),
    lambda client: client.delete_many("c", {"a": 1}, ["1", "2"], True),
    lambda client: client.push_workitem("q", {"a": 1}, wiqid="1", name="n", nextrun=NOW),
    lambda client: client.push_workitems("q", [Workitem(name="n")], nextrun=NOW),
    lambda client: client.update_workitem(Workitem(id="1"), ignoremaxretries=True),
    lambda client: client.delete_workitem("1"),
    lambda client: client.add_workitem_queue(WorkItemQueue("q")),
    lambda client: client.update_workitem_queue(WorkItemQueue("q"), purge=True),
    lambda client: client.delete_workitem_queue("q", purge=True),
    lambda client: client.queue_message({"a": 1}, "m", correlation_id="1", expiration=5),
    lambda client: client.custom_command("c", "1", "n", {"a": 1}),
)


class Sent(Exception):
    """What an operation would have sent."""


def client() -> Client:
    """Return a client whose operations end in ``Sent``."""

    async def call(operation: str, seconds: float, id: str, fields: Mapping[str, Any]) -> Any:
        raise Sent(operation, fields)

    backend = SimpleNamespace(
        options=ConnectionOptions("ws://localhost"),
        operations=SimpleNamespace(call=call),
        capabilities=Capabilities("both", bulk_push=True),
    )
    return Client(cast(Backend, backend))


async def sent(call: Callable[[Client], Awaitable[Any]]) -> tuple[str, dict[str, Any]]:
    with pytest.raises(Sent) as caught:
        await call(client())
    operation, fields = caught.value.args
    return operation, fields


async def test_the_native_client_sends_every_field_of_every_operation() -> None:
    known = set()
    for call in CALLS:
        operation, fields = await sent(call)
        NATIVE[operation].request(**fields)
        known.add(operation)
    assert known == NATIVE.keys()


async def test_the_official_library_is_given_every_field_or_says_that_it_cannot() -> None:
    composed = Operations(cast(Any, None))._composed.keys()
    known = set()
    for call in CALLS:
        operation, fields = await sent(call)
        known.add(operation)
        if operation in composed or operation in UNSUPPORTED:
            continue
        function = OFFICIAL[operation]
        if function.request is None:
            assert list(fields) == list(function.names), operation
            continue
        request = function.request(**encoded(fields))
        # What is no field of a structure is taken without a word, and sent nowhere.
        assert vars(request) == {}, operation
    assert known == OFFICIAL.keys() | composed | UNSUPPORTED.keys()


async def test_collation_and_timeseries_have_the_same_names_with_both_clients() -> None:
    _, fields = await sent(CALLS[1])
    native = NATIVE["create_collection"].request(**fields)
    official = OFFICIAL["create_collection"].request(**encoded(fields))
    assert (native.collation.locale, native.collation.caseLevel) == ("da", True)
    assert (official.collation[0].locale, official.collation[0].caseLevel) == (b"da", True)
    assert native.timeseries.timeField == "at"
    assert official.timeseries[0].timeField == b"at"
    odd = fields | {"collation": {"case_level": True}}
    with pytest.raises(ValueError, match="case_level"):
        NATIVE["create_collection"].request(**odd)
    with pytest.raises(ValueError, match="case_level"):
        OFFICIAL["create_collection"].request(**encoded(odd))


@pytest.mark.parametrize(
    ("call", "kind"),
    [(CALLS[-2], abi.QueueMessageRequest), (CALLS[-1], abi.CustomCommandRequest)],
)
async def test_messages_and_commands_of_the_official_library_carry_every_field(
    call: Callable[[Client], Awaitable[Any]], kind: type[Structure]
) -> None:
    _, fields = await sent(call)
    assert vars(kind(**encoded(fields))) == {}


async def test_many_items_say_each_for_itself_when_and_how_urgent_they_are() -> None:
    """OpenIAP ignores what the request says for all of them."""
    items = [Workitem(name="own", nextrun=NOW, priority=1), Workitem(name="none", priority=0)]
    later = NOW.replace(year=2027)
    _, fields = await sent(lambda client: client.push_workitems("q", items, nextrun=later))
    request = NATIVE["push_workitems"].request(**fields)
    times = [item.nextrun.ToDatetime(tzinfo=UTC) for item in request.items]
    assert times == [NOW, later]
    assert [item.priority for item in request.items] == [1, 2]
    assert not request.HasField("nextrun"), "or a server that takes it would hide the rest"


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.query("c"),
        lambda client: client.count("c"),
        lambda client: client.distinct("c", "f"),
        lambda client: client.count("c", ""),
    ],
)
async def test_a_call_without_a_query_asks_for_every_document(
    call: Callable[[Client], Awaitable[Any]],
) -> None:
    """OpenIAP refuses a query that is empty."""
    _, fields = await sent(call)
    assert fields["query"] == "{}"
