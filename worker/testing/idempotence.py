"""Twice is as good as once: an item is delivered two times, and what came of it is compared.

A worker can die between the work and its record, and then the item is worked again (README, what it
does not promise). A handler is ready for that when the second delivery ends as the first did and
leaves the world as it was after the first.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from worker.app.options import Handler
from worker.openiap.client import Client
from worker.testing.difference import Difference, differences
from worker.testing.dry_run import Rehearsed
from worker.testing.worker_test import Files, WorkerTest


class NotIdempotent(AssertionError):
    """Two deliveries of one item came to different ends.

    Attributes:
        differences: each place that differs, with what it was after each delivery.
    """

    def __init__(self, handler: str, found: list[Difference]) -> None:
        lines = "\n".join(f"  {difference}" for difference in found)
        super().__init__(f"{handler} is not idempotent; delivered twice, it gave\n{lines}")
        self.differences = tuple(found)


async def assert_idempotent(
    handler: Handler[..., Any],
    payload: object = None,
    *,
    files: Files | None = None,
    resources: Mapping[Any, Any] | None = None,
    client: Client | None = None,
    state: Callable[[], object] | None = None,
) -> Rehearsed:
    """Deliver an item twice and compare outcome, pushes and attachments.

    Both deliveries have the same id, payload, files and attempt, and share ``resources`` and
    ``client``: what the first left there, the second finds.

    Args:
        handler: a function marked with ``@handler``.
        payload, files, resources, client: as for ``worker_test``.
        state: returns what the handler changes in the world, as JSON-like values; it is called
            after each delivery, and both answers must be the same.

    Returns:
        The first delivery, for further assertions.

    Raises:
        NotIdempotent: they differ; the text says where.
    """
    with tempfile.TemporaryDirectory(
        prefix="openiap-worker-test-", ignore_cleanup_errors=True
    ) as name:
        deliver = WorkerTest(Path(name))
        seen: list[dict[str, Any]] = []
        runs: list[Rehearsed] = []
        for _ in range(2):
            run = await deliver(
                handler,
                payload,
                files=files,
                resources=resources,
                client=client,
                id="delivered-twice",
            )
            runs.append(run)
            seen.append(end_of(run) | ({} if state is None else {"state": _plain(state())}))
        found = differences(seen[0], seen[1])
    if found:
        raise NotIdempotent(handler.name, found)
    return runs[0]


def end_of(run: Rehearsed) -> dict[str, Any]:
    """Return what a delivery came to, as JSON: without times, which always differ."""
    outcome = run.outcome
    return {
        "outcome": outcome.kind,
        "message": outcome.message,
        "payload": run.payload,
        "pushes": [
            {"queue": push.queue, "payload": push.payload, "name": push.name} for push in run.pushes
        ],
        "checkpoint": run.checkpoints[-1] if run.checkpoints else None,
        "attachments": {name: _print_of(content) for name, content in run.attachments.items()},
    }


def _print_of(content: bytes) -> str:
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:12]}"


def _plain(value: object) -> Any:
    return to_jsonable_python(value, fallback=repr)
