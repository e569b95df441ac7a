"""A circuit: what is known of one breaker for one queue, and how it changes. Pure.

1. Closed: items are popped. Enough failures open it for a pause.
2. Open: nothing is popped until the pause is over.
3. Then one item is let through, and whoever has it says so: probing. It closes the circuit, or
   opens it for twice as long. A prober that is not heard of for a while is given up.
4. Forced by hand: open for as long as that is said, or closed whatever happens.

Each change has the next number, and is written only over the number that it was made of: of two
changes at a time one holds.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from worker.app.breaker import MOST_FAILURES, Breaker
from worker.openiap.fields import duration_of, moment_of, number, object_of, text_of
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

BREAKERS: Final = "openiap_worker_breakers"
"""The field of a queue's document: circuits by the names of their breakers."""
FAILURES: Final = "failures"
"""In a circuit there: when the last failures were. Each change of the circuit takes them away."""
PROBE_FOR: Final = 60.0
"""Seconds that a prober has at least, before another item may be the probe."""
MOST_TEXT: Final = 300
MOST_CIRCUITS: Final = 100

State = Literal["closed", "open", "probing"]
Forced = Literal["", "open", "closed"]
Stands = Literal["popped", "probe", "shut"]
"""What may be popped: everything, one item, nothing."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """One breaker of one queue; moments by the server's clock.

    Attributes:
        until: when the pause, or the prober's time, is over.
        pause: how long it was last, in seconds.
        by: the worker, or the user, that changed it last; ``why`` is the error, or the reason.
        forced: by hand: what it is, whatever its state.
    """

    state: State = "closed"
    number: int = 0
    since: datetime | None = None
    until: datetime | None = None
    pause: float = 0.0
    by: str = ""
    why: str = ""
    forced: Forced = ""

    def stands(self, now: datetime) -> Stands:
        """Return what may be popped."""
        if self.forced:
            return "popped" if self.forced == "closed" else "shut"
        if self.state == "closed":
            return "popped"
        return "probe" if self.until is None or now >= self.until else "shut"

    def opened(
        self, breaker: Breaker, now: datetime, *, why: str, by: str, after: float | None = None
    ) -> "Circuit":
        """Open it: for its pause, for twice the last one after a probe, or for so long.

        Args:
            after: seconds that the error itself asks for.
        """
        doubled = breaker.pause if self.state == "closed" else 2 * self.pause
        pause = min(breaker.most, max(doubled, breaker.pause)) if after is None else after
        return replace(
            self,
            state="open",
            number=self.number + 1,
            since=now if self.state == "closed" else self.since or now,
            until=now + timedelta(seconds=pause),
            pause=pause,
            why=why[:MOST_TEXT],
            by=by,
        )

    def probed(self, breaker: Breaker, now: datetime, *, by: str) -> "Circuit":
        """Let one item through."""
        until = now + timedelta(seconds=max(PROBE_FOR, breaker.pause))
        return replace(self, state="probing", number=self.number + 1, until=until, by=by)

    def unproved(self, now: datetime, *, by: str) -> "Circuit":
        """The probe told nothing: another item is to try, at once."""
        return replace(self, state="open", number=self.number + 1, until=now, by=by)

    def closed(self, now: datetime, *, by: str) -> "Circuit":
        """Close it."""
        return Circuit("closed", self.number + 1, since=now, by=by, forced=self.forced)

    def force(self, forced: Forced, now: datetime, *, why: str, by: str) -> "Circuit":
        """Say by hand what it is; "" lets it be what it is by itself, closed for a start."""
        if not forced:
            return replace(self, forced="").closed(now, by=by)
        return replace(
            self, forced=forced, number=self.number + 1, since=now, why=why[:MOST_TEXT], by=by
        )

    def document(self) -> JsonObject:
        """Return what is written into the queue's document."""
        return {
            "state": self.state,
            "number": self.number,
            "since": None if self.since is None else iso(self.since),
            "until": None if self.until is None else iso(self.until),
            "pause": self.pause,
            "by": self.by,
            "why": self.why,
            "forced": self.forced,
        }

    def text(self, name: str) -> str:
        """Say how it stands."""
        why = f": {self.why}" if self.why else ""
        if self.forced:
            return f"breaker {name} is {self.forced}, by {self.by or 'hand'}{why}"
        if self.state == "probing":
            return f"breaker {name} lets one item through ({self.by}){why}"
        if self.state == "closed" or self.until is None:
            return f"breaker {name} is {self.state}"
        until = f"{self.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"breaker {name} is open until {until}{why}"


def circuits_of(document: Mapping[str, Any]) -> dict[str, Circuit]:
    """Return the circuits that a queue's document holds; what does not fit is closed."""
    found = object_of(document.get(BREAKERS))
    return {name: _circuit(object_of(one)) for name, one in list(found.items())[:MOST_CIRCUITS]}


def _circuit(found: JsonObject) -> Circuit:
    state, forced = found.get("state"), found.get("forced")
    return Circuit(
        state=state if state in ("open", "probing") else "closed",
        number=number(found.get("number")),
        since=moment_of(found.get("since")),
        until=moment_of(found.get("until")),
        pause=duration_of(found.get("pause")) or 0.0,
        by=text_of(found.get("by"))[:MOST_TEXT],
        why=text_of(found.get("why"))[:MOST_TEXT],
        forced=forced if forced in ("open", "closed") else "",
    )


def failures_of(document: Mapping[str, Any], name: str) -> list[datetime]:
    """Return when the fleet's last failures of a breaker were, as a queue's document has them."""
    found = object_of(object_of(document.get(BREAKERS)).get(name)).get(FAILURES)
    times = found[-MOST_FAILURES:] if isinstance(found, list) else []
    return [at for one in times if (at := moment_of(one)) is not None]


class Window:
    """The failures of one breaker in one worker."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._failures = deque[datetime](maxlen=breaker.failures)

    def failed(self, now: datetime) -> bool:
        """Note one; whether there were enough in the time."""
        self._failures.append(now)
        return self.enough(self._breaker, self._failures, now)

    def clear(self) -> None:
        """Begin anew."""
        self._failures.clear()

    @staticmethod
    def enough(breaker: Breaker, failures: Iterable[datetime], now: datetime) -> bool:
        """Whether so many failures are enough to open a breaker."""
        within = timedelta(seconds=breaker.within)
        return sum(now - at <= within for at in failures) >= breaker.failures
