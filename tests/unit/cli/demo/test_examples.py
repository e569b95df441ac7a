"""The example handlers: what they return, and what they call the item's own fault.

Called as the plain functions that they are; the demo runs them on items.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from handlers.chain import Order, OrderLine, Shipment, pack, ship
from handlers.csv_summary import Request, summarize
from handlers.http_call import Call, call_service
from handlers.invoices import Invoice, Line, book_invoice
from worker import BusinessError, Client, Item, Retry
from worker.cli.demo.service import demo_service
from worker.item.files import Attachment, ItemFiles
from worker.item.item import ItemLog
from worker.openiap.workitem import Workitem, WorkitemFile


class Files(ItemFiles):
    """Files from a folder, and what is attached, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[str, bytes] = {}

    async def fetch(self, file: WorkitemFile) -> Path:
        return self.folder / file.filename

    async def size(self, file: WorkitemFile) -> int:
        return (self.folder / file.filename).stat().st_size

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        self.kept[name] = source if isinstance(source, bytes) else source.read_bytes()
        return Attachment(name, self.folder / name)


class Quiet(ItemLog):
    """Takes log lines and keeps none."""

    def debug(self, message: str, **fields: object) -> None: ...

    def info(self, message: str, **fields: object) -> None: ...

    def warn(self, message: str, **fields: object) -> None: ...

    def error(self, message: str, **fields: object) -> None: ...


class Vouchers:
    """The one call that booking makes."""

    def __init__(self) -> None:
        self.stored: dict[str, Mapping[str, Any]] = {}

    async def insert_or_update_one(
        self, collectionname: str, item: Mapping[str, Any], uniqeness: str
    ) -> Mapping[str, Any]:
        self.stored[str(item[uniqeness])] = item
        return item


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def item(files: Files) -> Item:
    names = [WorkitemFile(path.name, path.name) for path in files.folder.iterdir()]
    return item_with(files, names)


def item_with(files: Files, names: list[WorkitemFile]) -> Item:
    workitem = Workitem(id="6b01", name="one", wiq="q", files=names)
    return Item(workitem, files=files, log=Quiet(), started=datetime.now(UTC))


def invoice(**changes: Any) -> Invoice:
    line = Line.model_validate({"text": "a", "quantity": "3", "price": "0.35", "vat": "0.19"})
    values = {"number": "1", "supplier": "Acme", "total": "1.25", "lines": [line]}
    return Invoice.model_validate({**values, **changes})


async def test_an_invoice_is_booked_once_however_often_it_is_worked(item: Item) -> None:
    vouchers = Vouchers()
    for _ in range(2):
        booking = await book_invoice(invoice(), item, cast("Client", vouchers))
    assert (booking.voucher, str(booking.net), str(booking.vat)) == ("V-Acme-1", "1.05", "0.20")
    assert list(vouchers.stored) == ["V-Acme-1"]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"lines": []}, "NO_LINES", "invoice 1 has no lines"),
        (
            {"lines": [{"text": "a", "quantity": 1, "price": -1}]},
            "BAD_AMOUNT",
            "amount must be positive, not -1.00",
        ),
        ({"total": "1.26"}, "WRONG_TOTAL", "the lines add up to 1.25, the invoice says 1.26"),
    ],
)
async def test_a_wrong_invoice_is_a_business_error(
    item: Item, changes: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(BusinessError) as refused:
        await book_invoice(invoice(**changes), item, cast("Client", Vouchers()))
    assert (refused.value.code, refused.value.message) == (code, message)


async def test_a_busy_service_is_asked_again_and_a_missing_page_is_final(item: Item) -> None:
    async with demo_service() as url:
        call = Call.model_validate({"url": f"{url}/bookings/7", "body": {"n": 7}})
        with pytest.raises(Retry) as busy:
            await call_service(call, item)
        assert busy.value.after == 1
        answer = await call_service(call, item)
        assert (answer.status, answer.answer) == (200, {"booked": "7"})
        gone = Call.model_validate({"url": f"{url}/nothing", "method": "GET"})
        with pytest.raises(BusinessError) as missing:
            await call_service(gone, item)
        assert missing.value.code == "HTTP_404"
        assert "GET 127.0.0.1 answered 404" in missing.value.message


def csv(files: Files, content: bytes) -> Item:
    (files.folder / "sales.csv").write_bytes(content)
    return item_with(files, [WorkitemFile("sales.csv", "f1")])


REQUEST = Request(file="sales.csv", group="region", value="amount")


async def test_a_csv_file_is_summed_up_into_another_one(files: Files) -> None:
    item = csv(files, "\ufeffregion,amount\r\nnorth,1.10\r\nsüd,2\r\nnorth,3\r\n".encode())
    summary = await summarize(REQUEST, item)
    assert (summary.rows, summary.groups, str(summary.total)) == (3, 2, "6.10")
    expected = "region,rows,amount\nnorth,2,4.10\nsüd,1,2\n".encode()
    assert files.kept == {"sales-summary.csv": expected}


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"region,sum\n", "NO_COLUMN", "sales.csv has no column amount; it has region, sum"),
        (b"", "NO_COLUMN", "sales.csv has no column region; it has "),
        (
            b"region,amount\na,1\nb,x\n",
            "BAD_NUMBER",
            "sales.csv line 3: amount = 'x' is no number",
        ),
        (b"region,amount\na,nan\n", "BAD_NUMBER", "sales.csv line 2: amount = 'nan' is no number"),
        (b"region,amount\na\n", "BAD_NUMBER", "sales.csv line 2: amount = None is no number"),
    ],
)
async def test_a_wrong_csv_file_is_a_business_error(
    files: Files, content: bytes, code: str, message: str
) -> None:
    with pytest.raises(BusinessError) as refused:
        await summarize(REQUEST, csv(files, content))
    assert (refused.value.code, refused.value.message) == (code, message)
    assert not files.kept


async def test_other_text_and_missing_files_are_business_errors(files: Files, item: Item) -> None:
    with pytest.raises(BusinessError, match="is not UTF-8"):
        await summarize(REQUEST, csv(files, b"region,amount\n\xff\xfe,1\n"))
    with pytest.raises(BusinessError, match=r"the item has no file sales\.csv; it has none"):
        await summarize(REQUEST, item)


def order(**changes: Any) -> Order:
    line = OrderLine(sku="lamp", quantity=2, grams=900)
    return Order.model_validate({"order": "A-1", "country": "DK", "lines": [line], **changes})


async def test_an_order_goes_from_queue_to_queue(item: Item) -> None:
    packed = await pack(order())
    assert (packed.weight, packed.carrier) == (1800, "PostNord")
    shipment = Shipment.model_validate({**order().model_dump(), **packed.model_dump()})
    label = await ship(shipment, item)
    assert (label.label, label.letter) == ("PostNord/A-1/6b01", False)
    assert await ship(shipment, item) == label


async def test_an_order_that_cannot_be_sent_is_a_business_error() -> None:
    with pytest.raises(BusinessError, match="nobody carries to XX; known: DE, DK, FR"):
        await pack(order(country="XX"))
    with pytest.raises(BusinessError, match="90000 g is more than 31500 g"):
        await pack(order(lines=[{"sku": "x", "quantity": 100, "grams": 900}]))
