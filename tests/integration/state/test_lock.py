"""Locks: at most one holds it, and one that died or froze is followed and harms nothing."""

import asyncio
import signal

import pytest

from tests.integration.state.conftest import MakeClient
from worker import LockLost, LockTimeout, State
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.state.cells import COLLECTION


async def test_one_after_another_holds_it_and_the_number_grows(make: MakeClient) -> None:
    states = [State(await make()), State(await make("native"))]
    inside, numbers, most = 0, [], 0

    async def work(state: State) -> None:
        nonlocal inside, most
        for _ in range(5):
            async with state.lock("a", "20s") as held:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                held.check()
                numbers.append(held.number)
                inside -= 1

    async with asyncio.timeout(100):
        await asyncio.gather(*(work(state) for state in states for _ in "ab"))
    assert most == 1
    assert numbers == list(range(1, 21))


async def test_a_killed_holder_is_followed_after_its_lease(process) -> None:
    first, second = await process(), await process("native")
    assert await first.ask("hold a 2s") == 1
    second.tell("hold a 30s")
    first.signal(signal.SIGKILL)
    assert await second.answer() == 2
    assert await second.ask("check") == "held"


@pytest.mark.parametrize("kind", ["native", pytest.param("official", marks=pytest.mark.dear)])
async def test_a_frozen_holder_comes_back_and_knows_that_it_lost(process) -> None:
    first, second = await process(), await process("native")
    assert await first.ask("hold a 2s") == 1
    first.signal(signal.SIGSTOP)
    assert await second.ask("hold a 30s") == 2
    first.tell("check")
    first.signal(signal.SIGCONT)
    assert await first.answer() == "lost"
    assert await first.ask("release") == "released"
    assert await second.ask("check") == "held", "what the first one let go was not the lock"
    second.tell("release")
    assert await second.answer() == "released"
    assert await first.ask("hold a 2s") == 3


@pytest.mark.dear
@pytest.mark.parametrize("kind", ["native", pytest.param("official", marks=pytest.mark.dear)])
async def test_a_holder_keeps_it_for_longer_than_its_lease(make: MakeClient) -> None:
    mine, other = State(await make()), State(await make("native"))
    # A renewal has 4 s until the lease is over: the machine may stand still for some of them.
    async with mine.lock("a", "6s") as held:
        with pytest.raises(LockTimeout, match="lock 'a' was not free within 8s"):
            await other.lock("a", wait="8s").acquire()
        held.check()
    async with other.lock("a", wait=0) as now:
        assert now.number == 2
    with pytest.raises(LockLost, match=r"lock 'a' \(number 1\) is lost"):
        held.check()


@pytest.mark.dear
async def test_a_lost_answer_does_not_lose_the_lock(
    make: MakeClient, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lease that outlasts a machine that stands still, and renewals that do not wait for it.
    monkeypatch.setattr("worker.state.lock.RENEWALS", 12)
    state, observer = State(await make()), await make("native")
    server.faults.lose_replies["insertone"] = 1
    async with state.lock("a", "12s") as held:
        assert held.number == 1
        server.faults.lose_replies["insertone"] = 1
        async with asyncio.timeout(60):
            while server.faults.lose_replies["insertone"]:
                await asyncio.sleep(0.02)
            # Made, renewed without an answer, renewed again.
            while await observer.count(COLLECTION, {"kind": "lock"}) < 3:
                await asyncio.sleep(0.02)
        held.check()


@pytest.mark.dear
async def test_a_refusal_for_the_moment_does_not_lose_the_lock(
    make: MakeClient, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.state.lock.RENEWALS", 12)
    state, observer = State(await make()), await make("native")
    async with state.lock("a", "12s") as held:
        server.faults.refuse["insertone"] = 2
        async with asyncio.timeout(60):
            while await observer.count(COLLECTION, {"kind": "lock"}) < 2:
                assert not held.lost.is_set()
                await asyncio.sleep(0.02)
        held.check()


@pytest.mark.dear
async def test_a_holder_that_hears_nothing_any_more_loses_it(
    make: MakeClient, server: LocalServer
) -> None:
    state = State(await make())
    lock = state.lock("a", "1s")
    held = await lock.acquire()
    server.faults.silent = True
    async with asyncio.timeout(60):
        await held.lost.wait()
    with pytest.raises(LockLost):
        held.check()
    server.faults.silent = False
    await lock.release()
    again = await state.lock("a", wait="60s").acquire()
    assert again.number == 2


async def test_documents_deleted_by_hand_leave_the_lock_with_one_of_two(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The renewals decide, each after 2 s, and no lease that is over meanwhile.
    monkeypatch.setattr("worker.state.lock.RENEWALS", 15)
    locks = [State(client).lock("a", "30s") for _ in "ab"]
    first = await locks[0].acquire()
    await client.delete_many(COLLECTION, {"kind": "lock"})
    second = await locks[1].acquire()
    assert (first.number, second.number) == (1, 1)
    waits = [asyncio.create_task(held.lost.wait()) for held in (first, second)]
    async with asyncio.timeout(60):
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    assert [wait.done() for wait in waits].count(True) == 1
    for lock in locks:
        await lock.release()
    await asyncio.gather(*waits)


async def test_a_lock_does_not_nest(client: Client) -> None:
    lock = State(client).lock("a")
    async with lock:
        with pytest.raises(RuntimeError, match="held through this object already"):
            await lock.acquire()
    await lock.release()


@pytest.mark.parametrize(
    ("name", "lease", "text"),
    [
        ("", "30s", 'lock: "" is empty; allowed: text of 1 to 1,000 bytes'),
        (
            "x" * 5000,
            "30s",
            f"lock: '{'x' * 40}'… has 5,000 bytes; allowed: text of 1 to 1,000 bytes",
        ),
        ("a", "0.5s", "lock: lease = '0.5s' is too short; allowed: at least 1s"),
    ],
)
async def test_what_no_lock_can_be_is_refused(name: str, lease: str, text: str) -> None:
    unused: Client = None  # type: ignore[assignment]
    with pytest.raises(ValueError) as refused:
        State(unused).lock(name, lease)
    assert str(refused.value) == text
