"""Turns that are left since pops of others are likely to be in flight still."""

from worker.engine.jam import FULL, PART, SILENCE, SMALL, TIME_TO_END, Jam

TURN = 1 / 32
POP = 0.005
PUSHED = 1_780_000_000.0


def left(jam: Jam, now: float, *, workers: int = 16, share: float = 1.0) -> float:
    """As a worker asks at that moment, in its turn."""
    return jam.left(now, length=TURN, workers=workers, pop=POP, share=share)


def used(jam: Jam, turns: int, **fleet: float) -> list[int]:
    """Which of the turns after a push are used, if nothing goes all the while."""
    jam.came(PUSHED)
    return [
        turn
        for turn in range(1, turns)
        if left(jam, PUSHED + (turn + 0.5) * TURN, **fleet) == 0.0  # type: ignore[arg-type]
    ]


def test_few_turns_are_used_however_long_the_server_answers_nobody() -> None:
    turns = int(SILENCE / TURN) - 1
    assert used(Jam(), turns) == [3, 7, 15]
    assert used(Jam(), turns, workers=SMALL) == list(range(1, turns))
    assert used(Jam(), turns, share=0.9 * FULL) == list(range(1, turns)), "most are full"


def test_each_turn_is_used_where_pops_end_one_after_the_other() -> None:
    jam = Jam()
    for number in range(60):
        now = PUSHED + number * 0.01
        jam.went(str(number), now, heard=True)
        assert number == 0 or left(jam, now + 0.001) == 0.0


def test_who_popped_quickly_of_late_gives_the_pop_before_a_part_of_its_turn_to_end() -> None:
    jam = Jam()
    jam.found(PUSHED - 0.1, quick=True)
    jam.went("one", PUSHED - 0.1, heard=True)
    jam.went("the last of the turn before", PUSHED - 0.002, heard=True)
    wait = left(jam, PUSHED)
    assert 0.0 < wait <= min(PART * TURN, TIME_TO_END * POP)
    assert left(jam, PUSHED + wait + 1e-6) == 0.0
    jam.went("that which was in flight", PUSHED + 0.003, heard=True)
    assert left(jam, PUSHED + 0.003) == 0.0, "it need not wait any longer"
    jam.found(PUSHED + 0.004, quick=False)
    assert left(jam, PUSHED + 0.034) > 0.0, "who met others is more careful"


def test_who_is_told_of_nothing_uses_its_turns() -> None:
    jam = Jam()
    for number in range(9):
        now = PUSHED + number * 0.1
        jam.went(str(number), now, heard=False)  # its own pops find them
        assert left(jam, now + 0.06) == 0.0
    jam.went("heard", PUSHED, heard=True)
    assert left(jam, PUSHED + SILENCE + TURN) == 0.0
