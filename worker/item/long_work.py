"""Long work in one function: steps that are not repeated, and sleeps that hold nothing.

1. A step's result is stored with the item before the next line runs; whoever works the item after
   that, another attempt or another worker, is given it instead of running the step again.
2. A sleep ends the run: the item is put back without an attempt until it is due, and then the
   handler is called again from its beginning. ``Asleep`` is no ``Exception``, so that what handles
   errors leaves it alone; where a handler swallows it all the same, its run ends asleep.
3. What a function did is never dropped halfway: a thread, and a result on its way to the server,
   are waited for where the worker stops meanwhile.
"""

import asyncio
import inspect
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, TypeVarTuple, Unpack, overload

from worker.durations import Duration, seconds, text
from worker.errors import TimeLimitExceeded
from worker.item.metadata import Metadata
from worker.item.result_type import refuse_untyped, result_form
from worker.item.retry import Retrying, RetryPolicy, RetryRules, retry_policy
from worker.item.step_call import StepCall, is_async, shown_call
from worker.item.steps import (
    DONE,
    WAITS,
    Part,
    StepError,
    Steps,
    key_of,
    next_wait,
    step_key,
    text_of_result,
)
from worker.item.stored_value import read_back
from worker.item.to_the_end import in_thread, to_the_end
from worker.kinds import with_article
from worker.openiap.large import LARGE, apart, is_large

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

StepRetry = Retrying | RetryRules | RetryPolicy | None

current_step: Final[ContextVar[str]] = ContextVar("current_step", default="")
"""The step whose function runs; "" outside of one."""
THREADS: Final = 8
"""How many ``def`` steps of an item run side by side, in a thread each; the others wait."""
SLACK: Final = timedelta(seconds=1)
"""A pop is stamped in whole seconds where the official client brings it."""


class Asleep(BaseException):
    """The run ends here: the item sleeps. Let it through.

    Attributes:
        until: UTC.
    """

    def __init__(self, until: datetime) -> None:
        super().__init__(f"the item sleeps until {until.isoformat()}")
        self.until = until


class StepClock(NamedTuple):
    """What sleeps go by: the server's time, and whether all sleeps count as over."""

    now: datetime
    awake: bool = False


