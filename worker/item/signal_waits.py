"""Waiting for a signal: the item is put back until somebody outside says something, or too late.

1. A signal that is there is taken, whenever it came; else the wait is noted on the item, and the
   run ends as by a sleep.
2. What was taken, and a timeout, is stored before the handler goes on: no later run takes another
   way.
3. A signal that does not fit is passed over and told of: the item is right, the document is wrong.
   The wait goes on, for one that fits or until its timeout.
"""

import asyncio
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar, overload

from worker.durations import Duration, seconds, text
from worker.item.long_work import SLACK, LongWork, current_step
from worker.item.signals import (
    LET_OUT,
    MOST_PAST,
    Awaited,
    KeptSignal,
    Signal,
    SignalRefused,
    SignalTimeout,
    awaited_by,
    checked_name,
    kept_signal,
    past_signals,
    read_signal,
    timeouts_behind,
    wait_key,
)
from worker.item.step_call import StepCall
from worker.item.steps import SIGNALS, StepError
from worker.item.stored_value import read_back, stored_form
from worker.item.to_the_end import to_the_end
from worker.item.type_form import TypeForm
from worker.openiap.fields import id_of
from worker.openiap.workitem import JsonObject

T = TypeVar("T")

LOOK_AGAIN: Final = timedelta(days=30)
"""An item without a timeout is looked at so often, whoever has told it nothing."""


class SignalStore(Protocol):
    """Where the signals of items come from; the worker provides it."""

    async def signals(self, item_id: str, name: str, past: list[str]) -> list[JsonObject]:
        """Return signals of a name, the first one first; none where there are no others.

        Args:
            past: the ids of those that are not wanted.
        """

    async def pass_over(self, item_id: str, signal_id: str, why: str) -> None:
        """Say on a signal, and in the log, why it does not fit."""


