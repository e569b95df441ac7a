"""What is sent goes out behind its commit: answers first, and what many are told in parts."""

import asyncio
import sqlite3
from typing import cast

import pytest
from google.protobuf.message import Message

from worker.localserver.operations.replies import GROUP, PART, Replies
from worker.localserver.storage.store import Store
from worker.openiap.wire import openiap_pb2 as pb


class Disk:
    """Commits, or does not."""

    def __init__(self) -> None:
        self.commits = 0
        self.full = False

    def commit(self) -> None:
        if self.full:
            raise sqlite3.OperationalError("disk full")
        self.commits += 1


class Client:
    """Notes what it is sent, on a sheet that all share."""

    def __init__(self, name: str, sheet: list[tuple[str, str]]) -> None:
        self.name = name
        self.pushed = 0
        self._sheet = sheet

    def deliver(self, command: str, message: Message | None, rid: str) -> None:
        self._sheet.append((self.name, f"{command} {rid}".strip()))

    def push(self) -> None:
        self.pushed += 1


class Room:
    """Replies, and some clients."""

    def __init__(self, clients: int) -> None:
        self.sheet: list[tuple[str, str]] = []
        self.disk = Disk()
        self.said: list[str] = []
        self.replies = Replies(cast(Store, self.disk), self.said.append)
        self.clients = [Client(f"c{number}", self.sheet) for number in range(clients)]

    def tell_all(self, items: int) -> None:
        """As a push of many items, which all watch."""
        for item in range(items):
            for client in self.clients:
                self.replies.add(client, f"event {item}", pb.WatchEvent(), "")

    def seen(self, client: Client) -> list[str]:
        return [what for who, what in self.sheet if who == client.name]


async def test_who_asks_while_many_are_told_of_a_bulk_is_answered_in_between() -> None:
    room = Room(16)
    pusher, popper = Client("pusher", room.sheet), room.clients[0]
    room.tell_all(300)
    room.replies.add(pusher, "pushworkitemsreply", pb.PushWorkitemsResponse(), "1")
    await asyncio.sleep(0)
    assert room.sheet[0] == ("pusher", "pushworkitemsreply 1")
    assert len(room.sheet) == 1 + PART
    room.replies.add(popper, "popworkitemreply", pb.PopWorkitemResponse(), "2")
    await asyncio.sleep(0)
    assert room.seen(popper)[-1] == "popworkitemreply 2"
    assert len(room.sheet) <= 2 + 3 * PART, "it waits for two parts at most"
    while len(room.sheet) < 16 * 300 + 2:
        await asyncio.sleep(0)
    assert room.disk.commits == 2
    events = [f"event {item}" for item in range(300)]
    assert all(room.seen(client) == events for client in room.clients[1:])
    assert room.seen(popper) == [*events, "popworkitemreply 2"]


async def test_what_is_told_to_one_client_keeps_its_order_however_many_parts_it_takes() -> None:
    room = Room(3)
    room.tell_all(2 * PART)
    await asyncio.sleep(0)
    room.tell_all(1)
    for client in room.clients:
        room.replies.add(client, "answer", None, "1")
    while len(room.sheet) < 3 * (2 * PART + 2):
        await asyncio.sleep(0)
    expected = [*(f"event {item}" for item in range(2 * PART)), "event 0", "answer 1"]
    assert [room.seen(client) for client in room.clients] == [expected] * 3
    assert all(client.pushed for client in room.clients)


async def test_the_end_sends_all_that_is_left() -> None:
    room = Room(4)
    room.tell_all(PART)
    await asyncio.sleep(0)
    room.tell_all(1)
    room.replies.end()
    assert len(room.sheet) == 4 * (PART + 1)


async def test_where_the_commit_fails_answers_are_errors_and_nobody_is_told_of_anything() -> None:
    room = Room(2)
    room.disk.full = True
    room.tell_all(1)
    room.replies.add(room.clients[1], "updateworkitemreply", None, "7")
    room.replies.flush()
    assert room.sheet == [("c1", "error 7")]
    assert room.said == ["the data could not be written: disk full"]


@pytest.mark.parametrize("fails", ["in a part", "at once"])
async def test_a_client_that_cannot_be_sent_to_keeps_nothing_from_the_others(fails: str) -> None:
    room = Room(3)

    def refuses(command: str, message: Message | None, rid: str) -> None:
        raise RuntimeError("odd")

    room.clients[0].deliver = refuses  # type: ignore[method-assign]
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: told.append(str(context.get("exception")))
    )
    room.tell_all(2 if fails == "at once" else 2 * PART)
    room.tell_all(1)
    while len(room.seen(room.clients[2])) < (3 if fails == "at once" else 2 * PART + 1):
        await asyncio.sleep(0)
    assert told[0] == "odd"


async def test_a_full_group_is_answered_before_the_next_command() -> None:
    room = Room(1)
    (client,) = room.clients
    room.tell_all(2 * GROUP)  # who is only told fills no group
    for number in range(GROUP - 1):
        room.replies.add(client, "reply", None, str(number))
        room.replies.flush_full()
    position = room.replies.position()
    room.replies.add(client, "reply", None, "undone")
    room.replies.drop_since(position)
    room.replies.flush_full()
    assert (room.disk.commits, room.sheet) == (0, [])
    room.replies.add(client, "reply", None, "last")
    room.replies.flush_full()
    assert room.disk.commits == 1
    assert room.seen(client)[-1] == "reply last"
    room.replies.add(client, "reply", None, "next")
    room.replies.flush_full()
    assert room.disk.commits == 1
    await asyncio.sleep(0)
    assert room.seen(client)[-1] == "reply next"
