"""The usual ending as text: of a run that succeeds, and leaves its item's payload as it is.

Nearly every item ends so, and from one to the next only its id, its attempt and some moments
differ. So the two texts of its conditional update are made once for each queue, by what makes all
others (``ending.py``, ``timeline.py``), and these few are filled in. Pure.
"""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from worker.engine.delivery.carried import carried
from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.ending import Run, ending_of
from worker.engine.delivery.queue_rules import QueueRules
from worker.engine.delivery.timeline import Timelines
from worker.item.history import milliseconds
from worker.item.outcome import UNCHANGED
from worker.openiap.values import compact_text
from worker.openiap.workitem import Workitem

_PLAIN: Final = re.compile(r"[0-9a-f]{24}")
"""An id as MongoDB makes them: in JSON and as a field's name it is what it is."""


class Texts(NamedTuple):
    """A conditional update, as JSON."""

    condition: str
    change: str


class _Differs(NamedTuple):
    """What differs from one usual ending to the next; moments in milliseconds since 1970.

    Attributes:
        run: when it was popped.
    """

    id: str
    retries: int
    run: int
    now: int
    ran: float


_MARKS: Final = _Differs(
    "5ca1ab1e0ddba115ca1ab1e0", 1_804_289_383, 29_383_603_506_789, 29_418_077_167_891, 846_930.886
)
"""None of them is a part of another."""
_OTHERS: Final = _Differs("0123456789abcdef01234567", 7, 1_767_225_600_000, 1_767_312_000_001, 0.5)


class UsualEnding:
    """Makes the texts for one worker.

    Args:
        timelines: what becomes of runs, for the items' own.
    """

    def __init__(self, worker_id: str, timelines: Timelines) -> None:
        self._worker_id = worker_id
        self._timelines = timelines
        self._made: dict[str, tuple[QueueRules, Texts | None]] = {}

    def of(self, delivery: Delivery, run: int, rules: QueueRules) -> Texts | None:
        """Return what ends a run; None where its ending is not the usual one.

        Args:
            run: ``run_of`` the item.
            rules: of its queue.
        """
        workitem, outcome = delivery.workitem, delivery.outcome
        if outcome.kind != "successful" or outcome.payload is not None or outcome.attachments:
            return None
        if delivery.over or delivery.anew or delivery.copy_of or delivery.uploaded:
            return None
        if not run or delivery.ran is None or not _PLAIN.fullmatch(workitem.id):
            return None
        made = self._made.get(rules.name)
        if made is None or made[0] is not rules:
            made = self._made[rules.name] = rules, self._make(rules)
        forms = made[1]
        if forms is None:
            return None
        now = milliseconds(self._timelines.now())
        filled = _filled(workitem.id, workitem.retries, run, now, delivery.ran)
        return Texts(forms.condition % filled, forms.change % filled)

    def _make(self, rules: QueueRules) -> Texts | None:
        """Return the texts of a queue with places in them; None where they cannot be made so."""
        marked, others = self._whole(_MARKS, rules), self._whole(_OTHERS, rules)
        if marked is None or others is None:
            return None
        forms = Texts(_with_places(marked.condition), _with_places(marked.change))
        filled = _filled(*_OTHERS)
        # A name of the queue or the worker that has a mark in it would be filled in as well.
        if (forms.condition % filled, forms.change % filled) != others:
            return None
        return forms

    def _whole(self, one: _Differs, rules: QueueRules) -> Texts | None:
        """Return the texts of one ending, made as any other."""
        popped, now = (datetime.fromtimestamp(moment / 1000, UTC) for moment in (one.run, one.now))
        workitem = Workitem(id=one.id, retries=one.retries, lastrun=popped, wiq=rules.name)
        run = Run(workitem, one.run, self._worker_id)
        ending = ending_of(run, UNCHANGED, rules, due=now, at=now)
        if ending is None or ending.decided:
            return None
        delivery = Delivery(workitem, UNCHANGED, ran=one.ran)
        change = compact_text(self._timelines.at(now).in_change(delivery, ending))
        condition = compact_text(ending.condition)
        return Texts(condition, change) if condition and change and carried(change) else None


def _filled(id: str, retries: int, run: int, now: int, ran: float) -> dict[str, str | int | float]:
    """Return what stands in the texts of one ending, by the names of their places."""
    return {
        "id": id,
        "retries": retries,
        "attempt": retries + 1,
        "run": run,
        "now": now,
        "ran": round(ran, 3),
    }


def _with_places(text: str) -> str:
    text = text.replace("%", "%%")
    for name, mark in _filled(*_MARKS).items():
        text = text.replace(str(mark), f"%({name})s")
    return text
