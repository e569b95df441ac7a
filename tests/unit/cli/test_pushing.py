"""A push that is refused half-way says what is there and begins nothing more."""

import asyncio
from typing import Any, cast

import pytest

from worker.cli.pushing import BATCH, IN_FLIGHT, Pushed, Wanted, push_all
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError, RequestTimeout, ServerError
from worker.openiap.types import Capabilities
from worker.openiap.workitem import Workitem


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
        self.in_flight -= 1
        if payload["n"] >= self.refuse_from:
            raise self.error
        return Workitem(id=f"id{payload['n']}")

    async def push_workitems(self, wiq: str, items: list[Workitem], **_: Any) -> list[Workitem]:
        self.calls += 1
        return [Workitem(id=f"id{(item.payload or {})['n']}") for item in items]


def payloads(count: int) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(count)]


async def test_ids_come_in_the_order_of_the_payloads() -> None:
    server, pushed = Server(), Pushed()
    seen: list[int] = []
    await push_all(cast("Client", server), Wanted("q"), payloads(50), pushed, advance=seen.append)
    assert pushed.ids == [f"id{n}" for n in range(50)]
    assert sum(seen) == 50
    assert server.most_in_flight == IN_FLIGHT


async def test_many_items_go_in_few_messages_where_the_client_can() -> None:
    server, pushed = Server(bulk=True), Pushed()
    await push_all(cast("Client", server), Wanted("q"), payloads(BATCH * 3 + 1), pushed)
    assert pushed.ids == [f"id{n}" for n in range(BATCH * 3 + 1)]
    assert server.calls == 4


async def test_big_payloads_go_in_messages_of_their_own() -> None:
    server, pushed = Server(bulk=True), Pushed()
    big = [{"n": n, "text": "x" * 700_000} for n in range(4)]
    await push_all(cast("Client", server), Wanted("q"), big, pushed)
    assert len(pushed.done) == 4
    assert server.calls == 4


async def test_after_a_refusal_nothing_more_is_begun() -> None:
    server, pushed = Server(refuse_from=20), Pushed()
    with pytest.raises(ServerError):
        await push_all(cast("Client", server), Wanted("q"), payloads(1000), pushed)
    assert pushed.done == [f"id{n}" for n in range(20)]
    assert server.calls <= 20 + IN_FLIGHT


async def test_an_answer_that_never_came_is_told_rather_than_a_plain_refusal() -> None:
    server, pushed = Server(refuse_from=0, error=RequestTimeout("late")), Pushed()
    with pytest.raises(RequestTimeout) as refused:
        await push_all(cast("Client", server), Wanted("q"), payloads(3), pushed)
    assert refused.value.maybe_done
    assert pushed.done == []
