"""Many pushes over one client: few messages, and a refusal half-way begins nothing more."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.item.new_item import Push, Sent
from worker.openiap.client import Client
from worker.openiap.errors import (
    Disconnected,
    NotConnected,
    OpenIAPError,
    RateLimited,
    RequestTimeout,
    ServerError,
)
from worker.openiap.types import Capabilities, WatchEvent
from worker.openiap.workitem import Workitem
from worker.producer import sender as room
from worker.producer.no_result import ResultTimeout
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
        self.items: list[Workitem] = []

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
        self.items = items
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


async def test_in_a_bulk_push_each_item_carries_its_own_time_and_priority() -> None:
    """OpenIAP ignores the request's own."""
    server, moment = Server(bulk=True), datetime(2030, 1, 1, tzinfo=UTC)
    await door(server, Told()).send(
        [Push("q", {"n": n}, priority=n, nextrun=moment) for n in (1, 2)]
    )
    assert [(item.nextrun, item.priority) for item in server.items] == [(moment, 1), (moment, 2)]


async def test_nothing_to_push_is_no_message() -> None:
    server = Server(bulk=True)
    assert await door(server, Told()).send([]) == []
    assert server.calls == 0


class Away:
    """A server whose item has ended, and that cannot be asked for it at first."""

    def __init__(self, error: OpenIAPError) -> None:
        self.server_config: dict[str, bool] = {}
        self.errors = [error] * 3

    async def query(self, *_: object, **__: object) -> list[dict[str, str]]:
        if self.errors:
            raise self.errors.pop()
        return [{"_id": "1", "state": "successful"}]


@pytest.mark.parametrize(
    "error", [NotConnected("Not connected"), Disconnected("gone"), RateLimited("too many")]
)
def test_who_waits_for_a_result_bears_a_link_that_is_away(error: OpenIAPError) -> None:
    async def wait() -> None:
        sender = ClientSender(cast("Client", Away(error)))
        assert (await sender.ended("1", "q", None))["state"] == "successful"

    in_virtual_time(wait())


def test_who_waits_for_a_result_is_told_that_the_server_refuses() -> None:
    sender = ClientSender(cast("Client", Away(ServerError("no"))))
    with pytest.raises(ServerError):
        in_virtual_time(sender.ended("1", "q", None))


class Watched:
    """A server with one item that never ends, and a watch that tells of its pop or of nothing."""

    def __init__(self, *, tells: bool) -> None:
        self.server_config = {"supports_watch": True}
        self.sign_ins = 1
        self.looks = 0
        self._tells = tells

    async def watch(self, _: str, paths: list[str], told: Callable[[WatchEvent], None]) -> str:
        if self._tells:
            told(WatchEvent("w", "update", {"_id": "1", "state": "processing"}))
        else:
            told(WatchEvent("w", "delete", {"_id": "1"}))
        return "w"

    async def unwatch(self, _: str) -> None:
        pass

    async def query(self, *_: object, **__: object) -> list[dict[str, str]]:
        self.looks += 1
        return [{"_id": "1", "state": "processing"}]


@pytest.mark.parametrize(("tells", "looks"), [(False, range(60, 90)), (True, range(8, 25))])
def test_looks_become_rare_only_once_the_watch_has_told_of_something(
    monkeypatch: pytest.MonkeyPatch, tells: bool, looks: range
) -> None:
    server = Watched(tells=tells)

    async def wait() -> None:
        clock = asyncio.get_running_loop().time
        monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=clock))
        with pytest.raises(ResultTimeout):
            await ClientSender(cast("Client", server)).ended("1", "q", 120)

    in_virtual_time(wait())
    assert server.looks in looks


class Breaking(Watched):
    """A server whose watch tells, again and again, of an item too large for a link."""

    watches = unwatched = 0

    async def watch(self, _: str, paths: list[str], told: Callable[[WatchEvent], None]) -> str:
        self.watches += 1
        return "w"

    async def unwatch(self, _: str) -> None:
        self.unwatched += 1

    async def query(self, *_: object, **__: object) -> list[dict[str, str]]:
        if self.watches > self.unwatched:
            self.sign_ins += 1
        return await super().query()


def test_a_watch_that_breaks_link_after_link_is_done_without_for_a_while() -> None:
    server = Breaking(tells=False)

    async def wait() -> None:
        sender = ClientSender(cast("Client", server))
        for _ in range(2):
            with pytest.raises(ResultTimeout):
                await sender.ended("1", "q", 1)

    in_virtual_time(wait())
    assert (server.watches, server.unwatched) == (1, 1)
    assert server.sign_ins < 10


class Mute(Watched):
    """A server whose items end in their second look; its first watch tells of nothing."""

    def __init__(self) -> None:
        super().__init__(tells=False)
        self.watches: list[str] = []
        self.unwatched: list[str] = []
        self.looked: set[str] = set()

    async def watch(self, _: str, paths: list[str], told: Callable[[WatchEvent], None]) -> str:
        self.watches.append(f"w{len(self.watches)}")
        return self.watches[-1]

    async def unwatch(self, watch: str) -> None:
        self.unwatched.append(watch)

    async def query(self, _: object, query: dict[str, str], *__: object, **___: object) -> Any:
        seen, id = query["_id"] in self.looked, query["_id"]
        self.looked.add(id)
        return [{"_id": id, "state": "successful" if seen and id != "long" else "processing"}]


def test_a_watch_that_missed_an_end_is_begun_anew_by_the_next_that_waits() -> None:
    server = Mute()

    async def wait() -> None:
        sender = ClientSender(cast("Client", server))
        async with asyncio.TaskGroup() as group:
            long = group.create_task(sender.ended("long", "q", None))
            await sender.ended("1", "q", None)
            assert (server.watches, server.unwatched) == (["w0"], []), "one for both"
            await sender.ended("2", "q", None)
            assert (server.watches, server.unwatched) == (["w0", "w1"], ["w0"])
            long.cancel()
        assert server.unwatched == ["w0", "w1"], "the last one to wait ends it"

    in_virtual_time(wait())


class Cut:
    """A server whose link goes at the first update, which arrived or not; ``then`` happens."""

    def __init__(self, error: OpenIAPError, then: dict[str, Any] | None = None) -> None:
        self.capabilities = Capabilities("scripted")
        self.document: dict[str, Any] = {"_id": "1", "wiq": "q", "state": "new", "retries": 0}
        self.errors = [error]
        self.then = then or {}

    async def query(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return [dict(self.document)]

    async def update_workitem(self, fields: dict[str, Any]) -> None:
        if not self.errors:
            self.document |= fields
            return
        error = self.errors.pop()
        if error.maybe_done:
            self.document |= fields
        self.document |= self.then
        raise error


def cancelled(server: Cut) -> str:
    sender = ClientSender(cast(Client, server))
    return in_virtual_time(sender.cancel("1", "gone"))


def test_an_item_that_succeeds_while_the_link_is_away_is_not_cancelled_after_that() -> None:
    server = Cut(NotConnected("away"), then={"state": "successful"})
    assert cancelled(server) == "ended"
    assert server.document["state"] == "successful"


def test_a_cancellation_whose_answer_was_lost_is_one() -> None:
    assert cancelled(Cut(RequestTimeout("lost"))) == "cancelled"
    again = Cut(NotConnected("away"))
    assert (cancelled(again), again.document["state"]) == ("cancelled", "failed")
    assert cancelled(again) == "ended"
