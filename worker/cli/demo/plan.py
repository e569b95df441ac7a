"""What the demo pushes, and what is to become of it. Pure."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from worker.app.options import Handler
from worker.app.schedule import schedule
from worker.management.queues.types import QueueCreatePayload
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject

MODULES: Final = ("invoices", "http_call", "csv_summary", "chain")
QUEUES: Final = (
    QueueCreatePayload(name="invoices", max_retries=3),
    QueueCreatePayload(name="http-calls", max_retries=3, retry_delay=1),
    QueueCreatePayload(name="csv-summaries", max_retries=3),
    QueueCreatePayload(name="shipments", max_retries=3),
    QueueCreatePayload(name="orders", max_retries=3, success_queue="shipments"),
)
"""In the order in which they are made: a queue comes after the one that it leads to."""

SCHEDULED: Final = "orders"
CSV_NAME: Final = "sales.csv"


@dataclass(frozen=True, slots=True)
class Expected:
    """How an item has to end.

    Attributes:
        state: successful or failed.
        attempts: how many it takes.
        payload: fields that the payload has then.
        error: what the error message has in it.
        file: the name of a file that the handler attached, and its content.
        chained: what is to become of the copy in the next queue, by that queue's name.
    """

    state: str = SUCCESSFUL
    attempts: int = 1
    payload: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    file: tuple[str, bytes] | None = None
    chained: tuple[str, "Expected"] | None = None


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One item: where it goes, what it carries, and how it has to end."""

    queue: str
    name: str
    payload: JsonObject
    expected: Expected
    csv: bytes = b""


def plan(count: int, service: str, *, seed: int = 1) -> list[PlannedItem]:
    """Return the items of a demo, of all kinds in a steady mix, in an order that looks random.

    Args:
        count: how many.
        service: the URL of the demo's HTTP service.
        seed: the same one gives the same items in the same order.
    """
    chance = random.Random(seed)  # noqa: S311 (an order, no secret)
    items = [item for item, _ in zip(_kinds(service, chance), range(count), strict=False)]
    chance.shuffle(items)
    return items


def _kinds(service: str, chance: random.Random) -> Iterator[PlannedItem]:
    number = 0
    while True:
        for make in MIX:
            number += 1
            yield make(number, service, chance)


def _invoice(number: int, _service: str, chance: random.Random) -> PlannedItem:
    quantity = chance.randint(1, 40)
    net, vat = quantity * 1000, quantity * 190  # cents
    payload = _invoice_of(number, quantity, "10.00", f"{(net + vat) / 100:.2f}")
    fields = {"voucher": f"V-Acme-{number}", "net": f"{net / 100:.2f}", "vat": f"{vat / 100:.2f}"}
    return PlannedItem("invoices", f"invoice {number}", payload, Expected(payload=fields))


def _bad_amount(number: int, _service: str, chance: random.Random) -> PlannedItem:
    payload = _invoice_of(number, chance.randint(1, 40), "-10.00", "-10.00")
    expected = Expected(FAILED, error="[BAD_AMOUNT] amount must be positive")
    return PlannedItem("invoices", f"credit {number}", payload, expected)


def _invalid(number: int, _service: str, _chance: random.Random) -> PlannedItem:
    payload = _invoice_of(number, 1, "10.00", "eleven")
    return PlannedItem("invoices", f"invoice {number}", payload, Expected(FAILED, error="total: "))


def _invoice_of(number: int, quantity: int, price: str, total: str) -> JsonObject:
    line = {"text": "paper", "quantity": quantity, "price": price, "vat": "0.19"}
    return {"number": str(number), "supplier": "Acme", "total": total, "lines": [line]}


def _flaky(number: int, service: str, _chance: random.Random) -> PlannedItem:
    """The service answers 503 at the first call of each number, 200 at the second."""
    payload = {"url": f"{service}/bookings/{number}", "body": {"number": number}}
    expected = Expected(attempts=2, payload={"status": 200, "answer": {"booked": str(number)}})
    return PlannedItem("http-calls", f"call {number}", payload, expected)


def _gone(number: int, service: str, _chance: random.Random) -> PlannedItem:
    payload = {"url": f"{service}/nothing/{number}", "method": "GET"}
    return PlannedItem(
        "http-calls", f"call {number}", payload, Expected(FAILED, error="[HTTP_404]")
    )


def _csv(number: int, _service: str, chance: random.Random) -> PlannedItem:
    rows = [(chance.choice(("north", "south", "west")), chance.randint(1, 999)) for _ in range(300)]
    text = "region,amount\n" + "".join(f"{region},{amount}\n" for region, amount in rows)
    payload = {"file": CSV_NAME, "group": "region", "value": "amount"}
    fields = {"rows": len(rows), "total": str(sum(amount for _, amount in rows))}
    summary = "region,rows,amount\n"
    for region in dict.fromkeys(region for region, _ in rows):
        amounts = [amount for at, amount in rows if at == region]
        summary += f"{region},{len(amounts)},{sum(amounts)}\n"
    expected = Expected(payload=fields, file=("sales-summary.csv", summary.encode()))
    return PlannedItem("csv-summaries", f"sales {number}", payload, expected, csv=text.encode())


def _order(number: int, _service: str, chance: random.Random) -> PlannedItem:
    quantity, grams = chance.randint(1, 9), chance.randint(100, 900)
    line = {"sku": "lamp", "quantity": quantity, "grams": grams}
    payload = {"order": f"A-{number}", "country": "DK", "lines": [line]}
    packed = {"weight": quantity * grams, "carrier": "PostNord"}
    shipped = Expected(payload={**packed, "letter": quantity * grams <= 1000})
    return PlannedItem(
        "orders",
        f"order A-{number}",
        payload,
        Expected(payload=packed, chained=("shipments", shipped)),
    )


MIX: Final[tuple[Callable[[int, str, random.Random], PlannedItem], ...]] = (
    _order,
    _invoice,
    _flaky,
    _csv,
    _bad_amount,
    _invoice,
    _order,
    _flaky,
    _csv,
    _gone,
    _invoice,
    _order,
    _invalid,
)
"""The kinds of items, as often as they stand here."""


def with_schedule(handler: Handler[..., Any]) -> Handler[..., Any]:
    """Return a handler; that of orders with a schedule, for the pages to show and fire: once a
    month, so that it pushes nothing while the demo's items are counted."""
    if handler.options.queue != SCHEDULED or handler.options.schedules:
        return handler
    lines = [{"sku": "lamp", "quantity": 1, "grams": 900}]
    order = {"order": "S-1", "country": "DK", "lines": lines}
    return schedule("0 6 1 * *", name="standing order", payload=order)(handler)
