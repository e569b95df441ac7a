"""The soak in its short form; ``python -m tests.acceptance.long --soak`` has the long one."""

from pathlib import Path

import pytest

from tests.acceptance.clients import CLIENTS
from tests.acceptance.results import table, write_section
from tests.acceptance.soak import HEAD, Soaked, row, soak

DONE: dict[str, Soaked] = {}


@pytest.mark.dear
@pytest.mark.parametrize("client", CLIENTS)
async def test_nothing_grows_with_the_items(client: str, tmp_path: Path) -> None:
    soaked = await soak(client, 4000, 1500, tmp_path, deadline=180)
    assert soaked.faults() == []
    DONE[client] = soaked
    if len(DONE) == 2:
        write_section("Soak", table(HEAD, [row(DONE[name]) for name in sorted(DONE)]))
