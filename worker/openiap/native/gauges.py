"""Gauges: names, kinds and last values, whether or not anybody collects them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from worker.openiap.backend import GaugeKind

_LARGEST: Final = {"u64": 2**64 - 1, "i64": 2**63 - 1}


@dataclass(slots=True)
class Gauge:
    """One gauge; ``value`` is None once it was disabled."""

    name: str
    kind: GaugeKind
    description: str
    value: float | int | None


@dataclass(slots=True)
class Gauges:
    """Every gauge that was set; a name keeps the kind of its first setter.

    The exporter reads values on a thread of its own, which is what the lock is for.

    Attributes:
        appeared: told of each new name, so that an exporter can offer it.
    """

    known: dict[str, Gauge] = field(default_factory=dict)
    appeared: Callable[[Gauge], None] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, kind: GaugeKind, name: str, value: float, description: str) -> str:
        """Set a gauge; returns what is wrong with that, or "".

        A number that the kind cannot hold is brought to the nearest one that it can.
        """
        taken = float(value) if kind == "f64" else _held(kind, int(value))
        with self.lock:
            gauge = self.known.get(name)
            if gauge is None:
                gauge = self.known[name] = Gauge(name, kind, description, taken)
                new = True
            elif gauge.kind != kind:
                return f"the gauge {name} is of the kind {gauge.kind}, not {kind}"
            else:
                gauge.value = taken
                new = False
        if new and self.appeared is not None:
            self.appeared(gauge)
        return ""

    def disable(self, name: str) -> None:
        """Report a gauge no longer, until it is set again."""
        with self.lock:
            gauge = self.known.get(name)
            if gauge is not None:
                gauge.value = None


def _held(kind: GaugeKind, value: int) -> int:
    return max(0 if kind == "u64" else -(2**63), min(value, _LARGEST[kind]))
