"""One living worker has a name, and a message that was held up is no living worker."""

from datetime import UTC, datetime, timedelta

from worker.engine.fleet.namesakes import Namesakes
from worker.engine.fleet.presence import Peer, WorkerInfo

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_last_heartbeat_of_an_earlier_life_ends_nobody_and_a_living_one_does() -> None:
    """A message of a killed process may have been held up on its way, and arrives after all."""
    me = WorkerInfo("a", "1", {"q": 1}, life="mine")
    namesakes = Namesakes(me, BEGIN)

    def look(seconds: float, beaten: float, life: str = "other") -> bool | None:
        stamp = BEGIN + timedelta(seconds=seconds)
        other = Peer("a", "host", 7, "1", ("q",), 0.0, frozenset(), stamp=stamp, life=life)
        found = namesakes.look([other], beaten)
        return None if found is None else found[1]

    assert look(1, 1.0, "mine") is None
    assert [look(seconds, 1.0) for seconds in (1, 1, 2)] == [None] * 3, "this life wrote not since"
    assert look(2, 11.0) is None, "that is what it wrote before"
    assert look(3, 11.0) is True
