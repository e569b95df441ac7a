"""Whatever fails around a handler ends as an outcome: no item stays in processing."""

from typing import Any

from pydantic import BaseModel, field_validator, model_serializer

from tests.integration.engine.conftest import create_queue, until_finished
from worker import handler


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
