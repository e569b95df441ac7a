"""What every subject of the API stands on: an implementation, and its default deadline."""

from collections.abc import Awaitable
from typing import Any, Final

from worker.openiap.backend import Backend
from worker.openiap.file_transfer import FileTransfer


class Subject:
    """One subject of the API on an implementation.

    Args:
        backend: the implementation.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend: Final = backend
        self._default_timeout: Final = backend.options.default_timeout
        self._transfer: Final = FileTransfer(backend)

    def _seconds(self, timeout: float | None) -> float:
        return self._default_timeout if timeout is None else timeout

    def _call(
        self, operation: str, timeout: float | None, item_id: str = "", **fields: Any
    ) -> Awaitable[Any]:
        """Send a request; see ``OperationBackend.call`` for what ``fields`` are."""
        return self._backend.operations.call(
            operation,
            self._default_timeout if timeout is None else timeout,
            item_id,
            fields,
        )

    def _report(self, text: str) -> None:
        self._backend.telemetry.log("error", (text,))
