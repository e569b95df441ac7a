"""Documents that others wrote hide none of the rest, however large they are."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import settings_for
from tests.integration.engine.test_foreign_documents import connection
from worker.localserver import LocalServer
from worker.localserver.operations.queries import Queries
from worker.localserver.storage.errors import RefusedError
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.fields import Misfit
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.reader import Reader, is_bare

LARGE = 4_500_000


@pytest.fixture
async def native(server: LocalServer, tmp_path: Path) -> AsyncIterator[Client]:
    door = make_client(settings_for(server.ws_url, tmp_path / "native", client="native"))
    await door.connect()
    yield door
    await door.disconnect()


@pytest.fixture
async def pool(server: LocalServer, tmp_path: Path) -> AsyncIterator[Pool]:
    """One link that an answer of more than 4 MiB breaks."""
    settings = settings_for(server.grpc_url, tmp_path / "state", client="official")
    pool = Pool([connection(settings)])
    await pool.start()
    yield pool
    await pool.stop()


@pytest.fixture(params=["sizes known", pytest.param("sizes unknown", marks=pytest.mark.dear)])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the server knows ``$bsonSize``: MongoDB does from 4.4 on."""
    known = request.param == "sizes known"
    if not known:
        plain = Queries.query

        def refusing(self: Queries, collection: str, query: Any, **more: Any) -> Any:
            if "$expr" in query:
                raise RefusedError("Unrecognized expression '$bsonSize'")
            return plain(self, collection, query, **more)

        monkeypatch.setattr(Queries, "query", refusing)
    return known


@pytest.mark.usefixtures("sizes")
async def test_what_is_too_large_comes_as_its_id_and_hides_none(native: Client, pool: Pool) -> None:
    small = [{"_id": f"pod-{n:02}", "n": n, "text": "x"} for n in range(40)]
    await native.insert_many("things", small, skipresults=True)
    await native.insert_one("things", {"_id": "pod-07-large", "n": 1, "text": "x" * LARGE})
    await native.insert_one("things", {"_id": "pod-" + "9" * LARGE, "n": 1})
    told: list[Misfit] = []
    reader = Reader(pooled_client(pool), "thing", told.append)

    async def read(**more: Any) -> list[str]:
        query = {"_id": {"$gt": "a"}}
        found = await reader.query(
            "things", query, {"text": 1}, {"_id": -1}, **{"top": 100, **more}
        )
        assert {one["_id"] for one in found if is_bare(one)} <= {"pod-07-large"}
        return [one["_id"] for one in found]

    names = sorted([one["_id"] for one in small] + ["pod-07-large"], reverse=True)
    assert await read() == names
    breaks = pool.epoch
    assert await read() == names
    assert await read(top=5) == names[:5]
    assert await read(top=5, skip=30) == names[30:35]
    assert pool.epoch == breaks  # no link breaks any more
    assert [(misfit.kind, misfit.id) for misfit in told] == [("thing", "pod-07-large")]
    needed = await reader.query("things", {"_id": "pod-07-large"}, top=1, needed={"n": 1})
    assert needed == [{"_id": "pod-07-large", "n": 1}]


@pytest.mark.dear
async def test_a_crowd_of_large_documents_costs_two_links_at_most(
    native: Client, pool: Pool
) -> None:
    for n in range(12):
        await native.insert_one("things", {"_id": f"large-{n}", "text": "x" * LARGE})
    await native.insert_one("things", {"_id": "small", "text": "x"})
    before = pool.epoch
    found = await Reader(pooled_client(pool), "thing").query("things", {}, orderby={"_id": 1})
    assert len(found) == 13
    assert found[-1]["text"] == "x"
    assert pool.epoch <= before + 2


@pytest.mark.dear
@pytest.mark.usefixtures("sizes")
async def test_many_that_are_too_much_together_all_come(native: Client, pool: Pool) -> None:
    many = [{"_id": f"{n:03}", "text": "x" * 30_000 * (1 + n % 3)} for n in range(200)]
    for start in range(0, 200, 50):
        await native.insert_many("things", many[start : start + 50], skipresults=True)
    found = await Reader(pooled_client(pool), "thing").query("things", {}, orderby={"_id": 1})
    assert [(one["_id"], len(one["text"])) for one in found] == [
        (one["_id"], len(str(one["text"]))) for one in many
    ]


async def test_what_is_large_by_right_is_read_whole_after_a_break_too(
    native: Client, pool: Pool
) -> None:
    for n, size in enumerate((2_000_000, 10)):
        await native.insert_one("things", {"_id": f"{n}", "text": "x" * size})
    reader = Reader(pooled_client(pool), "thing", large=True)
    reader._take_care("")  # as after a link that broke for whatever reason
    found = await reader.query("things", {}, orderby={"_id": 1})
    assert [len(one["text"]) for one in found] == [2_000_000, 10]
    assert [is_bare(one) for one in found] == [False, False]
