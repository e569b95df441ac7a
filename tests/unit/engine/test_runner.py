"""What the runner leaves on the disk."""

from pathlib import Path
from typing import Any, cast

import pytest

from worker import BusinessError, Item, Skip, handler
from worker.openiap.client import Client
from worker.openiap.workitem import Workitem
from worker.testing.dry_run import DryRunSetup, dry_run

ENDS = {
    "application": ValueError("broken"),
    "business": BusinessError("no"),
    "successful": Skip(),
    "failed": None,
}


@pytest.mark.parametrize("kind", ENDS)
async def test_no_copy_of_an_attachment_outlives_an_attempt_that_does_not_deliver_it(
    tmp_path: Path, kind: str
) -> None:
    kept: list[Path] = []

    @handler("q")
    async def attaches(payload: dict[str, Any], item: Item) -> Any:
        await item.attach(b"content", "a.txt")
        kept.extend(one.path for one in item.attachments)
        assert kept[0].exists()
        error = ENDS[kind]
        if error is not None:
            raise error
        return object()

    setup = DryRunSetup(Workitem(id="1", wiq="q", payload={}), cast(Client, None), tmp_path)
    seen = await dry_run(attaches, setup)
    assert seen.outcome.kind == kind
    assert not kept[0].exists()
