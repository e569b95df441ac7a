"""Cells: of several who change one at a time exactly one does, whatever is lost on the way."""

import asyncio
from typing import Any

import pytest

from tests.integration.state.conftest import MakeClient
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, RequestTimeout
from worker.state.cells import COLLECTION, KEPT, LATE, Cells, Version

ROUNDS = 25


class Clock:
    """Seconds that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def winners(results: list[Any]) -> list[Any]:
    return [one for one in results if one]


async def test_a_cell_is_made_read_changed_and_removed(client: Client) -> None:
    cells = Cells(client, "test")
    assert await cells.read("lock", "a") is None
    made = await cells.create("lock", "a", {"n": 1})
    assert made is not None
    assert (made.kind, made.name, made.content) == ("lock", "a", {"n": 1})
    assert made.stamped is not None
    assert await cells.create("lock", "a", {"n": 9}) is None

    changed = await cells.replace(made, {"n": 2})
    assert changed is not None
    found = await cells.read("lock", "a")
    assert found is not None
    assert (found.token, found.content, found.number) == (changed.token, {"n": 2}, 2)
    assert found.stamped == changed.stamped

    assert await cells.remove(made) is False, "that version is not the present one"
    assert await cells.remove(changed) is True
    assert await cells.read("lock", "a") is None
    tip = await cells.tip("lock", "a")
    assert tip is not None
    assert tip.removed


async def test_a_removed_cell_can_be_made_again_and_its_past_is_over(client: Client) -> None:
    cells = Cells(client)
    first = await cells.create("lock", "a", {"n": 1})
    assert first is not None
    assert await cells.remove(first)
    second = await cells.create("lock", "a", {"n": 2})
    assert second is not None
    assert await cells.replace(first, {"n": 3}) is None
    assert await cells.remove(first) is False
    found = await cells.read("lock", "a")
    assert found is not None
    assert found.content == {"n": 2}


async def test_of_two_that_make_one_cell_at_once_exactly_one_does(make: MakeClient) -> None:
    two = [Cells(await make()), Cells(await make("native"))]
    for number in range(ROUNDS):
        made = await asyncio.gather(*(c.create("once", str(number), {}) for c in two for _ in "ab"))
        assert len(winners(made)) == 1


async def test_of_two_that_change_one_cell_at_once_exactly_one_does(make: MakeClient) -> None:
    two = [Cells(await make()), Cells(await make("native"))]
    present = await two[0].create("counter", "a", {"n": 0})
    for number in range(1, ROUNDS):
        assert present is not None
        tries = [c.replace(present, {"n": number}) for c in two for _ in "ab"]
        (present,) = winners(await asyncio.gather(*tries))
    found = await two[1].read("counter", "a")
    assert found is not None
    assert found.content == {"n": ROUNDS - 1}


async def test_a_removal_and_a_change_at_once_are_never_both_done(make: MakeClient) -> None:
    one, other = Cells(await make()), Cells(await make("native"))
    for number in range(ROUNDS):
        name = str(number)
        held = await one.create("key", name, {"by": "one"})
        assert held is not None
        seen = await other.read("key", name)
        assert seen is not None
        removed, taken = await asyncio.gather(one.remove(held), other.replace(seen, {"by": "two"}))
        assert removed == (taken is None)
        found = await one.read("key", name)
        assert (found is None) == removed


@pytest.mark.parametrize("lost", [1, 2])
async def test_lost_replies_do_not_make_a_winner_think_that_it_lost(
    make: MakeClient, server: LocalServer, lost: int
) -> None:
    cells = Cells(await make(timeout=0.5))
    server.faults.lose_replies["insertone"] = lost
    made = await cells.create("lock", "a", {"n": 1})
    assert made is not None
    server.faults.lose_replies["insertone"] = lost
    changed = await cells.replace(made, {"n": 2})
    assert changed is not None
    assert await cells.replace(made, {"n": 3}) is None
    stored = await (await make()).query(COLLECTION, {"kind": "lock"})
    assert [one["content"] for one in stored] == [{"n": 1}, {"n": 2}]


async def test_who_loses_and_hears_nothing_of_it_learns_it_later(
    make: MakeClient, server: LocalServer
) -> None:
    cells = Cells(await make(timeout=0.5))
    other = Cells(await make())
    made = await other.create("lock", "a", {"n": 1})
    assert made is not None
    assert await other.replace(made, {"n": 2})
    server.faults.lose_replies["insertone"] = 1
    assert await cells.replace(made, {"n": 3}) is None


async def test_patience_ends_and_the_error_is_told(make: MakeClient, server: LocalServer) -> None:
    cells = Cells(await make(timeout=0.3), patience=1.0)
    server.faults.silent = True
    with pytest.raises(RequestTimeout):
        await cells.create("lock", "a", {})
    server.faults.silent = False


async def test_a_change_that_comes_late_finds_the_cell_changed(client: Client) -> None:
    clock = Clock()
    cells = Cells(client, clock=clock)
    made = await cells.create("lock", "a", {"n": 1})
    assert made is not None
    second = await cells.replace(made, {"n": 2})
    assert second is not None
    # As after the sweep: the number that the late one would take is free again.
    third = await cells.replace(second, {"n": 3})
    assert third is not None
    await client.delete_many(COLLECTION, {"number": {"$lte": 2}})
    clock.now += LATE + 1
    assert await cells.replace(made, {"n": 9}) is None
    changed = await cells.replace(third, {"n": 4})
    assert changed is not None, "whose version still stands may be as late as it likes"
    assert changed.number == 4


async def test_a_change_that_was_frozen_on_its_way_takes_itself_away(client: Client) -> None:
    clock = Clock()
    cells = Cells(client, clock=clock)
    made = await cells.create("lock", "a", {"n": 1})
    assert made is not None
    second = await cells.replace(made, {"n": 2})
    assert second is not None
    assert await cells.replace(second, {"n": 3})
    await client.delete_many(COLLECTION, {"number": {"$lte": 2}})

    class Frozen:
        """A client that freezes for longer than anything is kept before it sends."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        async def insert_one(self, *args: Any, **options: Any) -> Any:
            clock.now += KEPT
            return await client.insert_one(*args, **options)

    late: Any = Frozen()
    assert await Cells(late, clock=clock).replace(made, {"n": 9}) is None
    stored = await client.query(COLLECTION, {"kind": "lock"})
    assert [one["number"] for one in stored] == [3]


