"""The documented name of ``worker.app.contract_checks``: pushes held to contracts."""

from worker.app.contract_checks import Contracts

__all__ = ["Contracts"]
