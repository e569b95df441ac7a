"""Contract of the client: conveniences, log lines and gauges."""

from datetime import UTC, datetime
from decimal import Decimal

from pydantic import BaseModel

from tests.integration.openiap.conftest import Door


class Invoice(BaseModel):
    number: str
    amount: Decimal


async def test_ids_are_fresh(idle_door: Door) -> None:
    assert len({idle_door.client.uniqeid() for _ in range(1000)}) == 1000


async def test_sizes_are_for_people(idle_door: Door) -> None:
    assert idle_door.client.format_bytes(0) == "0 Bytes"
    assert idle_door.client.format_bytes(1536) == "1.5 KB"
    assert idle_door.client.format_bytes(5 * 1024**3, 0) == "5 GB"


async def test_values_become_json(idle_door: Door) -> None:
    moment = datetime(2026, 11, 20, 10, 0, 0, 5000, tzinfo=UTC)
    assert idle_door.client.stringify({"a": [1, None], "t": moment}) == (
        '{"a":[1,null],"t":"2026-11-20T10:00:00.005Z"}'
    )
    assert idle_door.client.stringify(Invoice(number="1", amount=Decimal("1.50"))) == (
        '{"number":"1","amount":"1.50"}'
    )


async def test_log_lines_and_gauges_never_raise(door: Door) -> None:
    client = door.client
    for log in (client.info, client.warn, client.error, client.verbose, client.debug, client.trace):
        log("a line", 1, {"with": "values"}, "\ud800 \u0000")
    client.enable_tracing("error")
    client.disable_tracing()
    client.set_f64_observable_gauge("ratio", 0.5, "a ratio")
    client.set_u64_observable_gauge("count", 5, "a count")
    client.set_i64_observable_gauge("difference", -5, "a difference")
    client.disable_observable_gauge("ratio")
    client.disable_observable_gauge("never set")
