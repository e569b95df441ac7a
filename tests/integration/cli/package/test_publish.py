"""A published package is the one that was built, and publishing it again changes nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from worker.cli.package.build import Built, build, read_package, write
from worker.cli.package.catalog import chosen, delete, packages
from worker.cli.package.errors import PackageError
from worker.cli.package.project import BuildOptions
from worker.cli.package.publish import existing, publish
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions

DEADLINE = 60.0


Users = dict[str, NativeClient]


@pytest.fixture
async def users() -> AsyncIterator[Users]:
    """An admin and two ordinary users, who see nothing of each other's."""
    passwords = {"ann": "a", "bob": "b"}
    options = ServerOptions(users={"tester": "secret"}, plain_users=passwords)
    async with LocalServer(options) as server, AsyncExitStack() as stack:
        found: Users = {}
        for name, password in {"tester": "secret", **passwords}.items():
            options_of = ConnectionOptions(url=server.ws_url, username=name, password=password)
            found[name] = NativeClient(options_of)
            stack.push_async_callback(found[name].disconnect)
            await found[name].connect(timeout=DEADLINE)
        yield found


@pytest.fixture
async def client(users: Users) -> NativeClient:
    return users["tester"]


def package(folder: Path, *, version: str = "1.0.0", note: str = "") -> Built:
    (folder / "jobs.py").write_text(f"# {note}\n", encoding="utf-8")
    options = BuildOptions(name="jobs", version=version, handlers=("jobs",))
    return build(folder, options, max_bytes=1_000_000)


async def put(client: NativeClient, built: Built):
    return await publish(client, built, await existing(client, built.manifest.name))


async def test_what_is_downloaded_is_what_was_built(client: NativeClient, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    built = read_package(write(package(project), tmp_path / "dist"))
    published = await put(client, built)
    assert (published.changed, published.uploaded) == (True, True)
    (document,) = await client.query("agents", {"_type": "package", "id": "jobs"})
    assert {key: document[key] for key in ("name", "version", "language", "daemon", "main")} == {
        "name": "jobs",
        "version": "1.0.0",
        "language": "python",
        "daemon": True,
        "main": "main.py",
    }
    assert document["ports"] == []
    assert document["fileid"] == published.fileid
    path = await client.download(document["fileid"], tmp_path / "again")
    assert path.read_bytes() == built.archive


async def test_same_package_twice_changes_nothing(client: NativeClient, tmp_path: Path) -> None:
    first = await put(client, package(tmp_path))
    (before,) = await client.query("agents", {"id": "jobs"})
    files = await client.count("fs.files", {})
    again = await put(client, package(tmp_path))
    assert (again.changed, again.uploaded, again.fileid) == (False, False, first.fileid)
    assert await client.query("agents", {"id": "jobs"}) == [before]
    assert await client.count("fs.files", {}) == files


async def test_new_version_replaces_the_document_and_keeps_what_others_put_there(
    client: NativeClient, tmp_path: Path
) -> None:
    first = await put(client, package(tmp_path))
    (document,) = await client.query("agents", {"id": "jobs"})
    await client.update_one("agents", {**document, "owner": "accounting"})
    second = await put(client, package(tmp_path, version="1.1.0", note="more"))
    assert second.replaced["version"] == ("1.0.0", "1.1.0")
    assert second.warning == ""
    (now,) = await client.query("agents", {"id": "jobs"})
    assert (now["_id"], now["owner"]) == (document["_id"], "accounting")
    assert now["fileid"] == second.fileid != first.fileid
    assert await client.count("fs.files", {}) == 2, "the former archive stays for going back"


async def test_other_content_under_the_same_version_is_warned_of(
    client: NativeClient, tmp_path: Path
) -> None:
    await put(client, package(tmp_path))
    published = await put(client, package(tmp_path, note="changed"))
    assert published.uploaded
    assert "still 1.0.0" in published.warning


async def test_missing_archive_is_published_anew(client: NativeClient, tmp_path: Path) -> None:
    built = package(tmp_path)
    first = await put(client, built)
    (document,) = await client.query("agents", {"id": "jobs"})
    await client.update_one("agents", {**document, "fileid": "000000000000000000000000"})
    second = await put(client, built)
    assert second.uploaded
    assert second.fileid != first.fileid


async def test_two_documents_of_one_name_are_refused_and_told_apart(
    client: NativeClient, tmp_path: Path
) -> None:
    found = await client.insert_many("agents", [{"_type": "package", "id": "jobs"}] * 2)
    with pytest.raises(PackageError, match="several packages") as refused:
        await put(client, package(tmp_path))
    assert all(str(one["_id"]) in str(refused.value) for one in found)
    with pytest.raises(PackageError, match="several packages"):
        chosen(await packages(client), "jobs")
    await delete(client, chosen(await packages(client), found[0]["_id"]))
    assert (await put(client, package(tmp_path))).changed
    (left,) = await packages(client, "jobs")
    assert left["_id"] == found[1]["_id"]


async def test_two_who_do_not_see_each_other_publish_one_name_and_an_admin_sees_both(
    client: NativeClient, users: Users, tmp_path: Path
) -> None:
    ann, bob = users["ann"], users["bob"]
    first, second = await put(ann, package(tmp_path, note="a")), await put(bob, package(tmp_path))
    assert (first.warning, second.warning) == ("", "")
    assert [await packages(one, "jobs") != [] for one in (ann, bob)] == [True, True]
    with pytest.raises(PackageError, match=r"made by ann.*made by bob"):
        await put(client, package(tmp_path))
    mine = chosen(await packages(ann), "jobs")
    assert (mine["fileid"], mine["_createdby"]) == (first.fileid, "ann")
    assert not (await put(ann, package(tmp_path, note="a"))).changed, "each has their own"
    with pytest.raises(PackageError, match="cannot be deleted: Access denied or package not found"):
        await delete(bob, mine)
    await delete(ann, mine)
    assert await client.count("fs.files", {"_id": first.fileid}) == 0
    assert await client.count("fs.files", {"_id": second.fileid}) == 1


async def test_a_package_of_others_is_not_changed_and_nothing_is_left_of_the_attempt(
    client: NativeClient, users: Users, tmp_path: Path
) -> None:
    ann, bob = users["ann"], users["bob"]
    published = await put(ann, package(tmp_path))
    (mine,) = await packages(ann)
    reader = {"_id": bob.user.id if bob.user else "", "rights": 2}
    await ann.update_one("agents", {**mine, "_acl": [*mine["_acl"], reader]})
    files = await client.count("fs.files")
    with pytest.raises(PackageError, match=r"made by ann.*you may not change it"):
        await put(bob, package(tmp_path, version="2.0.0"))
    assert await client.count("fs.files") == files
    (found,) = await packages(client)
    assert (found["version"], found["fileid"]) == ("1.0.0", published.fileid)


async def test_who_publishes_a_name_at_the_same_moment_is_told(
    client: NativeClient, tmp_path: Path
) -> None:
    built = package(tmp_path)
    nothing = await existing(client, "jobs")
    assert (await publish(client, built, nothing)).warning == ""
    assert "several packages" in (await publish(client, built, nothing)).warning
