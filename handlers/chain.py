"""Two queues in a row: what ``orders`` finishes goes on to ``shipments``.

OpenIAP moves the item by itself: when an order ends as successful, a new item with the same payload
is pushed to the queue's success queue. What the first handler returned is part of that payload.

Try it::

    openiap-worker queues create shipments
    openiap-worker queues create orders --success-queue shipments
    openiap-worker push orders --payload '{"order": "A-1", "country": "DK",
        "lines": [{"sku": "lamp", "quantity": 2, "grams": 900}]}'
    openiap-worker run --handlers handlers.chain --once
    openiap-worker items list --queue shipments
"""

from typing import Final

from pydantic import BaseModel, Field

from worker import BusinessError, Item, handler

CARRIERS: Final[dict[str, str]] = {"DK": "PostNord", "DE": "DHL", "FR": "La Poste"}
LETTER: Final = 1_000
HEAVIEST: Final = 31_500


class OrderLine(BaseModel):
    """One article; ``grams`` for a single piece."""

    sku: str
    quantity: int = Field(ge=1)
    grams: int = Field(ge=0)


class Order(BaseModel):
    """What an item of ``orders`` carries."""

    order: str
    country: str = Field(pattern=r"^[A-Z]{2}$")
    lines: list[OrderLine] = Field(min_length=1)


class Packed(BaseModel):
    """What ``orders`` adds for ``shipments``."""

    weight: int
    carrier: str


class Shipment(BaseModel):
    """What ``shipments`` needs of the payload; the rest of the order is there and not looked at."""

    order: str
    weight: int
    carrier: str


class Label(BaseModel):
    """What ``shipments`` adds."""

    label: str
    letter: bool


@handler("orders", concurrency=8)
async def pack(order: Order) -> Packed:
    """Weigh an order and choose who carries it."""
    carrier = CARRIERS.get(order.country)
    if carrier is None:
        known = ", ".join(sorted(CARRIERS))
        raise BusinessError(f"nobody carries to {order.country}; known: {known}", code="COUNTRY")
    weight = sum(line.quantity * line.grams for line in order.lines)
    if weight > HEAVIEST:
        raise BusinessError(f"{weight} g is more than {HEAVIEST} g", code="TOO_HEAVY")
    return Packed(weight=weight, carrier=carrier)


@handler("shipments", concurrency=8)
async def ship(shipment: Shipment, item: Item) -> Label:
    """Make the label. The item's id makes it the same label however often this runs."""
    return Label(
        label=f"{shipment.carrier}/{shipment.order}/{item.id}", letter=shipment.weight <= LETTER
    )