class LongWork(ABC):
    """The part of an item that remembers across its attempts; the item says where it is kept."""

    id: str
    _stopping: bool
    _steps: Steps | None = None
    _calls: dict[str, StepCall] | None = None
    _turns: dict[str, asyncio.Semaphore] | None = None
    _naps: dict[str, int | str] | None = None
    _asleep: datetime | None = None

    @property
    @abstractmethod
    def metadata(self) -> Metadata:
        """What is kept for the item beside its payload."""

    @abstractmethod
    async def clock(self) -> StepClock:
        """Return what sleeps go by."""

    @abstractmethod
    async def _store_entry(self, part: Part, key: str) -> None:
        """Return once an entry of ``steps`` is stored."""

    @abstractmethod
    async def _tell_asleep(self, until: datetime) -> None:
        """Tell who runs the handler."""

    @property
    def steps(self) -> Steps:
        """What is stored of the item's steps and sleeps."""
        if self._steps is None:
            self._steps = Steps(self.id, self.metadata.steps)
        return self._steps

    @property
    def asleep(self) -> datetime | None:
        """Until when the item is to sleep once its handler has ended; None for not at all."""
        return self._asleep

    def fall_asleep(self, until: datetime) -> None:
        """Let the item sleep once its handler has ended; of several moments the first counts."""
        self._asleep = until if self._asleep is None else min(self._asleep, until)

    def step_key(self, name: str) -> str:
        """Return a text for a step that is the same in each attempt, for the other side's
        idempotency header: a step that has run, but died before its result was stored, runs again.

        Args:
            name: the step's.
        """
        return step_key(self.id, name)

    @overload
    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        type: type[T],
        retry: StepRetry = None,
        timeout: Duration | None = None,
    ) -> T: ...

    @overload
    async def step(
        self,
        name: str,
        function: Callable[[Unpack[Ts]], Coroutine[Any, Any, T]],
        *args: *Ts,
        retry: StepRetry = None,
        timeout: Duration | None = None,
    ) -> T: ...

    @overload
    async def step(
        self,
        name: str,
        function: Callable[[Unpack[Ts]], T],
        *args: *Ts,
        retry: StepRetry = None,
        timeout: Duration | None = None,
    ) -> T: ...

    async def step(  # type: ignore[misc] # mypy reads no implementation for what is unpacked
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        retry: StepRetry = None,
        timeout: Duration | None = None,
        type: Any = None,
    ) -> Any:
        """Run a function once for this item, however often its handler is called, and return its
        result, which is stored before this returns::

            voucher = await item.step("charge", charge, order)

        Args:
            name: of the step, one for each in the item; a stored result is found by it.
            function: ``async def``, or ``def``, which runs in a thread.
            args: the function's.
            retry: how it is tried again here and now, as for a handler; a ``Backoff`` without
                ``attempts`` tries 3 times. By default its error is the handler's at once.
            timeout: for each try; a thread that takes longer is abandoned.
            type: what the result is given back as; by default what the function says that it
                returns, and plain JSON where it says nothing.

        Returns:
            The result, as it was stored: JSON, or the model, dataclass or other type.

        Raises:
            StepError: the name is used with another call, or the result cannot be kept.
            LostItem: another has the item by now; the handler should end.
            TimeLimitExceeded: it took longer than ``timeout``.
            Exception: whatever the function raises.
        """
        policy, limit = (
            retry_policy(retry),
            None if timeout is None else seconds(timeout, "timeout"),
        )
        form = result_form(name, function, type)
        call = self._call(name, function, args)
        async with self._turn(name, call), call.lock:
            kept = self.steps.result(name)
            if kept is not None:
                stored = kept.text
            elif self._asleep is not None and not current_step.get():
                raise Asleep(self._asleep)
            else:
                result = await self._run(name, call, policy, limit)
                stored = await apart(is_large(result), text_of_result, name, form, result)
                key = self.steps.keep(name, stored, (await self.clock()).now)
                _, cancelled = await to_the_end(self._store_entry(DONE, key))
                cancelled = call.cancelled or cancelled
                if cancelled is not None:
                    raise cancelled
                if form is None:
                    refuse_untyped(name, function, result)
        return await apart(len(stored) > LARGE, read_back, "step", name, form, stored)

    async def sleep(self, duration: Duration | timedelta, *, name: str = "") -> None:
        """Let the item sleep: this run ends here, no slot and no memory is held, and no attempt is
        lost. When it is due the handler is called again, and this returns at once.

        Args:
            duration: seconds, or text like ``"3d"``; counted from when it is reached first.
            name: by which it is known again; by default its duration and how often that was
                slept before, so a handler that sleeps elsewhere since finds those it had.

        Raises:
            StepError: inside of a step, or the name is used for another sleep.
            LostItem: another has the item by now; the handler should end.
        """
        wait = seconds(duration, "sleep")
        spec = text(wait)
        await self._sleep(name, spec, lambda now: now + timedelta(seconds=wait))

    async def sleep_until(self, moment: datetime, *, name: str = "") -> None:
        """Let the item sleep until a moment; see ``sleep``.

        Args:
            moment: aware; the one of the call that reached it first counts.
            name: as for ``sleep``; by default the how many-th such sleep it is.

        Raises:
            ValueError: a moment without a time zone.
            StepError, LostItem: as for ``sleep``.
        """
        if not isinstance(moment, datetime):
            raise StepError(f"sleep_until({moment!r}): no moment; allowed: an aware datetime")
        if moment.tzinfo is None:
            raise ValueError(f"sleep_until({moment!r}): the moment has no time zone")
        await self._sleep(name, "until", lambda _: moment.astimezone(UTC))

    # How a step runs.

    def _call(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> StepCall:
        """Return the call of a step in this run.

        Raises:
            StepError: it was called otherwise before.
        """
        key_of(name)
        if not callable(function):
            if inspect.iscoroutine(function):
                function.close()
            given = with_article(function.__class__.__name__)
            raise StepError(
                f"Step {name!r} is given {given}, which is no function;"
                f" give the function and then its arguments: item.step({name!r}, fetch, 1)"
            )
        if self._calls is None:
            self._calls = {}
        around = current_step.get()
        call = self._calls.setdefault(name, StepCall(function, args, around))
        if not call.is_call_of(function, args):
            raise StepError(
                f"Step {name!r} is used for two calls: {call}, and"
                f" {shown_call(function, args)}; give each its own name, like"
                f' f"{name} {{number}}"'
            )
        while around and around != name and (outer := self._calls.get(around)) is not None:
            around = outer.around
        if around == name:
            raise StepError(f"Step {name!r} calls itself; it would wait for its own result")
        return call

    def _turn(self, name: str, call: StepCall) -> AbstractAsyncContextManager[Any]:
        """Return what a step waits for before it may have a thread.

        Steps inside of a step are counted apart: the outer one keeps its thread, and nobody waits
        for a turn of who waits for him. For the same reason it comes before the call's own lock.
        """
        if is_async(call.function) or self.steps.result(name) is not None:
            return nullcontext()
        if self._turns is None:
            self._turns = {}
        return self._turns.setdefault(current_step.get(), asyncio.Semaphore(THREADS))

    async def _run(
        self, name: str, call: StepCall, policy: RetryPolicy, limit: float | None
    ) -> Any:
        attempt, chance = 1, random.Random()  # noqa: S311 (jitter, no secret)
        token = current_step.set(name)
        try:
            while True:
                try:
                    return await self._once(name, call, limit)
                except Exception as error:
                    wait = next_wait(error, attempt, policy, chance)
                    if wait is None or self._stopping:
                        raise
                await asyncio.sleep(wait)
                attempt += 1
        finally:
            current_step.reset(token)

    async def _once(self, name: str, call: StepCall, limit: float | None) -> Any:
        try:
            async with asyncio.timeout(limit) as bound:
                if is_async(call.function):
                    return await call.function(*call.args)
                thread = in_thread(call.function, call.args)
                result, call.cancelled = await to_the_end(thread, bound)
                return await result if inspect.isawaitable(result) else result
        except TimeoutError:
            if not bound.expired():
                raise
            raise TimeLimitExceeded(f"Step {name!r} took longer than {text(limit or 0)}") from None

    # How a sleep ends a run.

    async def _sleep(self, name: str, spec: str, moment: Callable[[datetime], datetime]) -> None:
        if step := current_step.get():
            raise StepError(f"Step {step!r} sleeps; sleep outside of steps, between them")
        key = self._nap(name, spec)
        clock = await self.clock()
        until = self.steps.until(key)
        if clock.awake or (until is not None and until <= clock.now + SLACK):
            return
        if until is None:
            until = moment(clock.now)
            if until <= clock.now:
                return
            self.steps.begin(key, until)
            _, cancelled = await to_the_end(self._store_entry(WAITS, key))
            if cancelled is not None:
                raise cancelled
        await self._end_asleep(until)

    async def _end_asleep(self, until: datetime) -> NoReturn:
        """End the run; what runs beside it is not cut off.

        Raises:
            Asleep: always.
        """
        self.fall_asleep(until)
        for call in list((self._calls or {}).values()):
            async with call.lock:
                pass
        until = self._asleep or until
        await self._tell_asleep(until)
        raise Asleep(until)

    def _nap(self, name: str, spec: str) -> str:
        """Return the key of a sleep of this run.

        Raises:
            StepError: the name is used for another sleep.
        """
        if self._naps is None:
            self._naps = {}
        if name:
            before = self._naps.setdefault(f"name {name}", spec)
            if before != spec:
                raise StepError(
                    f"Sleep {name!r} is used for two sleeps: {before}, and {spec}; give each its"
                    " own name"
                )
            return key_of(name)
        nth = int(self._naps.get(spec, 0)) + 1
        self._naps[spec] = nth
        return key_of(f"{spec} #{nth}")


def refuse_inside(what: str) -> None:
    """Refuse what would be lost inside of a step: it goes with the run that succeeds, and that may
    be a later one, in which the step is skipped.

    Raises:
        StepError: the code that runs is a step's.
    """
    if step := current_step.get():
        raise StepError(
            f"{what} inside of step {step!r} would be lost when the item is worked again; call it"
            " outside of steps"
        )
