"""What workers and the console ask over and over costs no more of 2,000 done items than of 20."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from worker.localserver.operations.options import ServerOptions
from worker.localserver.operations.queries import Queries
from worker.localserver.operations.services import Services
from worker.localserver.operations.workitems import NewItem
from worker.localserver.storage.user import administrator
from worker.management.items.filters import query_of
from worker.management.items.store import LISTED
from worker.management.items.types import ItemFilter

ITEMS: Final = "workitems"
USER: Final = administrator("somebody")
FEW, MANY, LEFT = 20, 2_000, 5
STEPS: Final = 10
"""Of SQLite's machine in one look."""
COUNT: Final = {"count": {"$sum": 1}}
SINCE: Final = {"since": {"$min": {"$max": ["$nextrun", "$_created"]}}}
Ask = Callable[[Queries], object]


def of(**filter: Any) -> dict[str, Any]:
    return query_of(ItemFilter(**filter))


def count(query: dict[str, Any]) -> Ask:
    return lambda queries: queries.count(ITEMS, query, USER)


def query(query: dict[str, Any], *order: str, top: int = 50) -> Ask:
    orderby = dict.fromkeys(order, 1)
    return lambda queries: queries.query(
        ITEMS, query, projection=LISTED, orderby=orderby, top=top, reader=USER
    )


def grouped(match: dict[str, Any], group: dict[str, Any]) -> Ask:
    stages = [{"$match": match}, {"$group": group}, {"$limit": 100}]
    return lambda queries: queries.aggregate(ITEMS, stages, USER)


@pytest.fixture(scope="module")
def few() -> Services:
    return filled(FEW)


@pytest.fixture(scope="module")
def many() -> Services:
    return filled(MANY)


def filled(done: int) -> Services:
    services = Services(ServerOptions())
    services.documents.insert("mq", {"_type": "workitemqueue", "name": "a"}, USER, services.now())
    queue = services.queues.find("a", "")
    assert queue is not None
    past = services.now() - 1_000
    for n in range(done + 3 * LEFT):
        services.workitems.push(queue, NewItem(json.dumps({"n": n})), (), USER, past)
    for state in ("failed", "processing", "successful"):
        most = done if state == "successful" else LEFT
        services.store.write(
            "UPDATE workitems SET state = ?, nextrun = NULL WHERE seq IN"
            " (SELECT seq FROM workitems WHERE state = 'new' LIMIT ?)",
            (state, most),
        )
    return services


@contextmanager
def counted_steps(services: Services) -> Iterator[list[int]]:
    steps = [0]

    def step() -> None:
        steps[0] += 1

    services.store._connection.set_progress_handler(step, STEPS)
    try:
        yield steps
    finally:
        services.store._connection.set_progress_handler(None, STEPS)


DUE = {"wiq": "a", "state": "new", "nextrun": {"$lte": "2100-01-01T00:00:00.000Z"}}
QUESTIONS: dict[str, Ask] = {
    "all": count({}),
    "items": count({"_type": "workitem"}),
    "those of a queue": count(of(queue="a")),
    "those done": count({"wiq": "a", "state": "successful"}),
    "those in two states": count(of(queue="a", states=["successful", "new"])),
    "those due": count(DUE),
    "the first due": query(DUE, "nextrun"),
    "the first that run": query({"wiq": "a", "state": "processing"}, "lastrun"),
    "all by queue and state": grouped({}, {"_id": {"wiq": "$wiq", "state": "$state"}, **COUNT}),
    "waiting since": grouped(
        {k: DUE[k] for k in ("state", "nextrun")}, {"_id": {"wiq": "$wiq"}, **SINCE}
    ),
    "errors": query(of(states=["failed"]), "_id", top=500),
    "errors of a queue": query(of(states=["failed"], queue="a"), "_id", top=500),
    "a list of failed ones": query(of(states=["failed"], queue="a"), "_created", "_id"),
    "a list of those that run": query(of(states=["processing"]), "_created", "_id"),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_costs_no_more_of_many_done_items(
    few: Services, many: Services, ask: Ask
) -> None:
    taken = []
    for services in (few, many):
        ask(services.queries)  # counted once
        with counted_steps(services) as steps:
            ask(services.queries)
        taken.append(steps[0])
    assert taken[1] <= taken[0] * 1.2 + 5


def test_alternatives_of_payloads_are_found_by_the_index_of_each(
    few: Services, many: Services
) -> None:
    alternatives = {"$or": [{"payload.n": 9}, {"payload.m.id": 1}, {"state": "failed"}]}
    taken = []
    for services in (few, many):
        for field in ("payload.n", "payload.m.id"):
            services.collections.create_index(ITEMS, {field: 1}, {}, field)
        with counted_steps(services) as steps:
            found = services.queries.query(ITEMS, alternatives, orderby={"_id": 1}, reader=USER)
        taken.append(steps[0])
        assert [one["payload"]["n"] for one in found] == [0, 1, 2, 3, 4, 9]
    assert taken[1] <= taken[0] * 1.2 + 5


def test_what_is_counted_is_what_there_is(many: Services) -> None:
    queries = many.queries
    of_states = {"successful": MANY, "failed": LEFT, "processing": LEFT, "new": LEFT}
    for state, there in of_states.items():
        assert queries.count(ITEMS, {"wiq": "a", "state": state}, USER) == there
        assert len(queries.query(ITEMS, {"state": state}, top=3 * MANY, reader=USER)) == there
    assert queries.count(ITEMS, {}, USER) == sum(of_states.values())
    assert queries.count(ITEMS, DUE, USER) == LEFT
    assert queries.count(ITEMS, {"wiq": "b"}, USER) == 0
    assert queries.count(ITEMS, {"state": {"$in": ["new", "failed"]}}, USER) == 2 * LEFT
    assert queries.count(ITEMS, {"state": {"$ne": "new"}}, USER) == MANY + 2 * LEFT
    groups = QUESTIONS["all by queue and state"](queries)
    assert isinstance(groups, list)
    assert {(one["_id"]["wiq"], one["_id"]["state"]): one["count"] for one in groups} == {
        ("a", state): there for state, there in of_states.items()
    }
