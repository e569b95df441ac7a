"""The pure rules: updates, payloads, topics, paths, files' names, faults."""

from dataclasses import replace
from typing import Any

import pytest

from worker.localserver.operations.messages import topic_fits
from worker.localserver.operations.options import Faults
from worker.localserver.operations.queries import item_condition
from worker.localserver.operations.watches import path_filter
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.files import base_name
from worker.localserver.storage.item_rules import (
    Change,
    Queue,
    StoredItem,
    Target,
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


@pytest.mark.parametrize("retries", range(4))
@pytest.mark.parametrize("errortype", ["", "application", "business"])
@pytest.mark.parametrize("ignore", [False, True])
def test_a_retry_is_a_new_attempt_or_the_end(retries: int, errortype: str, ignore: bool) -> None:
    item = replace(ITEM, retries=retries)
    change = Change(state="retry", errortype=errortype, ignoremaxretries=ignore)
    updated, target = apply_update(item, change, QUEUE, NOW)
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
    done = Change(state="successful")
    assert apply_update(own, done, queue, NOW)[1] == Target(wiqid="own")
    assert apply_update(ITEM, done, queue, NOW)[1] == Target(wiq="of queue")
    assert apply_update(ITEM, Change(state="failed"), queue, NOW)[1] == Target(wiqid="f")
    finished, _ = apply_update(ITEM, done, queue, NOW)
    assert apply_update(finished, done, queue, NOW)[1] is None, "a repeat makes no second copy"


@pytest.mark.parametrize("value", [None, False, 0, ""])
def test_empty_scalars_are_pushed_as_nothing(value: object) -> None:
    assert payload_of_push(value) == {}


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("a.*", "a", False),
        ("a.#", "a", True),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("*.b", "a.b", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a+", "aa", False),
    ],
)
def test_topics_fit_word_by_word(pattern: str, key: str, fits: bool) -> None:
    assert topic_fits(pattern, key) is fits


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("", True),
        ("$.", True),
        ("$.[?(@._type == 'test')]", True),
        ('$[?(@._type=="test")]', True),
        ("$.[?(@._type === 'test' && @.n == 1)]", True),
        ("$.[?(@.n != 1)]", False),
        ("$.[?(@.gone == 'x')]", False),
        ("$.[?(@.n.deeper == 'x')]", False),
    ],
)
def test_paths_choose_documents(path: str, fits: bool) -> None:
    assert path_filter(path).fits({"_type": "test", "n": 1}) is fits


@pytest.mark.parametrize(
    ("path", "may_fit"),
    [
        ("", True),
        ("$.[?(@.state == 'new')]", False),
        ("$.[?(@.state != 'new')]", True),
        ("$.[?(@.state == 'processing' && @.unknown == 1)]", True),
        ("$.[?(@.state.deeper == 'x')]", True),
    ],
)
def test_a_glimpse_rules_out_what_it_can(path: str, may_fit: bool) -> None:
    assert path_filter(path).may_fit({"state": "processing"}) is may_fit


@pytest.mark.parametrize(
    "path", ["$.[?(@.a > 1)]", "$.store..book", "$.[?(@.a == oops)]", "garbage"]
)
def test_paths_that_are_not_understood_are_refused(path: str) -> None:
    with pytest.raises(RefusedError, match=r"cannot watch the path"):
        path_filter(path)


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


def test_what_sql_answers_of_a_query_is_taken_out_of_it() -> None:
    where, values, rest = item_condition(
        {
            "_id": {"$in": ["1", "2"]},
            "wiq": "q'; DROP TABLE workitems; --",
            "state": "processing",
            "retries": 1,
            "_type": "workitem",
            "wiqid": {"$in": [1]},
        }
    )
    assert where == "id IN (?, ?) AND wiq = ? AND state = 'processing'"
    assert values == ["1", "2", "q'; DROP TABLE workitems; --"]
    assert rest == {"retries": 1, "wiqid": {"$in": [1]}}


def test_faults_change_all_together_or_not_at_all() -> None:
    faults = Faults()
    faults.change({"silent": True, "refuse_collections": ["a"], "delay": {"count": 1}})
    assert (faults.silent, faults.refuse_collections, faults.delay) == (True, {"a"}, {"count": 1})
    wrong: list[dict[str, Any]] = [{"nope": 1}, {"silent": 1}, {"lose_pop_replies": True}]
    for values in wrong:
        with pytest.raises(ValueError, match=r"there is no fault|takes a"):
            faults.change({"lose_update_replies": 7, **values})
    assert faults.lose_update_replies == 0
