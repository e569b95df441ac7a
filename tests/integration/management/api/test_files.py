"""Files of items over HTTP: whole, bounded, and never more than files."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.integration.management.api.stage import ApiStage, api_on
from tests.integration.management.failures import INVOKE, READ, UPDATE, queue_for
from worker.management.api.options import Limits
from worker.testing.local_openiap import LocalOpenIAP

pytestmark = pytest.mark.dear

LARGE = bytes(range(256)) * 4_000
NAMES = ("..", "a%2F..%2Fb", "..%2Fb", "%00", "a%0Ab", "CON", "a.", "%5C..%5Cb", "a%3Ab", "%7F")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def test_a_file_goes_up_and_comes_down_as_it_is(stage: ApiStage, temporary: Path) -> None:
    id = await stage.openiap.push("orders", {"n": 1})
    async with stage.signed_in(stage.boss) as http:
        put = await http.put(f"/items/{id}/files/<b>.html", content=b"x")
        assert put.status_code == 422  # a name that Windows does not take
        shown = (await http.put(f"/items/{id}/files/ø 1.html", content=LARGE)).json()
        (file,) = shown["files"]
        assert (file["name"], file["bytes"], shown["payload"]) == ("ø 1.html", len(LARGE), {"n": 1})
        got = await http.get(f"/items/{id}/files/{file['id']}")
        assert (got.status_code, got.content) == (200, LARGE)
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-disposition"].startswith("attachment; filename*=UTF-8''%C3")
        again = await http.put(f"/items/{id}/files/ø 1.html", content=b"x")
        assert (again.status_code, again.json()["error"]) == (409, "ConflictError")
        assert stage.openiap.item(id).state == "new"
        missing = await http.get(f"/items/{id}/files/0123456789abcdef01234567")
        assert (missing.status_code, missing.json()["error"]) == (404, "ItemFileNotFoundError")
    async with asyncio.timeout(60):
        while list(temporary.iterdir()):
            await asyncio.sleep(0.01)


async def test_a_file_has_its_items_rights(stage: ApiStage) -> None:
    await queue_for(stage.openiap, "open", READ | UPDATE | INVOKE)
    stage.openiap.queue("closed")
    mine = await stage.openiap.push("open", {}, files={"a.txt": b"mine"})
    other = await stage.openiap.push("closed", {}, files={"b.txt": b"secret"})
    async with stage.signed_in(stage.boss) as boss, stage.signed_in(stage.ordinary) as http:
        (file,) = (await boss.get(f"/items/{other}")).json()["files"]
        for id in (other, mine):
            answer = await http.get(f"/items/{id}/files/{file['id']}")
            assert answer.status_code == 404
            assert b"secret" not in answer.content


async def test_uploads_are_bounded(openiap: LocalOpenIAP, temporary: Path) -> None:
    id = await openiap.push("orders", {"n": 1})

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 600

    async with api_on(openiap, Limits(upload=1_000)) as stage, stage.signed_in(stage.boss) as http:
        said = await http.put(f"/items/{id}/files/a", content=b"x" * 1_001)
        assert (said.status_code, said.json()["error"]) == (413, "TooLargeError")
        with suppress(httpx.TransportError):  # or the connection ends before it is read
            unsaid = await http.put(f"/items/{id}/files/a", content=endless())
            assert unsaid.status_code == 413
        for name in NAMES:
            answer = await http.put(f"{http.base_url}items/{id}/files/{name}", content=b"x")
            assert answer.status_code in (404, 405, 422), name
        assert (await http.get(f"/items/{id}")).json()["files"] == []
        assert (await http.put(f"/items/{id}/files/a", content=b"x" * 1_000)).status_code == 201
    assert list(temporary.iterdir()) == []
