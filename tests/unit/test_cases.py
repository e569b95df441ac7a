"""Cases of one test: each runs, and each that fails is told."""

import inspect

import pytest

from tests.cases import each


def test_each_case_runs_and_each_that_fails_is_named() -> None:
    ran: list[tuple[int, str]] = []

    @each("number", [1, 2, 3])
    @each(("letter", "more"), [("a", 0), ("b", 1)])
    def shown(tmp_path: str, number: int, letter: str, more: int) -> None:
        ran.append((number, letter))
        if number == 2:
            with pytest.raises(ValueError):
                pass
        assert (number, letter) != (3, "b"), tmp_path

    assert list(inspect.signature(shown).parameters) == ["tmp_path"]
    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases failed") as failed:
        shown(tmp_path="fixture")
    assert ran == [(n, letter) for n in (1, 2, 3) for letter in "ab"]
    second, third = failed.value.exceptions
    assert (second.__notes__, third.__notes__) == (["number = 2"], ["number = 3"])
    assert "2 of 2 cases failed" in str(second)
    assert isinstance(third, BaseExceptionGroup)
    (last,) = third.exceptions
    assert (str(last).splitlines()[0], last.__notes__) == ("fixture", ["letter = 'b', more = 1"])


async def test_coroutines_are_awaited() -> None:
    ran = []

    @each("number", range(3))
    async def shown(number: int) -> None:
        ran.append(number)
        assert number != 1

    with pytest.raises(BaseExceptionGroup, match="1 of 3"):
        await shown()
    assert ran == [0, 1, 2]


def test_no_case_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no case of number"):
        each("number", [])
