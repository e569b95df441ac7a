"""Many cases of one promise as one test.

pytest collects each parameter as a test of its own, in each of its processes, and tells about it;
where a case takes microseconds, that is nearly all it costs.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

Test = Callable[..., Any]


def each(names: str | Sequence[str], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Run a test with each of these cases, as ``pytest.mark.parametrize`` does, but as one test.

    All cases run, and each that fails is named. Fixtures are made once, for all of them together.

    Args:
        names: the test's arguments that a case gives.
        cases: the values; of several names a sequence of them.

    Raises:
        ValueError: there is no case, or one has more or fewer values than there are names.
    """
    given = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    alone = isinstance(names, str) and len(given) == 1
    every = [dict(zip(given, [case] if alone else case, strict=True)) for case in cases]
    if not every:
        raise ValueError(f"there is no case of {', '.join(given)}")

    def around(test: Test) -> Test:
        @functools.wraps(test)
        def one_by_one(**fixtures: Any) -> None:
            with _Failures(len(every)) as failures:
                for case in every:
                    with failures.kept(case):
                        test(**fixtures, **case)

        @functools.wraps(test)
        async def one_after_the_other(**fixtures: Any) -> None:
            with _Failures(len(every)) as failures:
                for case in every:
                    with failures.kept(case):
                        await test(**fixtures, **case)

        runs: Any = one_after_the_other if inspect.iscoroutinefunction(test) else one_by_one
        asked = inspect.signature(test)
        left = [one for name, one in asked.parameters.items() if name not in given]
        runs.__signature__ = asked.replace(parameters=left)
        return runs

    return around


class _Failures:
    """What went wrong, told at the end."""

    def __init__(self, cases: int) -> None:
        self._cases = cases
        self._errors: list[BaseException] = []

    def __enter__(self) -> "_Failures":
        return self

    def __exit__(self, *error: object) -> None:
        if self._errors and error[0] is None:
            told = f"{len(self._errors)} of {self._cases} cases failed"
            raise BaseExceptionGroup(told, self._errors)

    @contextmanager
    def kept(self, case: dict[str, Any]) -> Iterator[None]:
        """Keep the error of a case, with what the case was."""
        try:
            yield
        except (Exception, pytest.fail.Exception, BaseExceptionGroup) as error:
            error.add_note(", ".join(f"{name} = {_shown(value)}" for name, value in case.items()))
            self._errors.append(error)


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except Exception as error:  # an integer of thousands of digits has no text
        shown = f"<{type(value).__name__}: {error}>"
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
