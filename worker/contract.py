"""The documented name of ``worker.app.contracts``: contracts made from handlers."""

from worker.app.contracts import ANY_OBJECT, FORMAT, contract_of, contracts_of

__all__ = ["ANY_OBJECT", "FORMAT", "contract_of", "contracts_of"]
