"""What pages look at: which changes concern it."""

from worker.console.live import subjects
from worker.openiap.types import WatchEvent


def test_an_item_is_asked_for_anew_when_it_changes_and_not_when_others_do() -> None:
    own, other = ({"_id": id, "wiq": "orders"} for id in ("i1", "i2"))
    document, _children, around = subjects.item("i1").parts
    for topic in (document, around):
        assert topic.concerns(WatchEvent("watch-1", "update", own))
        assert not topic.concerns(WatchEvent("watch-1", "update", other))
        assert not topic.concerns(WatchEvent("i1", "update", other))
