"""What stands in for the rest of the worker in a dry run: it notes, and sends nothing.

Each is in the place of the engine's own part and is used by the engine's own runner.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from worker.engine.checkpoints import Checkpoints
from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.execution import Executor, HandlerCall
from worker.item.cancelled import Cancelling
from worker.item.group_desk import GroupDesk
from worker.item.in_memory_store import follow_up
from worker.item.item import Item
from worker.item.long_work import StepClock
from worker.item.metadata import Metadata
from worker.item.new_item import FollowUp, Push, Sender, Sent
from worker.item.outcome import Outcome
from worker.item.steps import Part
from worker.openiap.client import Client
from worker.openiap.errors import Unsupported
from worker.openiap.limiter import Turn
from worker.openiap.pool import Pool
from worker.openiap.workitem import JsonObject, Workitem
from worker.telemetry.log import Log
from worker.testing.recorded_groups import RecordingGroups

WORKER: Final = "rehearsal"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """What ``item.progress`` was told."""

    share: float
    text: str = ""


class RecordingExecutor:
    """The executor, with somebody who sees what the handler returned or raised."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.item: Item | None = None
        self.returned: Any = None
        self.error: BaseException | None = None

    async def start(self) -> None:
        """Start the executor."""
        await self._executor.start()

    async def run(self, call: HandlerCall) -> Any:
        """Run the handler, and note item, result and error."""
        self.item = call.item
        try:
            self.returned = await self._executor.run(call)
        except BaseException as error:
            self.error = error
            raise
        return self.returned

    def lost(self) -> int:
        """Return how many slots are lost."""
        return self._executor.lost()

    def resize(self, slots: int) -> None:
        """Run so many at once."""
        self._executor.resize(slots)

    async def stacks(self) -> dict[str, str]:
        """Return where the handlers are that run now."""
        return await self._executor.stacks()

    def cut_short(self, item_id: str) -> bool:
        """Ask the handler of an item to end."""
        return self._executor.cut_short(item_id)

    async def stop(self, timeout: float) -> None:
        """Stop the executor; what runs has so many seconds."""
        await self._executor.stop(timeout)


class RecordingWriteBack:
    """In the place of the write-back: keeps the outcome and a copy of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.outcome: Outcome | None = None
        self.attachments: dict[str, Path] = {}

    async def deliver(self, delivery: Delivery) -> Delivered:
        """Keep the outcome, and say that it was applied."""
        self.outcome = delivery.outcome
        if delivery.outcome.attachments:
            await asyncio.to_thread(self._keep, delivery.outcome)
        return Delivered("applied", state=delivery.outcome.state)

    def _keep(self, outcome: Outcome) -> None:
        # The runner clears its own copies away once they are delivered.
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, path in outcome.attachments:
            self.attachments[name] = Path(shutil.copy(path, self._folder / name))


class RecordingCheckpoints(Checkpoints):
    """In the place of the worker's own: notes progress and checkpoints, and stores nothing."""

    def __init__(
        self,
        pool: Pool,
        sender: Sender,
        *,
        log: Log,
        look_up: bool,
        before: Metadata,
        awake: bool = False,
        signals: Sequence[JsonObject] = (),
    ) -> None:
        super().__init__(pool, sender, worker_id=WORKER, log=log)
        self._signals = tuple(signals)
        self._look_up = look_up
        self._progress = before.progress
        self.progress: list[Progress] = []
        self.checkpoints: list[Any] = []
        self._awake = awake

    async def save(self, item: Item, *, now: bool) -> None:
        """Note what the handler told: its progress, or else a checkpoint."""
        told = item.metadata.progress
        if told is not None and told is not self._progress:
            self._progress = told
            self.progress.append(Progress(told["share"], told["text"]))
        else:
            self.checkpoints.append(item.metadata.checkpoint)

    async def ended(self, item: Item, *, write: bool) -> None:
        """Nothing was held back."""

    async def keep(self, item: Item, part: Part, key: str) -> None:
        """Leave the entry on the item."""

    async def clock(self, item: Item) -> StepClock:
        """Return this process's time."""
        return StepClock(datetime.now(UTC), self._awake)

    async def signals(self, item_id: str, name: str, past: list[str]) -> list[JsonObject]:
        """Return those that were given; those that are stored where there is a server."""
        given = [one for one in self._signals if one["name"] == name and one["_id"] not in past]
        if given or not self._look_up:
            return given
        return await super().signals(item_id, name, past)

    async def pass_over(self, item_id: str, signal_id: str, why: str) -> None:
        """Say in the log why a signal does not fit."""
        self._log.warn(why, item=item_id)

    async def accept(self, item: Item, push: Push) -> FollowUp:
        """Keep a follow-up item; its queue is looked up where there is a server."""
        if self._look_up:
            return await super().accept(item, push)
        return follow_up(item, push)


