"""Which trace a piece of work belongs to: W3C Trace Context as text, parsed here and nowhere else.

No part of OpenTelemetry is needed for that: what came is passed on as it came. Where a program uses
OpenTelemetry, ``worker.telemetry.spans`` puts its spans in between.

Source: https://www.w3.org/TR/trace-context/ (traceparent, tracestate, what a receiver ignores).
"""

import re
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)
_PRINTABLE: Final = re.compile(r"[ -~]*")
LONGEST_PARENT: Final = 200
"""Characters; version 00 has 55, and later ones may be longer."""
LONGEST_STATE: Final = 512
"""Characters that have to be passed on; what is longer may be left out."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A place in a trace.

    Attributes:
        traceparent: names the trace and the span that the work comes from.
        tracestate: what tracing systems keep for themselves; "" for nothing.
    """

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return self.traceparent[36:52]

    @property
    def sampled(self) -> bool:
        """Whether whoever began the trace keeps it."""
        return bool(int(self.traceparent[53:55], 16) & 1)


def trace_of(traceparent: object, tracestate: object = "") -> Trace | None:
    """Read a trace; None for what is none. A state that is none is left out.

    Args:
        traceparent, tracestate: as others wrote them: of any type and length.
    """
    if not isinstance(traceparent, str) or len(traceparent) > LONGEST_PARENT:
        return None
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == "00" and found[2] is not None):
        return None
    kept = (
        isinstance(tracestate, str)
        and len(tracestate) <= LONGEST_STATE
        and _PRINTABLE.fullmatch(tracestate) is not None
    )
    return Trace(traceparent, str(tracestate) if kept else "")
