"""Many pushes over one client: few messages, and a refusal half-way begins nothing more."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError, RequestTimeout, ServerError
from worker.openiap.types import Capabilities
from worker.openiap.workitem import Workitem
from worker.producer.producer import Push, Sent
from worker.producer.sender import BATCH, IN_FLIGHT, ClientSender


class Server:
    """Takes pushes one after the other, and refuses from a given number on."""

    def __init__(
        self, refuse_from: int = 10**9, error: OpenIAPError | None = None, *, bulk: bool = False
    ) -> None:
        self.capabilities = Capabilities("scripted", bulk_push=bulk)
        self.refuse_from = refuse_from
        self.error = error or ServerError("full")
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 0

    async def push_workitem(self, wiq: str, payload: Any, **_: Any) -> Workitem:
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        if payload["n"] == self.refuse_from:
            self.in_flight -= 1
            raise self.error
        await asyncio.sleep(0)
        self.in_flight -= 1
        if payload["n"] > self.refuse_from:
            raise self.error
        return Workitem(id=f"id{payload['n']}")

    async def push_workitems(self, wiq: str, items: list[Workitem], **_: Any) -> list[Workitem]:
        self.calls += 1
        return [Workitem(id=f"id{(item.payload or {})['n']}") for item in items]


class Told:
    """What a door tells while it sends, by place."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}

    def __call__(self, first: int, sent: Sequence[Sent]) -> None:
        self.ids.update((first + n, one.id) for n, one in enumerate(sent))


def door(server: Server, told: Told) -> ClientSender:
    return ClientSender(cast("Client", server), on_sent=told)


def pushes(count: int, **more: Any) -> list[Push]:
    return [Push("q", {"n": n, **more}) for n in range(count)]


def ids(count: int) -> list[str]:
    return [f"id{n}" for n in range(count)]


async def test_what_was_sent_comes_in_the_order_of_the_pushes() -> None:
    server, told = Server(), Told()
    sent = await door(server, told).send(pushes(50))
    assert [one.id for one in sent] == ids(50)
    assert told.ids == dict(enumerate(ids(50)))
    assert server.most_in_flight == IN_FLIGHT


async def test_many_items_go_in_few_messages_where_the_client_can() -> None:
    server, told = Server(bulk=True), Told()
    sent = await door(server, told).send(pushes(BATCH * 3 + 1))
    assert [one.id for one in sent] == ids(BATCH * 3 + 1)
    assert told.ids == dict(enumerate(ids(BATCH * 3 + 1)))
    assert server.calls == 4


async def test_big_payloads_go_in_messages_of_their_own() -> None:
    server = Server(bulk=True)
    assert len(await door(server, Told()).send(pushes(4, text="x" * 700_000))) == 4
    assert server.calls == 4


async def test_after_a_refusal_nothing_more_is_begun_and_what_is_in_flight_ends() -> None:
    server, told = Server(refuse_from=20), Told()
    with pytest.raises(ServerError):
        await door(server, told).send(pushes(1000))
    assert sorted(told.ids.values()) == sorted(ids(20))
    assert server.calls <= 20 + IN_FLIGHT
    assert server.in_flight == 0


async def test_an_answer_that_never_came_is_told_rather_than_a_plain_refusal() -> None:
    server, told = Server(refuse_from=0, error=RequestTimeout("late")), Told()
    with pytest.raises(RequestTimeout) as refused:
        await door(server, told).send(pushes(3))
    assert refused.value.maybe_done
    assert told.ids == {}


async def test_nothing_to_push_is_no_message() -> None:
    server = Server(bulk=True)
    assert await door(server, Told()).send([]) == []
    assert server.calls == 0
