"""Chaos in the suite, in its short form; ``python -m tests.acceptance.long`` has the long one."""

from pathlib import Path

from tests.acceptance.chaos import HEAD, Aftermath, Chaos, raise_chaos, row
from tests.acceptance.clients import both_clients
from tests.acceptance.results import table, write_section

DONE: dict[str, Aftermath] = {}


@both_clients
async def test_every_item_gets_its_outcome_through_chaos(client: str, tmp_path: Path) -> None:
    chaos = Chaos(
        seed=1,
        client=client,
        workers=2,
        items=200,
        seconds=14,
        life=4,
        restarts=2,
        freezes=1,
        frozen=3,
        cuts=4,
    )
    after = await raise_chaos(chaos, tmp_path)
    assert after.faults() == []
    DONE[client] = after
    if len(DONE) == 2:
        write_section("Chaos", table(HEAD, [row(DONE[name]) for name in sorted(DONE)]))
