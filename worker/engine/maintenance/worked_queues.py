"""The queues that autoscalers may ask about, and what is known of one worker of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

from worker.engine.maintenance.autoscale import Load, Sample, Throughput
from worker.telemetry.counts import QueueCounts


@dataclass(frozen=True, slots=True)
class Refused:
    """A question that gets no numbers, and why; ``more`` goes along in the answer."""

    status: HTTPStatus
    error: str
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, object]:
        """Return it for programs."""
        return {"error": self.error, **self.more}


class WorkedQueues(Protocol):
    """What the answers need to know besides what waits and runs."""

    @property
    def names(self) -> Sequence[str]:
        """Those whose numbers are shown, whether or not somebody asks."""

    @property
    def meant(self) -> str:
        """The one that is meant where none is named, or ""."""

    def refusal(self, queue: str) -> Refused | None:
        """Return why nothing can be said of a queue, or None; called in any thread."""

    def slots(self, queue: str) -> int:
        """Return how many items one worker works at once."""

    def per_second(self, queue: str) -> float | None:
        """Return how many items one worker finishes per second; None while that is not known."""

    def paused(self, queue: str) -> str:
        """Return why none of a queue's items is popped, by somebody's word, or ""; called in any
        thread."""

    async def saw(self, queue: str, load: Load, at: float) -> None:
        """Learn from a moment, in monotonic seconds.

        Raises:
            OpenIAPError: the server did not answer what was asked for that.
        """


class OwnQueues:
    """The queues of this worker, and what it has measured of itself.

    Args:
        slots: for each queue, how many items this worker works at once.
        counts: what it has done, by queue.
        paused: why a queue is not popped by somebody's word, or "".
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        counts: Callable[[], Mapping[str, QueueCounts]],
        paused: Callable[[str], str] = lambda queue: "",
    ) -> None:
        self.paused: Final = paused
        self._slots = slots
        self._counts = counts
        self._throughput = {queue: Throughput() for queue in slots}

    @property
    def names(self) -> Sequence[str]:
        """All of them."""
        return tuple(self._slots)

    @property
    def meant(self) -> str:
        """The one there is."""
        return next(iter(self._slots)) if len(self._slots) == 1 else ""

    def refusal(self, queue: str) -> Refused | None:
        """Refuse what is worked by others."""
        if queue in self._slots:
            return None
        return Refused(HTTPStatus.NOT_FOUND, "no such queue here", {"queues": [*self._slots]})

    def slots(self, queue: str) -> int:
        """Return how many items this worker works at once."""
        return self._slots[queue]

    def per_second(self, queue: str) -> float | None:
        """Return what it was seen to do, as of now: that costs no call."""
        counts = self._of(queue)
        mean = counts.latency_sum / counts.finished if counts.finished else 0.0
        return self._throughput[queue].per_second(slots=self._slots[queue], mean_seconds=mean)

    async def saw(self, queue: str, load: Load, at: float) -> None:
        """Learn from what was finished while more was waiting."""
        self._throughput[queue].saw(Sample(at, self._of(queue).finished, load.waiting))

    def _of(self, queue: str) -> QueueCounts:
        return self._counts().get(queue, QueueCounts(queue))
