"""Whatever fails around a handler ends as an outcome: no item stays in processing."""

from typing import Any

import pytest
from pydantic import BaseModel, field_validator, model_serializer

from tests.integration.engine.conftest import create_queue, until_finished
from worker import Backoff, Item, Retry, handler


class Picky(BaseModel):
    key: str

    @field_validator("key")
    @classmethod
    def known(cls, value: str) -> str:
        """Raise what pydantic does not turn into a validation error."""
        return {"right": "ok"}[value]


async def test_an_error_in_the_payloads_own_code_is_written_back(client, start) -> None:
    @handler("q")
    async def work(payload: Picky) -> None:
        """Never called."""

    await create_queue(client, "q", maxretries=2)
    await client.push_workitem("q", {"key": "wrong"})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "failed"
    assert done["retries"] == 1
    assert "KeyError: 'wrong'" in done["errormessage"]


async def test_an_error_in_the_results_own_code_is_written_back(client, start) -> None:
    class Result(BaseModel):
        @model_serializer
        def written(self) -> dict[str, Any]:
            raise LookupError("no such thing")

    @handler("q")
    async def work(payload: dict) -> Result:
        return Result()

    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "failed"
    assert "no such thing" in done["errormessage"]


@pytest.mark.parametrize("last", ["retry", "no form"])
async def test_the_source_of_an_error_is_of_the_attempt_of_its_message(
    client, start, last: str
) -> None:
    """OpenIAP keeps the source of an earlier attempt where a later one has none."""

    @handler("q", retry=Backoff("10ms", max="10ms"))
    async def work(item: Item) -> Any:
        if item.attempt == 1:
            raise ValueError("the first attempt's")
        if last == "retry":
            raise Retry("not yet", after=0.01)
        return object()

    await create_queue(client, "q", maxretries=2)
    await start(work)
    await client.push_workitem("q", {})
    (failed,) = await until_finished(client, "q")
    assert failed["state"] == "failed"
    assert "the first attempt's" not in failed["errormessage"]
    assert "the first attempt's" not in failed["errorsource"]
    assert "attempt 2" in failed["errorsource"]
