"""When cancelled items are looked for: at a note, else now and then."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.engine import cancellations
from worker.engine.cancellations import KEPT, UNTOLD, Cancellations
from worker.engine.in_flight import Running
from worker.item.cancelled import cancelling, note_of
from worker.openiap.client import Client
from worker.openiap.errors import Disconnected
from worker.openiap.workitem import PROCESSING
from worker.telemetry.log import Log

HEARTBEAT = 10.0


class House:
    """A worker's cancellations, what they asked for, and whom they stopped."""

    def __init__(self, *ids: str) -> None:
        self.heard = True
        self.on_cancelled: Any = None
        self.asked: list[list[str]] = []
        self.stopped: list[str] = []
        self.away = False
        self.cancelled: set[str] = set()
        self.running = [
            SimpleNamespace(
                stage="handling",
                popped=0.0,
                cancelled="",
                workitem=SimpleNamespace(id=id, wiq="q", retries=0),
            )
            for id in ids
        ]
        self.service = Cancellations(
            lambda: cast("list[Running]", self.running),
            self._stop,
            client=cast(Client, SimpleNamespace(query=self._query)),
            interval=HEARTBEAT,
            notes=self,
            log=Log("error"),
        )

    def _stop(self, queue: str, id: str) -> bool:
        self.stopped.append(id)
        return True

    async def _query(self, _: str, query: Any, *__: Any, **___: Any) -> list[Any]:
        if self.away:
            raise Disconnected("the link is down")
        self.asked.append(sorted(query["_id"]["$in"]))
        document = {"state": PROCESSING, "retries": 0}
        found = {**document, **cancelling(document, "no")[1]}
        return [{**found, "_id": id} for id in query["_id"]["$in"] if id in self.cancelled]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1.0]
    monkeypatch.setattr(cancellations, "uptime", lambda: now[0])
    return now


async def test_a_note_has_its_item_alone_looked_at_and_others_wait(clock: list[float]) -> None:
    house = House("a", "b")
    house.cancelled = {"a"}
    house.on_cancelled("a")
    assert await house.service.round() == HEARTBEAT
    assert (house.asked, house.stopped) == ([["a"]], ["a"])
    clock[0] += HEARTBEAT
    await house.service.round()
    assert house.asked[1:] == [["b"]]


async def test_what_a_note_told_is_looked_at_again_after_a_cut_and_after_the_start(
    clock: list[float],
) -> None:
    house = House("a")
    house.cancelled, house.away = {"a"}, True
    house.on_cancelled("a")
    assert await house.service.round() == UNTOLD
    house.away, house.running[0].stage = False, "preparing"
    assert await house.service.round() == UNTOLD
    house.running[0].stage = "handling"
    assert await house.service.round() == HEARTBEAT
    assert house.stopped == ["a"]


async def test_a_note_that_comes_before_its_item_counts_for_a_while(clock: list[float]) -> None:
    house, popped = House(), House("late").running
    house.cancelled = {"late"}
    house.on_cancelled("late")
    assert await house.service.round() == UNTOLD, "the answer to its pop may be on its way"
    house.running.extend(popped)
    assert await house.service.round() == HEARTBEAT
    assert house.stopped == ["late"]
    house.running.clear()
    house.on_cancelled("elsewhere")
    clock[0] += KEPT
    assert await house.service.round() == HEARTBEAT


async def test_without_a_watch_looks_are_a_few_seconds_apart(clock: list[float]) -> None:
    house = House("a")
    house.cancelled, house.heard = {"a"}, False
    clock[0] = UNTOLD
    assert await house.service.round() == UNTOLD
    assert house.stopped == ["a"]


def test_a_note_has_the_rights_of_its_item_and_is_no_signal() -> None:
    acl = [{"_id": "1", "rights": 14}]
    note = note_of({"_id": "a", "wiq": "q", "_acl": acl})
    assert note.pop("_id") != note_of({"_id": "a"})["_id"]
    assert note == {"_type": "cancellation", "item": "a", "wiq": "q", "_acl": acl}