class SignalWaits(LongWork):
    """The part of an item that waits for signals."""

    _waits: dict[str, int] | None = None
    _open: set[str] | None = None
    _looking: asyncio.Lock | None = None

    @property
    @abstractmethod
    def signal_store(self) -> SignalStore | None:
        """Where its signals come from; None where nobody can tell it anything."""

    @property
    def awaited(self) -> Awaited | None:
        """What the item waits for once its handler has ended; None for nothing."""
        return None if not self._open else awaited_by(self.steps, self._open, datetime.now(UTC))

    @property
    def open_waits(self) -> list[str]:
        """The keys of the waits that this run ends with."""
        return sorted(self._open or ())

    def await_signals(self, keys: list[str]) -> None:
        """Take the waits of this item's other half, in a process of its own."""
        self._open = {*(self._open or ()), *keys}

    def fails_for(self, error: BaseException) -> None:
        """The item fails for good: it waits anew for what it fails for, should it be put back."""
        for key in timeouts_behind(error):
            entry = self.steps.entries(SIGNALS).get(key)
            if entry is not None and entry.get("over"):
                self.steps.put(SIGNALS, key, {**entry, LET_OUT: True})
                self.metadata.steps = self.steps.content

    @overload
    async def wait_for(self, name: str, *, timeout: Duration | None = None, type: type[T]) -> T: ...

    @overload
    async def wait_for(self, name: str, *, timeout: Duration | None = None) -> Any: ...

    async def wait_for(
        self, name: str, *, timeout: Duration | None = None, type: Any = None
    ) -> Any:
        """Wait for a signal: this run ends here, no slot and no memory is held, and no attempt is
        lost. When the signal comes the handler is called again, and this returns its value::

            approval = await item.wait_for("approval", timeout="7d", type=Approval)

        A signal that came before is taken at once. Of several of a name each wait takes one, in the
        order in which they came.

        Args:
            name: of the signal.
            timeout: counted from when it is reached first; None waits as long as it takes.
            type: what the value is read as; a signal that does not fit is passed over.

        Returns:
            The value: JSON, or the model, dataclass or other type.

        Raises:
            SignalTimeout: none came in time.
            StepError: inside of a step, no name of a signal, or a type without a JSON form.
            LostItem: another has the item by now; the handler should end.
        """
        limit = None if timeout is None else timedelta(seconds=seconds(timeout, "timeout"))
        if step := current_step.get():
            raise StepError(
                f"Step {step!r} waits for signal {name!r}; wait outside of steps, between them"
            )
        key, form = self._next_wait(name), _form(name, type)
        if self._calls is None:
            self._calls = {}
        # What falls asleep beside it waits until it is known what this one waits for.
        call = self._calls.setdefault(f"\0{key}", StepCall(self.wait_for, (name,)))
        if self._looking is None:
            self._looking = asyncio.Lock()
        async with call.lock, self._looking:  # no two take the same one
            kept, until = await self._looked(name, key, form, limit)
        if kept.waits:
            await self._end_asleep(until)
        if kept.timed_out:
            raise _timed_out(self.id, key, kept)
        return read_back("signal", kept.signal, form, kept.text or "null")

    def _next_wait(self, name: str) -> str:
        """Return the key of a wait of this run.

        Raises:
            StepError: no name of a signal.
        """
        try:
            checked_name(name)
        except SignalRefused as error:
            raise StepError(str(error)) from None
        if self._waits is None:
            self._waits = {}
        self._waits[name] = nth = self._waits.get(name, 0) + 1
        return wait_key(name, nth)

    async def _looked(
        self, name: str, key: str, form: TypeForm | None, limit: timedelta | None
    ) -> tuple[KeptSignal, datetime]:
        """Return what is stored of a wait afterwards, and when it is looked at again."""
        before = kept_signal(self.steps, key)
        if before is not None and before.let_out:
            before = None  # the item failed for it, and somebody has put it back since
        clock = await self.clock()
        if before is not None and not before.waits:
            return before, clock.now
        since = clock.now if before is None else before.since
        until = before.until if before is not None else None if limit is None else since + limit
        fits, misfits = await self._first_that_fits(name, form)
        entry: JsonObject = {"since": _stored(since)}
        if until is not None:
            entry["until"] = _stored(until)
        now = clock.now if before is None else clock.now + SLACK
        over = until is not None and (clock.awake or until <= now)
        if fits is not None:
            entry |= {"at": _stored(clock.now), "json": fits.text, "doc": fits.id, "by": fits.by}
        elif over:
            entry |= {"at": _stored(clock.now), "over": True}
        known = self.steps.entries(SIGNALS).get(key, {})
        past = [*known.get("past", ()), *misfits][-MOST_PAST:]
        if past:
            entry["past"] = past
        if before is None or misfits or fits is not None or over:
            self.steps.add(SIGNALS, key, entry)
            _, cancelled = await to_the_end(self._store_entry(SIGNALS, key))
            if cancelled is not None:
                raise cancelled
        kept = kept_signal(self.steps, key)
        assert kept is not None
        if kept.waits:
            self.await_signals([key])
        return kept, clock.now + LOOK_AGAIN if until is None else until

    async def _first_that_fits(
        self, name: str, form: TypeForm | None
    ) -> tuple[Signal | None, list[str]]:
        """Return the first signal that fits, and the ids of those that were passed over."""
        past, misfits, store = past_signals(self.steps), list[str](), self.signal_store
        if store is None:
            return None, misfits
        while found := await store.signals(self.id, name, [*past, *misfits]):
            for document in found:
                signal = read_signal(document, form, room=self.steps.room)
                if isinstance(signal, Signal):
                    return signal, misfits
                misfits.append(id_of(document))
                await store.pass_over(self.id, id_of(document), signal)
        return None, misfits


def _form(name: str, kind: Any) -> TypeForm | None:
    return stored_form(
        kind,
        lambda shown: (
            f"Signal {name!r}: {shown} has no JSON form; allowed: a model, a dataclass, or a type"
            " of JSON values"
        ),
    )


def _timed_out(item_id: str, key: str, kept: KeptSignal) -> SignalTimeout:
    waited = "" if kept.until is None else text((kept.until - kept.since).total_seconds())
    error = SignalTimeout(f"No signal {kept.signal!r} for item {item_id} within {waited}")
    error.signal, error.wait = kept.signal, key
    return error


def _stored(moment: datetime) -> float:
    return round(moment.timestamp(), 3)
