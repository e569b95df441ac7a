"""Handlers for the kill points of groups: one pushes a group, two are worked, one comes after."""

import os
from pathlib import Path
from typing import Any, Final

from tests.acceptance.accounting import Journal
from worker import Item, handler

PARENTS: Final = "parents"
MEMBERS: Final = "members"
AFTER: Final = "after"
SIZE: Final = 2

JOURNAL = Journal(Path(os.environ.get("ACCEPTANCE_JOURNAL", os.devnull)))


@handler(PARENTS, concurrency=32)
async def parent(payload: dict[str, Any], item: Item) -> None:
    members = [(member, {"parent": item.id, "n": n}) for n in range(SIZE)]
    await item.push_group(members, then=(after, {"parent": item.id}))


@handler(MEMBERS, concurrency=64)
async def member(payload: dict[str, Any], item: Item) -> int:
    JOURNAL.note("member", item=item.id)
    return int(payload["n"])


@handler(AFTER, concurrency=32)
async def after(payload: dict[str, Any], item: Item) -> None:
    JOURNAL.note("after", item=item.id)