@pytest.mark.parametrize(
    "name", ["", "a#1", "a#0000000001", "50%", "50%25", "Zoë/ñ", "x" * 200, "x" * 5000, "a\n b"]
)
async def test_names_of_any_kind_are_cells_of_their_own(client: Client, name: str) -> None:
    cells = Cells(client, "test")
    assert await cells.create("unique", "a", {"neighbour": True})
    made = await cells.create("unique", name, {"own": 1})
    assert made is not None
    assert await cells.replace(made, {"own": 2})
    found = await cells.read("unique", name)
    neighbour = await cells.read("unique", "a")
    assert found is not None
    assert neighbour is not None
    assert (found.name, found.content) == (name, {"own": 2})
    assert neighbour.content == {"neighbour": True}
    stored = await client.query(COLLECTION, {"kind": "unique"}, {"_id": 1})
    assert all(len(one["_id"].encode()) <= 220 for one in stored)


async def test_namespaces_do_not_see_each_other(client: Client) -> None:
    assert await Cells(client, "production").create("lock", "a", {"n": 1})
    assert await Cells(client, "test").create("lock", "a", {"n": 2})
    assert await Cells(client).read("lock", "a") is None


async def test_a_user_without_the_rights_is_told_so(client: Client, server: LocalServer) -> None:
    server.faults.refuse_collections.add(COLLECTION)
    with pytest.raises(AccessDenied):
        await Cells(client).create("lock", "a", {})


async def test_a_cell_that_this_user_cannot_see_is_not_waited_for(client: Client) -> None:
    cells = Cells(client)
    assert await cells.create("lock", "a", {})

    class Blind:
        """What a user sees who has no rights on the documents of another."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        async def query(self, *_: Any, **__: Any) -> list[Any]:
            return []

    blind: Any = Blind()
    with pytest.raises(AccessDenied, match="may not read it in openiap_worker_state"):
        await Cells(blind).create("lock", "a", {})


async def test_rights_stay_with_the_cell(client: Client) -> None:
    acl = [{"rights": 65535, "_id": "5a1702fa245d9013697656fb", "name": "admins"}]
    cells = Cells(client)
    made = await cells.create("lock", "a", {}, acl=acl)
    assert isinstance(made, Version)
    assert await cells.replace(made, {"n": 1})
    stored = await client.query(COLLECTION, {"kind": "lock"})
    assert [one["_acl"] for one in stored] == [acl, acl]
