"""Book invoices: a typed payload, business errors, and a booking that may run twice.

Try it::

    openiap-worker queues create invoices
    openiap-worker push invoices --payload '{
        "number": "4711", "supplier": "Acme", "total": "119.00",
        "lines": [{"text": "paper", "quantity": 10, "price": "10.00", "vat": "0.19"}]}'
    openiap-worker run --handlers handlers.invoices --once
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal

from pydantic import BaseModel, Field

from worker import BusinessError, Client, Item, handler

CENT: Final = Decimal("0.01")
VOUCHERS: Final = "vouchers"


class Line(BaseModel):
    """One position of an invoice; ``vat`` as a share, 0.19 for 19 %."""

    text: str
    quantity: Decimal = Field(gt=0)
    price: Decimal
    vat: Decimal = Field(default=Decimal(0), ge=0, lt=1)


class Invoice(BaseModel):
    """What an item of the queue carries. A payload that does not fit never reaches the handler."""

    number: str = Field(min_length=1)
    supplier: str
    currency: Literal["EUR", "USD", "DKK"] = "EUR"
    total: Decimal
    lines: list[Line]


class Booking(BaseModel):
    """What is laid over the payload when the item is done."""

    voucher: str
    net: Decimal
    vat: Decimal


@handler("invoices", concurrency=8, timeout="5m")
async def book_invoice(invoice: Invoice, item: Item, client: Client) -> Booking:
    """Check the sums and store a voucher.

    A work item can be run twice (a worker may die between the work and the write-back), so the
    voucher is stored under the invoice's number: booking it again replaces it by itself.
    """
    if not invoice.lines:
        raise BusinessError(f"invoice {invoice.number} has no lines", code="NO_LINES")
    net, vat = sums(invoice)
    if net + vat <= 0:
        raise BusinessError(f"amount must be positive, not {net + vat}", code="BAD_AMOUNT")
    if net + vat != invoice.total:
        raise BusinessError(
            f"the lines add up to {net + vat}, the invoice says {invoice.total}",
            code="WRONG_TOTAL",
            data={"expected": str(net + vat), "given": str(invoice.total)},
        )
    voucher = f"V-{invoice.supplier}-{invoice.number}"
    await client.insert_or_update_one(
        VOUCHERS,
        {
            "_type": "voucher",
            "name": voucher,
            "invoice": invoice.number,
            "currency": invoice.currency,
            "net": str(net),
            "vat": str(vat),
            "item": item.id,
        },
        "name",
    )
    return Booking(voucher=voucher, net=net, vat=vat)


def sums(invoice: Invoice) -> tuple[Decimal, Decimal]:
    """Return net and VAT, the VAT rounded to cents for each line."""
    net = sum((line.quantity * line.price for line in invoice.lines), Decimal(0))
    vat = sum(
        (
            (line.quantity * line.price * line.vat).quantize(CENT, ROUND_HALF_UP)
            for line in invoice.lines
        ),
        Decimal(0),
    )
    return net.quantize(CENT, ROUND_HALF_UP), vat
