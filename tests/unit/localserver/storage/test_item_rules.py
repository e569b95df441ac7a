"""The pure rules of items and files: updates, payloads, names."""

from dataclasses import replace

import pytest

from tests.cases import each
from worker.localserver.storage.files import base_name
from worker.localserver.storage.item_rules import (
    ChainTarget,
    ItemUpdate,
    Queue,
    StoredItem,
    apply_update,
    payload_of_push,
)

NOW = 1_800_000_000_000
ITEM = StoredItem(
    id="i",
    wiqid="q",
    wiq="queue",
    state="processing",
    priority=2,
    nextrun=None,
    lastrun=NOW - 1000,
    retries=0,
    name="name",
    payload="{}",
    files=[],
    userid="u",
    username="user",
)
QUEUE = Queue(id="q", name="queue", maxretries=3, retrydelay=10)


@each("retries", range(4))
@each("errortype", ["", "application", "business"])
@each("ignore", [False, True])
def test_a_retry_is_a_new_attempt_or_the_end(retries: int, errortype: str, ignore: bool) -> None:
    item = replace(ITEM, retries=retries)
    update = ItemUpdate(state="retry", errortype=errortype, ignoremaxretries=ignore)
    updated, target = apply_update(item, update, QUEUE, NOW)
    if ignore or (errortype != "business" and retries + 1 < 3):
        assert (updated.state, updated.retries) == ("new", retries + 1)
        assert (updated.userid, updated.nextrun) == ("", NOW + 10_000)
    else:
        assert (updated.state, updated.retries, updated.userid) == ("failed", retries, "u")
    assert target is None
    assert item.state == "processing", "the stored item is not touched"


def test_an_items_own_chain_comes_before_its_queues() -> None:
    queue = replace(QUEUE, success_wiq="of queue", failed_wiqid="f")
    own = replace(ITEM, success_wiqid="own")
    done = ItemUpdate(state="successful")
    assert apply_update(own, done, queue, NOW)[1] == ChainTarget(wiqid="own")
    assert apply_update(ITEM, done, queue, NOW)[1] == ChainTarget(wiq="of queue")
    assert apply_update(ITEM, ItemUpdate(state="failed"), queue, NOW)[1] == ChainTarget(wiqid="f")
    finished, _ = apply_update(ITEM, done, queue, NOW)
    assert apply_update(finished, done, queue, NOW)[1] is None, "a repeat makes no second copy"


@pytest.mark.parametrize("value", [None, False, 0, ""])
def test_empty_scalars_are_pushed_as_nothing(value: object) -> None:
    assert payload_of_push(value) == {}


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("a.txt", "a.txt"),
        ("../../x", "x"),
        ("C:\\dir\\x.txt", "x.txt"),
        ("/", ""),
        ("dir/", "dir"),
        ("", ""),
    ],
)
def test_file_names_are_reduced_to_their_last_part(name: str, base: str) -> None:
    assert base_name(name) == base
