"""Long handlers for the kill points: one charges, sleeps and refunds, one waits for a scan and
books it; each deed is noted when it is done."""

import os
from pathlib import Path
from typing import Any, Final

from tests.acceptance.accounting import Journal
from tests.acceptance.points import Points
from worker import Item, SignalTimeout, handler

QUEUE: Final = "long"
CHARGE: Final = "charge"
REFUND: Final = "refund"
NAP: Final = "nap"
INSIDE: Final = "inside"
BETWEEN: Final = "between"
SECONDS: Final = 2.0
SCANS: Final = "scans"
SCAN: Final = "scan"
BOOK: Final = "book"
LATE: Final = "nobody"

JOURNAL = Journal(Path(os.environ.get("ACCEPTANCE_JOURNAL", os.devnull)))
POINTS = Points(Path(os.environ.get("ACCEPTANCE_POINTS", os.devnull)))


async def deed(item: Item, what: str, point: str) -> str:
    """Do it, and note that it is done."""
    if point == INSIDE and what == CHARGE:
        await POINTS.pass_by(INSIDE)
    JOURNAL.note(what, item=item.id)
    return f"{what} of {item.id}"


@handler(QUEUE, concurrency=32)
async def long(payload: dict[str, Any], item: Item) -> dict[str, str]:
    JOURNAL.note("start", item=item.id)
    charged = await item.step(CHARGE, deed, item, CHARGE, payload["point"])
    if payload["point"] == BETWEEN:
        await POINTS.pass_by(BETWEEN)
    await item.sleep(SECONDS, name=NAP)
    refunded = await item.step(REFUND, deed, item, REFUND, payload["point"])
    JOURNAL.note("end", item=item.id)
    return {"charged": charged, "refunded": refunded}


@handler(SCANS, concurrency=32)
async def scans(payload: dict[str, Any], item: Item) -> dict[str, str]:
    JOURNAL.note("start", item=item.id)
    try:
        scan = await item.wait_for(SCAN, timeout=payload["timeout"], type=str)
    except SignalTimeout:
        scan = LATE
    booked = await item.step(BOOK, deed, item, scan, payload["point"])
    JOURNAL.note("end", item=item.id)
    return {"scan": scan, "booked": booked}
