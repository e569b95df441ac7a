"""The documented name of ``worker.app.contracts``: pushes held to contracts."""

from worker.app.contracts import Contracts

__all__ = ["Contracts"]
