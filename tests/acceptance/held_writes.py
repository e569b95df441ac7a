"""Writes of items, told apart by what they carry, and held on their way."""

import asyncio
from typing import Final

from tests.acceptance.proxy import Proxy, Side
from worker.item.outcome import WAITS
from worker.openiap.wire import openiap_pb2 as pb

COMMANDS: Final = ("updatedocument", "updateworkitem", "updateone", "insertone")
PARKING: Final = WAITS.encode()


def writes(has: bytes, *lacks: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return what tells a write from the others of its item, by what it carries."""
    return has, lacks


def hold(proxy: Proxy, side: Side, id: str, has: bytes, lacks: tuple[bytes, ...]) -> asyncio.Event:
    """Hold the first write of an item that carries something, or its reply."""
    reached = asyncio.Event()

    def match(request: pb.Envelope, _: pb.Envelope | None) -> bool:
        text = request.SerializeToString()
        if reached.is_set() or id.encode() not in text or has not in text:
            return False
        if any(one in text for one in lacks):
            return False
        reached.set()
        return True

    for command in COMMANDS:
        proxy.tap(command, side, match=match, act="hold")
    return reached
