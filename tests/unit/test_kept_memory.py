"""What a process keeps for large payloads: how much, from when on, and that it is of use."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from worker.app.signature import signature_of
from worker.engine.payloads import payload_for
from worker.kept_memory import CALM, MOST_RESERVED, OBJECTS, STEP, Reserve
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import workitem

FAULTS = """
import gc, json, resource
from pydantic import BaseModel
from worker.kept_memory import Reserve

class Row(BaseModel):
    n: int
    text: str

class Rows(BaseModel):
    rows: list[Row]

text = json.dumps({"rows": [{"n": n, "text": "x" * 40} for n in range(16_000)]})
gc.set_threshold(50_000)
reserve = Reserve(50_000)

def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        Rows.model_validate_json(text)
        received = bytearray()
        for _ in range(16):
            received += bytes(64 * 1024)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // count

faults(3)
before = faults(10)
for _ in range(4):
    reserve.hold(len(text))
    faults(1)
print(before, faults(10))
"""


@pytest.fixture
def threshold(request: pytest.FixtureRequest) -> Iterator[None]:
    """The collector's, as in a worker; or as the test's parameter says."""
    found, told = gc.get_threshold(), list(gc.callbacks)
    gc.callbacks.clear()  # workers of other tests may have left theirs
    gc.set_threshold(getattr(request, "param", 50_000))
    yield
    gc.set_threshold(*found)
    gc.callbacks[:] = told


def test_the_next_large_payload_finds_its_memory_there() -> None:
    if sys.platform != "linux":
        return  # no faults are counted elsewhere
    # In a process of its own: it changes the whole of it.
    ran = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert before > 800
    assert after < before / 2


@pytest.mark.usefixtures("threshold")
def test_as_much_is_kept_as_the_largest_payload_takes_and_no_more_than_the_bound() -> None:
    reserve, held = Reserve(50_000), []
    for characters in (100_000, 100_000, 1_000_000, *[1_000_000] * 5, *[15_000_000] * 20):
        reserve.hold(characters)
        held.append(reserve.held)
    assert held[1] == held[0] == STEP
    assert held[2] == 2 * STEP, "a part at a time: each stops the loop"
    assert 1_000_000 * OBJECTS <= held[7] < 1_000_000 * OBJECTS + STEP
    assert held[-1] == MOST_RESERVED
    assert gc.get_threshold()[0] == 50_000 + 1_500_000


@pytest.mark.usefixtures("threshold")
def test_circles_are_looked_for_as_often_as_ever_once_large_payloads_have_ended() -> None:
    now = 1_000.0
    reserve = Reserve(50_000, clock=lambda: now)
    for _ in range(2):
        reserve.hold(1_000_000)
        gc.collect(0)
        assert gc.get_threshold()[0] == 50_000 + 100_000, "the next one may be on its way"
        now += CALM
        gc.collect(0)
        assert gc.get_threshold()[0] == 50_000


@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize("threshold", [700], indirect=True)
def test_a_program_that_is_not_ours_keeps_its_collector_and_its_memory() -> None:
    before = gc.get_threshold()
    reserve = Reserve(50_000)
    reserve.hold(1_000_000)
    assert (reserve.held, gc.get_threshold()) == (0, before)


async def test_large_payloads_come_one_after_another_and_a_handler_in_between() -> None:
    reserve, told, alive = Reserve(50_000), [], set[int]()

    async def handler() -> None:
        return

    async def work(number: int) -> None:
        await reserve.turn()
        alive.add(number)
        told.append(len(alive))
        await asyncio.create_task(handler())
        alive.discard(number)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, range(8)))
    assert told == [1] * 8


async def test_who_is_cancelled_while_it_waits_holds_up_nobody() -> None:
    reserve = Reserve(50_000)
    waiting = [asyncio.create_task(reserve.turn()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    async with asyncio.timeout(60):
        await waiting[2]


class Texts(BaseModel):
    texts: list[str]


async def handle(work: Texts) -> None: ...


@pytest.mark.usefixtures("threshold")
@pytest.mark.parametrize(("size", "held"), [(1_000, 0), (100_000, STEP)])
async def test_memory_is_kept_from_the_first_large_payload_on(size: int, held: int) -> None:
    reserve = Reserve(50_000)
    item = workitem(pb.Workitem(payload=f'{{"texts":["{"x" * size}"]}}'))
    signature = signature_of(handle, name="handle")
    payload, refused = await payload_for(
        signature, item, large=held > 0, handler="handle", reserve=reserve
    )
    assert (payload, refused) == (Texts(texts=["x" * size]), None)
    assert reserve.held == held
