"""The kept numbers of items are those of the table, whatever became of them."""

import random
from collections import Counter
from typing import Any

import pytest

from worker.localserver.operations.options import ServerOptions
from worker.localserver.operations.services import Services
from worker.localserver.operations.workitems import NewItem
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.item_documents import document_of, item_of
from worker.localserver.storage.item_rules import ItemUpdate, Queue
from worker.localserver.storage.user import administrator

ITEMS = "workitems"
USER = administrator("somebody")


@pytest.fixture
def services() -> Services:
    services = Services(ServerOptions())
    for name in ("a", "b"):
        document = {"_type": "workitemqueue", "name": name, "maxretries": 2}
        services.documents.insert("mq", document, USER, services.now())
    return services


def queue_of(services: Services, name: str) -> Queue:
    queue = services.queues.find(name, "")
    assert queue is not None
    return queue


def in_table(services: Services) -> dict[tuple[str, str], int]:
    rows = services.store.rows("SELECT wiq, state FROM workitems")
    return dict(Counter((wiq, state) for wiq, state in rows))


def kept(services: Services) -> dict[tuple[str, str], int]:
    return {place: count for place, count in services.item_table.counts.held().items() if count}


def push(services: Services, name: str) -> str:
    new = NewItem(payload="{}")
    queue = queue_of(services, name)
    return services.workitems.push(queue, new, (), USER, services.now() - 1_000).id


def test_every_way_of_an_item_is_counted(services: Services) -> None:
    chance = random.Random(7)
    ids = [push(services, name) for name in "aabb"]
    assert kept(services) == {("a", "new"): 2, ("b", "new"): 2}

    def one() -> str:
        return chance.choice(ids)

    def pop() -> None:
        services.workitems.pop(queue_of(services, chance.choice("ab")), USER, services.now())

    def update() -> None:
        item = services.workitems.find(one(), USER)
        if item is not None:
            state = chance.choice(("successful", "failed", "retry", "processing"))
            services.workitems.update(item, ItemUpdate(state=state), (), USER, services.now())

    def change() -> None:
        fields: dict[str, Any] = chance.choice(({"state": "successful"}, {"wiq": "b"}, {"n": 1}))
        services.documents.change(ITEMS, {"_id": one()}, {"$set": fields}, USER, services.now())

    def replace() -> None:
        item = services.item_table.get(one())
        if item is not None:
            document = {**document_of(item), "state": chance.choice(("new", "failed"))}
            services.documents.replace(ITEMS, document, USER, services.now())

    def delete() -> None:
        gone = one()
        if services.workitems.find(gone, USER) is not None and chance.random() < 0.3:
            services.workitems.delete(gone, USER)

    def delete_many() -> None:
        if chance.random() < 0.1:
            services.documents.delete_many(ITEMS, {"state": "failed"}, [], USER)

    def insert() -> None:
        document = {"_type": "workitem", "wiq": chance.choice("ab")}
        ids.append(services.documents.insert(ITEMS, document, USER, services.now())["_id"])

    deeds = (pop, update, change, replace, delete, delete_many, insert)
    for _ in range(300):
        ids.append(push(services, chance.choice("ab")))
        chance.choice(deeds)()
        assert kept(services) == in_table(services)


def test_what_is_undone_is_not_counted(services: Services) -> None:
    push(services, "a")
    assert kept(services) == {("a", "new"): 1}
    services.store.commit()

    def refused() -> None:
        with services.store.undone_on_error():
            push(services, "a")
            raise RefusedError("no")

    for before in (False, True):  # alone in its transaction, and behind another command
        if before:
            services.store.begin()
        with pytest.raises(RefusedError):
            refused()
        assert kept(services) == in_table(services) == {("a", "new"): 1}


@pytest.mark.parametrize("odd", [{"priority": 2**70}, {"name": "\ud800"}])
def test_what_cannot_be_stored_is_not_counted(services: Services, odd: dict[str, Any]) -> None:
    gone = push(services, "a")
    assert kept(services) == {("a", "new"): 1}
    services.store.commit()
    services.store.begin()  # behind another command
    update = {"$set": {"state": "successful", **odd}}
    with pytest.raises((OverflowError, UnicodeEncodeError)), services.store.undone_on_error():
        services.documents.change(ITEMS, {"_id": gone}, update, USER, services.now())
    assert kept(services) == in_table(services) == {("a", "new"): 1}


def test_what_is_refused_without_a_write_has_nothing_counted_anew(services: Services) -> None:
    push(services, "a")
    held = services.item_table.counts.held()
    services.store.commit()
    for before in (False, True):
        if before:
            services.store.begin()
        with pytest.raises(RefusedError), services.store.undone_on_error():
            raise RefusedError("no such queue")
        assert services.item_table.counts.held() is held


def test_a_purged_queue_counts_nothing(services: Services) -> None:
    for name in "aab":
        push(services, name)
    assert kept(services)[("a", "new")] == 2
    services.item_table.delete_queue(queue_of(services, "a").id)
    assert kept(services) == {("b", "new"): 1}


def test_an_item_that_is_there_already_is_not_counted(services: Services) -> None:
    push(services, "a")
    assert kept(services) == {("a", "new"): 1}
    item = item_of({"_id": "same", "wiq": "a", "wiqid": queue_of(services, "a").id, "files": []})
    services.item_table.insert(item, services.now())
    with pytest.raises(Exception, match="UNIQUE"), services.store.undone_on_error():
        services.item_table.insert(item, services.now())
    assert kept(services) == in_table(services) == {("a", "new"): 2}
