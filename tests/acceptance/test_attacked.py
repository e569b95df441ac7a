"""Workers under attack, in the short form; ``python -m tests.acceptance.long --attacked`` has the
long one. First that the judgement is one: what it has to find, it finds."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.attacked import clocks
from tests.acceptance.attacked.attack import HEAD, Aftermath, attacked, row
from tests.acceptance.attacked.deeds import AFTER, BAD, CHAINED, FORKED, HUNG, PLAIN
from tests.acceptance.attacked.history import histories
from tests.acceptance.attacked.ledger import Books, Entry, judged
from tests.acceptance.attacked.plan import KINDS, PER_MINUTE, SERVER, Attack, planned
from tests.acceptance.results import table, write_section
from tests.cases import each

POPPED = 1_795_869_873_466
AT = "2026-11-28T12:44:33.466Z"


def begun(run: str, attempt: int = 1, popped: str = AT) -> dict[str, Any]:
    return {"event": "start", "run": run, "item": "i", "attempt": attempt, "popped": popped}


def ended(run: str) -> dict[str, Any]:
    return {"event": "end", "run": run, "item": "i"}


DIED = "worker u had this item since "
NOTES = [begun("a"), ended("a"), begun("b", 2), ended("b")]
NEW = Entry("i", PLAIN, "new", payload={"n": 0})
HELD = Entry("i", PLAIN, "processing", 0, POPPED, "u", "u", payload={"n": 0})
WON = Entry("i", PLAIN, "successful", 0, POPPED, "u", "u", payload={"n": 0, "run": "a"})


def changed(entry: Entry, **fields: Any) -> Entry:
    values = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
    return Entry(**{**values, **fields})


def books_of(entries: Sequence[Entry], notes: Sequence[dict[str, Any]] = NOTES) -> Books:
    return judged(entries, notes, [0])


def test_an_item_that_was_worked_once_is_in_order() -> None:
    books = books_of([NEW, HELD, WON])
    assert books.faults() == []
    assert (books.items, books.successful) == (1, 1)


@each(
    ("entries", "what"),
    [
        ([], "1 lost: item 0 never came"),
        ([NEW], "1 lost"),
        ([NEW, Entry("i", PLAIN, "deleted")], "1 lost"),
        ([NEW, HELD], "1 stuck"),
        ([NEW, HELD, changed(HELD, state="failed", error="disk full")], "1 failed wrongly"),
        ([NEW, HELD, changed(NEW, retries=1, error="disk full")], "1 charged"),
        ([NEW, HELD, changed(WON, payload={"n": 0, "run": "c"})], "which never ended"),
        ([NEW, HELD, changed(WON, payload={"n": 0})], "no run, which never ended"),
        ([NEW, HELD, changed(WON, payload={"n": 0, "run": "b"})], "attempt 2 closed attempt 1"),
        ([NEW, changed(HELD, lastrun=POPPED + 5000), WON], "popped -5.0 s from this"),
        ([NEW, changed(HELD, owner="v"), WON], "closed by somebody who did not have it"),
        ([NEW, HELD, WON, changed(WON, payload={"n": 0, "run": "b"})], "then successful"),
        ([NEW, HELD, WON, changed(NEW, retries=1)], "was successful, then new"),
        ([NEW, changed(HELD, retries=2), changed(NEW, retries=1)], "went back to attempt 2"),
        ([NEW, HELD, changed(NEW, writer="v"), HELD, WON], "handed back by somebody"),
        (
            [NEW, HELD, changed(NEW, writer="v", error=f"{DIED}0Z; put back by v")],
            "back by somebody",
        ),
    ],
)
def test_what_must_not_be_is_found(entries: list[Entry], what: str) -> None:
    assert what in "; ".join(books_of(entries).faults())


def test_an_attempt_whose_child_hung_is_told_apart() -> None:
    entries = [NEW, HELD, changed(NEW, retries=1, error=f"forked {HUNG} of 45 s")]
    assert "1 charged" in "; ".join(books_of(entries).faults())
    books = books_of([changed(entry, queue=FORKED) for entry in entries])
    assert (books.hung, books.charged) == (1, [])


def test_another_may_send_the_state_that_is_left_and_nothing_else() -> None:
    decided = changed(HELD, payload={"n": 0, "run": "a"})
    assert books_of([NEW, HELD, decided, changed(WON, writer="v")]).faults() == []
    other = changed(WON, writer="v", payload={"n": 0, "run": "b"})
    assert "did not have it" in "; ".join(books_of([NEW, HELD, decided, other]).faults())


def test_a_take_over_may_cost_nothing_where_it_names_the_run_that_it_ends() -> None:
    back = changed(NEW, writer="v", error=f"{DIED}{AT}; put back by v")
    assert books_of([NEW, HELD, back, HELD, WON]).faults() == []


def test_an_item_that_has_to_fail_is_wrong_where_it_succeeds_or_fails_of_something_else() -> None:
    new = changed(NEW, payload={"n": 0, "how": "bad"})
    failed = changed(HELD, state="failed", error=BAD)
    assert books_of([new, HELD, failed]).faults() == []
    assert "should have failed" in books_of([new, HELD, WON]).faults()[0]
    assert "failed wrongly" in books_of([new, HELD, changed(failed, error="x")]).faults()[0]


def test_the_history_of_an_item_that_is_not_as_it_should_be_is_told(tmp_path: Path) -> None:
    id = "6b0acf57970f958e0b02c4ce"
    entries = [changed(one, item=id) for one in (NEW, HELD)]
    (tmp_path / "w0.log").write_text(f"\x1b[2msaid of {id}\n")
    notes = [{**begun("a"), "item": id, "at": POPPED / 1000, "pid": 7}]
    faults = judged(entries, notes, [0]).faults()
    (told,) = histories([*faults, *faults], entries, notes, tmp_path)
    assert told.splitlines()[1:] == [
        "  new, attempt 1, written by ",
        "  processing, attempt 1 popped 12:44:33.466 by u, written by u",
        "  start of run a in 7, by its clock 12:44:33.466",
        f"  w0: said of {id}",
    ]


def test_each_success_that_has_a_successor_has_just_one() -> None:
    new = changed(NEW, queue=CHAINED)
    won = changed(WON, queue=CHAINED)
    next_one = [
        changed(one, item="j", queue=AFTER, payload={"n": 0, "run": "a"}) for one in (NEW, WON)
    ]
    another = [changed(one, item="k") for one in next_one]
    assert books_of([new, HELD, won, *next_one]).faults() == []
    assert "what follows i" in books_of([new, HELD, won]).faults()[0]
    assert "2 items follow i" in books_of([new, HELD, won, *next_one, *another]).faults()[0]


def test_a_child_that_ended_otherwise_is_found() -> None:
    new = changed(NEW, queue=FORKED, payload={"n": 0, "code": 3})
    won = changed(WON, payload={"n": 0, "run": "a", "code": 0})
    assert "saw 0 of its child" in books_of([new, HELD, won]).faults()[0]


def test_what_others_push_is_not_in_the_books() -> None:
    foreign = [Entry("x", PLAIN, "new", payload={"value": 1}), Entry("y", AFTER, "processing")]
    assert books_of([*foreign, NEW, HELD, WON]).faults() == []


def test_a_seed_repeats_its_plan_and_what_is_left_out_changes_nothing_else() -> None:
    whole = planned(Attack(3))
    assert planned(Attack(3)) == whole
    assert planned(Attack(4)) != whole
    assert {fault.kind for fault in planned(Attack(3, seconds=10))} == set(PER_MINUTE)
    less = planned(Attack(3, without=frozenset({"kills", "clocks"})))
    assert less == [fault for fault in whole if fault.kind not in ("kills", "clocks")]
    assert all(fault.at < 300 * 0.9 for fault in whole)
    assert {fault.whom for fault in whole} == {SERVER, *range(4)}
    assert planned(Attack(3, without=frozenset(KINDS))) == []
    with pytest.raises(ValueError, match="without storms: allowed are"):
        Attack(3, without=frozenset({"storms"}))


def test_without_libfaketime_clocks_stay_right_and_the_row_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "PLACES", ())
    monkeypatch.delenv("LIBFAKETIME", raising=False)
    assert clocks.library() == ""
    assert clocks.Clock(tmp_path / "clock", faked=False).environment == {}
    after = Aftermath(Attack(1, without=frozenset({"kills"})), not_run=[clocks.MISSING])
    assert row(after)[-1] == f"kills, {clocks.MISSING}"
    assert len(row(after)) == len(HEAD)


@pytest.mark.dear
async def test_workers_under_attack_lose_nothing_and_overwrite_nothing(tmp_path: Path) -> None:
    after = await attacked(Attack(1, workers=3, seconds=25), tmp_path)
    for missing in after.not_run:
        warnings.warn(missing, stacklevel=1)
    assert after.faults() == [], "\n".join(after.histories)
    write_section("Attacked", table(HEAD, [row(after)]))
