"""The items in processing are asked for so that OpenIAP's own indexes tell them."""

from typing import Any, cast

import pytest

from worker.engine.fleet import in_processing
from worker.openiap.pool import Pool
from worker.openiap.reader import Reader
from worker.openiap.workitem import JsonObject


async def test_they_are_asked_for_by_all_that_openiap_has_an_index_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[JsonObject, JsonObject]] = []

    async def query(
        self: Reader,
        collection: str,
        query: JsonObject,
        fields: JsonObject,
        order: JsonObject,
        **_: Any,
    ) -> list[JsonObject]:
        asked.append((query, order))
        return []

    monkeypatch.setattr(in_processing, "pooled_client", lambda pool: None)
    monkeypatch.setattr(Reader, "query", query)
    await in_processing.ItemsInProcessing(cast(Pool, None), lambda misfit: None).of(["a", "b"])
    [(found, order)] = asked
    # OpenIAP's is of type, state, queue and lastrun (openflow, source).
    assert found == {"_type": "workitem", "state": "processing", "wiq": {"$in": ["a", "b"]}}
    assert next(iter(order)) == "lastrun"
