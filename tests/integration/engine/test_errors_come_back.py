"""A handler's error as whoever waits for the result sees it: data, code, and the class itself."""

import asyncio
from typing import Any

import pytest

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
)
from tests.integration.engine.process_deeds import OutOfStock
from worker import ApplicationError, BusinessError, ItemFailed, connect, handler, sync


class Closed(ApplicationError):
    pass


@handler("stock")
async def take(what: str, left: int) -> int:
    if what == "closed":
        raise Closed("no\nway", code="SHUT", data={"until": "8:00", "odd": ', data {"x":1}'})
    if what == "large":
        raise OutOfStock(what, "x" * 5_000)
    if what == "plain":
        raise BusinessError("nothing said")
    raise OutOfStock(what, left)


@official_is_dear
async def test_data_code_and_class_come_back(client, settings, start) -> None:
    for queue in ("stock", "stock-processes"):
        await create_queue(client, queue, maxretries=1)
    await start(take, process_deeds.take)
    async with connect(settings):
        for handled in (take, process_deeds.take):
            pushed = await handled.push({"what": "nails", "left": 2})
            with pytest.raises(ItemFailed) as failed:
                await pushed.result("1m")
            assert (failed.value.code, failed.value.data) == ("OUT", {"left": 2})
            with pytest.raises(OutOfStock) as raised:
                await pushed.result("1m", raises=[Closed, OutOfStock])
            assert (raised.value.code, raised.value.data) == ("OUT", {"left": 2})
            assert str(raised.value) == raised.value.message == "no nails"
            assert isinstance(raised.value.__cause__, ItemFailed)
            with pytest.raises(ItemFailed):
                await pushed.result("1m", raises=[Closed])
        closed = await take.push({"what": "closed", "left": 0})
        with pytest.raises(Closed) as shut:
            await closed.result("1m", raises=[Closed])
        assert shut.value.data == {"until": "8:00", "odd": ', data {"x":1}'}
        for what, raised_as in (("large", "OutOfStock"), ("plain", "")):
            with pytest.raises(ItemFailed) as failed:
                await (await take.push({"what": what, "left": 0})).result("1m")
            assert (failed.value.data, failed.value.raised) == (None, raised_as)
        wrong: Any = ValueError
        with pytest.raises(TypeError, match=r"^raises = .*; allowed: a list of classes below Bus"):
            await closed.result("1m", raises=[wrong])

    def script() -> None:
        with sync.connect(settings) as openiap:
            openiap.pushed(closed.id, take).result("1m", raises=[Closed])

    with pytest.raises(Closed):
        await asyncio.to_thread(script)
