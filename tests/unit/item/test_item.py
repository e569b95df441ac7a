"""What an item knows of itself, and what is kept in its payload beside the payload."""

from datetime import UTC, datetime

from worker import Item
from worker.item.metadata import KEY, Metadata, after_success, joined, taken_out
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log

LOG = Log("error", write=lambda level, line: None)


def test_an_items_creation_is_read_from_its_id() -> None:
    def item(id: str) -> Item:
        return Item(Workitem(id=id), files=None, log=LOG, started=datetime.now(UTC))

    assert item("65f0c3800000000000000000").created == datetime(2024, 3, 12, 21, 5, 4, tzinfo=UTC)
    assert item("test-1").created is None
    assert item("x" * 24).created is None


def test_metadata_is_taken_out_and_put_back() -> None:
    payload = {"a": 1, KEY: {"checkpoint": {"p": 3}, "progress": {"share": 1}, "namespace": "n"}}
    rest, metadata = taken_out(payload)
    assert rest == {"a": 1}
    assert metadata == Metadata({"p": 3}, {"share": 1}, "n")
    assert joined(rest, metadata) == payload
    assert after_success({"a": 2}, metadata) == {"a": 2, KEY: {"namespace": "n"}}
    assert after_success({"a": 2}, Metadata({"p": 3})) == {"a": 2}
    for odd in (5, None, [1], {"progress": 3, "namespace": 4}):
        assert taken_out({KEY: odd}) == ({}, Metadata())
