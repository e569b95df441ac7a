"""``worker_test(signals=…)``: what an item is told is given, and what it took is seen."""

import threading

from worker import Item, SignalTimeout, handler
from worker.testing import WorkerTest


async def test_signals_are_given_and_seen(worker_test: WorkerTest) -> None:
    @handler("scans")
    async def scan(payload: dict, item: Item) -> dict:
        first = await item.wait_for("scan", timeout="1d", type=int)
        try:
            second = await item.wait_for("scan", timeout="1d", type=int)
        except SignalTimeout:
            second = 0
        return {"scans": [first, second]}

    waits = await worker_test(scan)
    assert (waits.outcome.kind, waits.waits_for, dict(waits.signals)) == ("released", ("scan",), {})
    assert waits.outcome.message.startswith("waits for scan since 20")
    once = await worker_test(scan, signals={"scan": ["no number", 7]})
    assert (once.waits_for, dict(once.signals)) == (("scan",), {"scan #1": 7})
    assert (
        "Signal scan (test-signal-scan-1) is passed over: value: Input should be"
        in once.log[0].text
    )
    late = await worker_test(scan, signals={"scan": 7}, slept=True)
    assert late.payload == {"scans": [7, 0]}
    assert dict(late.signals) == {"scan #1": 7, "scan #2": None}
    both = await worker_test(scan, signals={"scan": [7, 8]})
    assert both.payload == {"scans": [7, 8]}


async def test_waiting_for_what_cannot_come_is_refused(worker_test: WorkerTest) -> None:
    @handler("wrong")
    async def wrong(payload: dict, item: Item) -> None:
        await item.wait_for(payload["name"], type=threading.Thread)

    for name, said in (
        (" ", "' ' is no name of a signal; allowed: text of 1 to 150 characters"),
        ("scan", "Signal 'scan': Thread has no JSON form; allowed: a model, a dataclass"),
    ):
        run = await worker_test(wrong, {"name": name})
        assert (run.outcome.kind, said in run.outcome.message) == ("failed", True), run.outcome
