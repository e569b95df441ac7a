"""Chaos in the suite, in its short form; ``python -m tests.acceptance.long`` has the long one."""

from pathlib import Path

import pytest

from tests.acceptance.chaos import HEAD, Aftermath, Chaos, raise_chaos, row
from tests.acceptance.clients import both_clients
from tests.acceptance.results import table, write_section

MOMENT = 28
"""A seed that kills one of two workers early, while the link of the other one is frozen."""
DONE: dict[str, Aftermath] = {}


async def test_every_item_gets_its_outcome_through_a_moment_of_chaos(tmp_path: Path) -> None:
    """A death, a restart of the server and two broken links; the short form is dear."""
    chaos = Chaos(
        seed=MOMENT,
        client="native",
        workers=2,
        items=40,
        seconds=4,
        life=3,
        restarts=1,
        freezes=0,
        cuts=2,
    )
    after = await raise_chaos(chaos, tmp_path)
    assert after.faults() == []
    assert after.done["kills"] >= 1
    assert (after.done["server restarts"], after.done["link cuts"]) == (1, 2)


@pytest.mark.dear
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
