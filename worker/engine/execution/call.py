"""What an executor is given, and what it promises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from worker.app.registry import Registered
from worker.item.item import Item
from worker.openiap.client import Client


@dataclass(slots=True)
class HandlerCall:
    """One run of a handler.

    Attributes:
        registered: the handler and its injection plan.
        item: the attempt that it is given.
        payload: what ``Signature.payload_for`` made of the item's payload. Process handlers do not
            look at it: the child validates ``item.payload`` itself, and a payload that does not
            fit is the same ``BusinessError`` naming the fields.
        client: for ``Client`` parameters.
        resources: by type, for what lifespans provide.
    """

    registered: Registered
    item: Item
    payload: Any
    client: Client
    resources: Mapping[Any, Any]


class Executor(Protocol):
    """Runs the calls of one handler; one shape for the loop, threads and processes."""

    async def start(self) -> None:
        """Make ready; a process handler's children are warm when this returns.

        Raises:
            HandlerError: the handler cannot run; the text says why.
        """

    async def run(self, call: HandlerCall) -> Any:
        """Run the handler once.

        1. Returns what the handler returned, however late, or raises what it raised.
        2. Soft limit (``timeout``): ``item.stop()``, and an ``async def`` handler is cancelled; one
           that ends by that cancellation raises ``TimeLimitExceeded``.
        3. Hard limit (``hard_timeout``): ``TimeLimitExceeded`` with the handler's ``stack``,
           whatever the handler does. A process is killed; a task or thread that goes on is
           abandoned and counted by ``lost``.
        4. Cancelled from outside once: asked to stop as in 2, and waited for, exactly as if the
           handler were awaited directly: a result that it still gives is returned, and
           ``CancelledError`` is raised where the cancellation ended it.
        5. Cancelled from outside again: abandoned or killed, and ``CancelledError`` at once.
        6. ``SystemExit``, ``KeyboardInterrupt``, ``GeneratorExit`` and a ``CancelledError`` of the
           handler's own making come out as ``ApplicationError``; nothing else but ``Exception``
           leaves this method, save for the cancellation of 4 and 5 and ``Asleep``.
        7. ``WorkerFault`` where there is no thread and no process to run it in.
        """

    def lost(self) -> int:
        """Return how many abandoned runs still occupy a task, thread or process."""

    def resize(self, slots: int) -> None:
        """Run so many at once from now on; what runs is left alone."""

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are that run now, by the ids of their items; masked."""

    def cut_short(self, item_id: str) -> bool:
        """Ask the handler of an item to end now, as its soft limit would, and give it up as its
        hard limit would; returns whether it runs."""

    async def stop(self, timeout: float) -> None:
        """Ask what runs to end, wait ``timeout`` seconds, then abandon or kill the rest."""
