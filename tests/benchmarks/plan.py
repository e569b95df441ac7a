"""What is to be measured: how often, how much, and where the peers are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the benchmarks.

    Attributes:
        runs: how often each figure is taken.
        quick: small amounts: to see that all of it works, not for figures.
        bench_dir: holds ``official_loop.py`` and ``run_peers``; may not exist.
        peers_dir: where ``run_peers`` keeps the peers' environments between runs.
        peers: whether to run them.
        before: another checkout, for "against the tree before".
    """

    runs: int
    quick: bool
    bench_dir: Path
    peers_dir: Path
    peers: bool = True
    before: Path | None = None

    def amount(self, full: int, quick: int) -> int:
        """Return how many, by ``quick``."""
        return quick if self.quick else full
