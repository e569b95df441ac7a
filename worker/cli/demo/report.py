"""What became of the demo's items: compared with the plan, and summed up. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console

from worker.cli.demo.plan import Expected
from worker.cli.shared.output import many, show
from worker.management.items.views import attempts_of as attempts
from worker.openiap.values import parse_iso
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject


@dataclass(frozen=True, slots=True)
class QueueResult:
    """One line of the summary; latencies in seconds from push to finish.

    Attributes:
        retried: attempts that were followed by another one; for programs, for one version.
    """

    queue: str
    pushed: int
    successful: int
    failed: int
    attempts: int
    retried: int
    per_second: float
    p50: float
    p99: float


def differences(
    expected: Expected, document: JsonObject | None, files: Mapping[str, bytes]
) -> Iterator[str]:
    """Tell how an item differs from what was to become of it.

    Args:
        expected: the plan.
        document: the item as the server has it; None when it has none.
        files: name to content of the files on it that were downloaded.
    """
    if document is None:
        yield "is not there"
        return
    if document.get("state") != expected.state:
        said = f" ({document['errormessage']})" if document.get("errormessage") else ""
        yield f"is {document.get('state')}, not {expected.state}{said}"
    if attempts(document) != expected.attempts:
        yield f"took {many(attempts(document), 'attempt')}, not {expected.attempts}"
    if expected.error not in str(document.get("errormessage") or ""):
        yield f"has the error {document.get('errormessage')!r}, not {expected.error!r}"
    payload = document.get("payload") or {}
    for name, value in expected.payload.items():
        if payload.get(name) != value:
            yield f"has {name} = {payload.get(name)!r}, not {value!r}"
    if expected.file is not None:
        name, content = expected.file
        if name not in files:
            yield f"has no file {name}"
        elif files[name] != content:
            yield f"has a file {name} with other content"


def results(documents: Mapping[str, Sequence[JsonObject]]) -> list[QueueResult]:
    """Sum up each queue by what the server says of its items."""
    return [_result(queue, items) for queue, items in documents.items()]


def _result(queue: str, items: Sequence[JsonObject]) -> QueueResult:
    finished = [item for item in items if item.get("state") in (SUCCESSFUL, FAILED)]
    waits = sorted((_at(i, "_modified") - _at(i, "_created")).total_seconds() for i in finished)
    span = 0.0
    if finished:
        first = min(_at(item, "_created") for item in items)
        last = max(_at(item, "_modified") for item in finished)
        span = (last - first).total_seconds()
    return QueueResult(
        queue=queue,
        pushed=len(items),
        successful=sum(item.get("state") == SUCCESSFUL for item in items),
        failed=sum(item.get("state") == FAILED for item in items),
        attempts=sum(attempts(item) for item in items),
        retried=sum(int(item.get("retries") or 0) for item in items),
        per_second=len(finished) / span if span else 0.0,
        p50=quantile(waits, 0.5),
        p99=quantile(waits, 0.99),
    )


def _at(item: JsonObject, field: str) -> datetime:
    return parse_iso(str(item[field]))


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return a quantile of ordered numbers: the lowest that at least that part is not above."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]


def show_summary(console: Console, found: Sequence[QueueResult]) -> None:
    """Print the table that the demo ends with."""
    columns = {"queue": "whole", "pushed": "number", "successful": "number", "failed": "number"}
    columns |= {"attempts": "number", "items/s": "number", "p50": "number", "p99": "number"}
    show(
        console,
        columns,
        [
            (
                result.queue,
                result.pushed,
                result.successful,
                result.failed,
                result.attempts,
                f"{result.per_second:.1f}",
                _wait(result.p50),
                _wait(result.p99),
            )
            for result in found
        ],
    )


def _wait(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
