"""States of workers: their words and colours, the same on every page."""

from collections.abc import Mapping
from typing import Final

from worker.management.workers.types import WorkerState

STATES: Final[tuple[tuple[WorkerState, str, str], ...]] = (
    ("working", "Working", "good"),
    ("quiet", "Quiet", "wait"),
    ("dead", "Dead", "bad"),
    ("gone", "Ended", ""),
)
"""As the service calls it, in words, and the tone."""
TONES: Final[Mapping[WorkerState, str]] = {state: tone for state, _, tone in STATES}