class RecordingSender:
    """Notes what is pushed at once, and lets it through where there is somewhere to go."""

    def __init__(
        self,
        through: Sender | None,
        *,
        run_groups: bool = False,
        client: Client | None = None,
        resources: Mapping[Any, Any] | None = None,
    ) -> None:
        self._through = through
        self.pushes: list[Push] = []
        self.recorded: Final = RecordingGroups(
            self.pushes.extend, run=run_groups, client=client, resources=resources
        )

    @property
    def groups(self) -> GroupDesk:
        """Notes groups, and lets them through where there is somewhere to go."""
        return self.recorded if self._through is None else self._through.groups

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        """Note the pushes, and send them on where there is somewhere to go."""
        sent = [Sent(f"rehearsed-{len(self.pushes) + n}") for n in range(1, len(pushes) + 1)]
        self.pushes.extend(pushes)
        return sent if self._through is None else await self._through.send(pushes)

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> JsonObject:
        """Return the payload of an item once it has ended.

        Raises:
            Unsupported: it was not sent, so it never ends.
        """
        if self._through is None:
            raise Unsupported(
                f"the item for {queue} was not sent, so it has no result here", operation="result"
            )
        return await self._through.ended(item_id, queue, timeout)

    async def look(self, item_id: str) -> JsonObject:
        """Look at an item that was sent.

        Raises:
            Unsupported: it was not sent.
        """
        return await self._sent("look").look(item_id)

    async def cancel(self, item_id: str, reason: str) -> Cancelling:
        """Cancel an item that was sent.

        Raises:
            Unsupported: it was not sent.
        """
        return await self._sent("cancel").cancel(item_id, reason)

    async def signal(self, item_id: str, name: str, text: str, key: str) -> str:
        """Tell an item something that was sent.

        Raises:
            Unsupported: it was not sent.
        """
        return await self._sent("signal").signal(item_id, name, text, key)

    def _sent(self, operation: str) -> Sender:
        if self._through is None:
            raise Unsupported("nothing was sent, so there is no item here", operation=operation)
        return self._through


class ClientPool(Pool):
    """In the place of the connections: every call goes to the client at hand."""

    def __init__(self, client: Client) -> None:
        super().__init__(())
        self._client = client

    @property
    def ready(self) -> bool:
        """Always."""
        return True

    async def wait_ready(self) -> None:
        """Return at once."""
        return

    async def call(self, operation: Callable[[Client], Awaitable[T]], *, turn: Turn = "then") -> T:
        """Make a call with the client at hand."""
        return await operation(self._client)


class _Sizes:
    """Knows the sizes of local files; everything else is the client's."""

    def __init__(self, client: Client, sizes: Mapping[str, int]) -> None:
        self._client = client
        self._sizes = sizes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def query(
        self, collectionname: str, query: Any = None, *args: Any, **more: Any
    ) -> list[JsonObject]:
        id = str(query.get("_id")) if isinstance(query, dict) else ""
        if collectionname == "fs.files" and id in self._sizes:
            return [{"_id": id, "length": self._sizes[id]}]
        return await self._client.query(collectionname, query, *args, **more)


def with_sizes(client: Client, workitem: Workitem) -> Client:
    """Return a client that knows the sizes of an item's local files."""
    sizes = {f.id: f.path.stat().st_size for f in workitem.files if f.path is not None}
    return cast(Client, _Sizes(client, sizes)) if sizes else client
