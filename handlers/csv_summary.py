"""Sum up a CSV file: one file comes with the item, another one goes back with it.

Try it::

    openiap-worker queues create csv-summaries
    openiap-worker push csv-summaries --file sales.csv \\
        --payload '{"file": "sales.csv", "group": "region", "value": "amount"}'
    openiap-worker run --handlers handlers.csv_summary --once
    openiap-worker items list --queue csv-summaries
"""

import asyncio
import csv
import io
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pydantic import BaseModel

from worker import BusinessError, Item, handler


class Request(BaseModel):
    """What an item of the queue carries: the file's name, and two of its columns."""

    file: str
    group: str
    value: str
    delimiter: str = ","


class Summary(BaseModel):
    """What is laid over the payload."""

    rows: int
    groups: int
    total: Decimal
    summary: str


@dataclass(slots=True)
class Totals:
    """Sums by group, in order of appearance."""

    rows: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, group: str, value: Decimal) -> None:
        """Count one row."""
        self.rows += 1
        self.sums[group] = self.sums.get(group, Decimal(0)) + value
        self.counts[group] = self.counts.get(group, 0) + 1


@handler("csv-summaries", concurrency=4, timeout="10m")
async def summarize(request: Request, item: Item) -> Summary:
    """Read the file that came with the item and attach its summary."""
    if request.file not in item.files:
        names = ", ".join(sorted(item.files)) or "none"
        raise BusinessError(f"the item has no file {request.file}; it has {names}", code="NO_FILE")
    source = await item.files[request.file].path()
    # Parsing is work for a processor: in a thread, so that other items go on meanwhile.
    totals = await asyncio.to_thread(read, source, request)
    name = f"{Path(request.file).stem}-summary.csv"
    await item.attach(written(totals, request), name)
    item.log.info("summed up", rows=totals.rows, groups=len(totals.sums))
    return Summary(
        rows=totals.rows,
        groups=len(totals.sums),
        total=sum(totals.sums.values(), Decimal(0)),
        summary=name,
    )


def read(source: Path, request: Request) -> Totals:
    """Add up a file.

    Raises:
        BusinessError: a column is missing, a value is no number, or the text is not UTF-8.
    """
    totals = Totals()
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=request.delimiter)
            columns = rows.fieldnames or []
            for column in (request.group, request.value):
                if column not in columns:
                    raise BusinessError(
                        f"{request.file} has no column {column}; it has {', '.join(columns)}",
                        code="NO_COLUMN",
                    )
            for row in rows:
                totals.add(row[request.group] or "", _number(row[request.value], rows, request))
    except UnicodeDecodeError as error:
        raise BusinessError(f"{request.file} is not UTF-8: {error}", code="BAD_FILE") from error
    except csv.Error as error:
        raise BusinessError(f"{request.file} is not CSV: {error}", code="BAD_FILE") from error
    return totals


def _number(text: str | None, rows: "csv.DictReader[str]", request: Request) -> Decimal:
    try:
        value = Decimal((text or "").strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise BusinessError(
            f"{request.file} line {rows.line_num}: {request.value} = {text!r} is no number",
            code="BAD_NUMBER",
        )
    return value


def written(totals: Totals, request: Request) -> bytes:
    """Return the summary as a CSV file."""
    text = io.StringIO()
    table = csv.writer(text, delimiter=request.delimiter, lineterminator="\n")
    table.writerow([request.group, "rows", request.value])
    for group, value in totals.sums.items():
        table.writerow([group, totals.counts[group], value])
    return text.getvalue().encode()
