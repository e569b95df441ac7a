"""Who may do what: users, roles and lists of rights, in the words of OpenIAP."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.integration.localserver.conftest import RawClient, ServerSaidError
from worker.localserver import LocalServer
from worker.openiap.wire import openiap_pb2 as pb

READ, UPDATE, DELETE, INVOKE = 2, 4, 8, 16
ADMINS = "5a1702fa245d9013697656fb"
FULL = 65535
NO_QUEUE = r"^Work item queue not found q \(undefined\) not found\.$"

SignedIn = Callable[[str], Awaitable[RawClient]]


@pytest.fixture
async def guarded(serve: Any) -> LocalServer:
    """A server with an admin and two ordinary users."""
    server = await serve(plain_users={"ann": "a", "bob": "b"})
    assert isinstance(server, LocalServer)
    return server


@pytest.fixture
def as_user(guarded: LocalServer, connect: Any) -> SignedIn:
    async def sign_in(name: str) -> RawClient:
        client: RawClient = await connect(guarded, signed_in=name == "tester")
        if name != "tester":
            await client.sign_in(name, name[0])
        return client

    return sign_in


async def id_of(admin: RawClient, name: str) -> str:
    (user,) = await admin.query("users", {"name": name})
    return str(user["_id"])


async def grant(admin: RawClient, collection: str, id: str, **rights: int) -> None:
    """Give users or roles these rights on a document."""
    (document,) = await admin.query(collection, {"_id": id})
    ids = {name: await id_of(admin, name.replace("_", " ")) for name in rights}
    others = [ace for ace in document["_acl"] if ace["_id"] not in ids.values()]
    own = [{"_id": ids[name], "rights": bits} for name, bits in rights.items()]
    await admin.replace(collection, {**document, "_acl": [*others, *own]})


async def fence(client: RawClient, item_id: str) -> int:
    """Return how many items a conditional update matched."""
    reply = await client.ask(
        "updatedocument",
        pb.UpdateDocumentRequest(
            collectionname="workitems",
            query=json.dumps({"_id": item_id}),
            document='{"$set": {"closing": "token"}}',
        ),
    )
    return int(reply.opresult.matchedCount)


async def test_an_ordinary_user_sees_a_queue_by_read_and_works_it_by_invoke(
    as_user: SignedIn,
) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    queue = await admin.queue("q")
    item = await admin.push("q")
    for act in (ann.push, ann.pop):
        with pytest.raises(ServerSaidError, match=NO_QUEUE):
            await act("q")
    assert await ann.query("mq", {"name": "q"}) == []

    await grant(admin, "mq", queue._id, ann=READ)
    with pytest.raises(ServerSaidError, match=r"^Unknown work item queue or ann is missing invoke"):
        await ann.push("q")
    assert await ann.pop("q") is None, "it may not even read the items"
    with pytest.raises(ServerSaidError, match=rf"^Work item  with _id {item._id} not found\.$"):
        await ann.update(item._id, "failed")

    await grant(admin, "mq", queue._id, ann=READ + INVOKE)
    assert await ann.pop("q") is None, "an item keeps the rights that its queue had"
    await admin.update(item._id, "")
    assert (await ann.pop("q"))._id == item._id, "until it is updated"
    assert (await ann.update(item._id, "successful")).state == "successful"
    with pytest.raises(ServerSaidError, match=r"^Unknown work item or access denied$"):
        await ann.ask("deleteworkitem", pb.DeleteWorkitemRequest(_id=item._id))
    await grant(admin, "mq", queue._id, ann=READ)
    with pytest.raises(ServerSaidError, match=r"^Unknown work item or  ann is missing invoke"):
        await ann.update(item._id, "retry")


async def test_an_item_in_front_that_lacks_invoke_fails_every_pop(as_user: SignedIn) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    ann_id = await id_of(admin, "ann")
    queue = await admin.queue("q", _acl=[pb.Ace(_id=ann_id, rights=READ)])
    item = await admin.push("q")
    await grant(admin, "mq", queue._id, ann=READ + INVOKE)
    await admin.push("q")
    for _ in range(2):
        with pytest.raises(ServerSaidError, match=rf"^Access denied popping workitem {item._id} a"):
            await ann.pop("q")


async def test_without_the_right_to_update_a_fence_matches_nothing(as_user: SignedIn) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    ann_id = await id_of(admin, "ann")
    queue = await admin.queue("q", _acl=[pb.Ace(_id=ann_id, rights=READ + INVOKE)])
    item = await admin.push("q")
    assert await fence(ann, item._id) == 0
    (stored,) = await ann.query("workitems", {"_id": item._id})
    with pytest.raises(ServerSaidError, match=r"^Access denied, no authorization to UpdateOne wit"):
        await ann.replace("workitems", stored)
    await grant(admin, "mq", queue._id, ann=READ + INVOKE + UPDATE)
    await admin.update(item._id, "")
    assert await fence(ann, item._id) == 1
    (stored,) = await ann.query("workitems", {"_id": item._id})
    assert (await ann.replace("workitems", stored))["_id"] == item._id


async def test_who_pushes_has_every_right_on_the_item_until_its_update(as_user: SignedIn) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    ann_id = await id_of(admin, "ann")
    await admin.queue("q", _acl=[pb.Ace(_id=ann_id, rights=READ + INVOKE)])
    item = await ann.push("q")
    assert await fence(ann, item._id) == 1
    await ann.update(item._id, "")
    assert await fence(ann, item._id) == 0


async def test_an_item_inserted_as_a_document_is_new_and_its_queues(as_user: SignedIn) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    queue = await admin.queue("q")
    document = {"_type": "workitem", "wiq": "q", "state": "failed", "retries": 7, "priority": 1}
    with pytest.raises(ServerSaidError, match=r"^Workitemqueue q not found$"):
        await ann.insert("workitems", document)
    with pytest.raises(ServerSaidError, match=r"^Workitemqueue \(wiq or wiqid\) is required$"):
        await ann.insert("workitems", {"_type": "workitem"})
    await grant(admin, "mq", queue._id, ann=READ)
    stored = await ann.insert("workitems", document)
    found = [stored[key] for key in ("state", "wiqid", "retries", "priority")]
    assert found == ["new", queue._id, 7, 1]


async def test_a_queue_gets_a_role_that_has_no_right_on_it(as_user: SignedIn) -> None:
    admin, ann, bob = [await as_user(name) for name in ("tester", "ann", "bob")]
    queue = await ann.queue("q")
    (document,) = await admin.query("mq", {"_id": queue._id})
    (role,) = await admin.query("users", {"_id": queue.usersrole})
    assert role["name"] == "q users"
    assert [one["name"] for one in role["members"]] == ["ann", "workitem queue admins"]
    assert [ace["name"] for ace in document["_acl"]] == ["admins", "ann"]

    bob_id = await id_of(admin, "bob")
    role["members"].append({"_id": bob_id, "name": "bob"})
    await ann.replace("users", role)
    with pytest.raises(ServerSaidError, match=NO_QUEUE):
        await bob.push("q")
    await grant(admin, "mq", queue._id, q_users=READ + INVOKE)
    assert (await bob.push("q")).state == "new", "on a connection that was open before"

    other = await ann.queue("other", skiprole=True)
    assert other.usersrole == ""
    await ann.ask("deleteworkitemqueue", pb.DeleteWorkItemQueueRequest(wiq="q", purge=True))
    assert await admin.query("users", {"_id": queue.usersrole}) == []
    with pytest.raises(ServerSaidError, match=r"^Work item queue with name other not found\.$"):
        await bob.ask("deleteworkitemqueue", pb.DeleteWorkItemQueueRequest(wiq="other"))


async def test_a_list_of_rights_is_stored_without_those_who_do_not_exist(
    as_user: SignedIn,
) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    sent = [{"_id": "nobody", "rights": FULL}, {"_id": await id_of(admin, "bob"), "rights": READ}]
    stored = await ann.insert("c", {"_acl": sent})
    found = [(ace["name"], ace["rights"]) for ace in stored["_acl"]]
    assert found == [("bob", READ), ("admins", FULL), ("ann", FULL)]
    assert [ace["_id"] for ace in (await admin.insert("c", {}))["_acl"]] == [ADMINS]


async def test_documents_are_for_those_who_may_read_change_and_delete_them(
    as_user: SignedIn,
) -> None:
    ann, bob = await as_user("ann"), await as_user("bob")
    mine = await ann.insert("c", {"_id": "mine", "n": 1})
    assert await bob.query("c", {}) == []
    for command, request in (
        ("count", pb.CountRequest(collectionname="c", query="{}")),
        ("deletemany", pb.DeleteManyRequest(collectionname="c", query="{}")),
    ):
        reply = await bob.ask(command, request)
        assert (reply.result if command == "count" else reply.affectedrows) == 0
    distinct = pb.DistinctRequest(collectionname="c", field="n", query="{}")
    assert list((await bob.ask("distinct", distinct)).results) == []
    grouped = pb.AggregateRequest(collectionname="c", aggregates='[{"$match": {}}]')
    assert (await bob.ask("aggregate", grouped)).results == "[]"
    with pytest.raises(ServerSaidError, match=r"^item mine not found in c or Access Denied$"):
        await bob.replace("c", {"_id": "mine"})
    reply = await bob.ask("deleteone", pb.DeleteOneRequest(collectionname="c", id="mine"))
    assert reply.affectedrows == 1, "said, not done"

    bob_id = next(ace["_id"] for ace in (await bob.insert("c", {}))["_acl"] if ace["name"] == "bob")
    await ann.replace("c", {**mine, "_acl": [*mine["_acl"], {"_id": bob_id, "rights": READ}]})
    assert [one["n"] for one in await bob.query("c", {"_id": "mine"})] == [1]
    with pytest.raises(ServerSaidError, match=r"^Access denied, no authorization to Update"):
        await bob.replace("c", {"_id": "mine"})


async def test_a_watch_tells_of_what_its_user_may_read(as_user: SignedIn) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    await ann.ask("watch", pb.WatchRequest(collectionname="workitems"))
    await ann.ask("watch", pb.WatchRequest(collectionname="c"))
    await admin.queue("q")
    await admin.push("q")
    await admin.insert("c", {"_id": "theirs"})
    await ann.insert("c", {"_id": "own"})
    assert json.loads((await ann.event("watchevent")).document)["_id"] == "own"
    assert ann.events.empty()


async def test_a_file_is_for_those_who_may_read_it(guarded: LocalServer, as_user: SignedIn) -> None:
    ann, bob = await as_user("ann"), await as_user("bob")
    uploaded = await ann.upload("a.txt", b"contents")
    assert await ann.download(uploaded.id) == b"contents"
    with pytest.raises(ServerSaidError, match=rf"^Access denied, downloading {uploaded.id}$"):
        await bob.download(uploaded.id)
    async with httpx.AsyncClient() as http:
        for client, status in ((ann, 200), (bob, 404)):
            answer = await http.get(
                f"{guarded.http_url}/download/{uploaded.id}",
                headers={"Authorization": f"Bearer {client.jwt}"},
            )
            assert answer.status_code == status


async def test_what_is_always_lost_on_openiap_is_lost(client: Any) -> None:
    request = pb.InsertOrUpdateOneRequest(collectionname="c", uniqeness="_id", item='{"_id": "a"}')
    stored = json.loads((await client.ask("insertorupdateone", request)).result)
    assert stored["_id"] != "a", "a new document's id"
    change = pb.UpdateDocumentRequest(
        collectionname="c",
        query=json.dumps({"_id": stored["_id"], "$or": [{"gone": 1}]}),
        document='{"$set": {"n": 1}}',
    )
    reply = await client.ask("updatedocument", change)
    assert reply.opresult.matchedCount == 1, "a condition beside an id of 24 characters"


async def test_a_file_that_an_item_has_cannot_be_deleted(client: Any) -> None:
    await client.queue("q")
    item = await client.push("q", files=[pb.WorkitemFile(filename="a.txt", file=b"a")])
    request = pb.DeleteOneRequest(collectionname="fs.files", id=item.files[0]._id)
    with pytest.raises(ServerSaidError, match=rf"in use by a workitem {item._id} New work item$"):
        await client.ask("deleteone", request)


async def test_a_file_is_in_use_whatever_its_metadata_say(client: Any) -> None:
    await client.queue("q")
    uploaded = await client.upload("a.txt", b"a", '{"wi": "another item"}')
    item = await client.push("q", files=[pb.WorkitemFile(filename="a.txt", _id=uploaded.id)])
    request = pb.DeleteOneRequest(collectionname="fs.files", id=uploaded.id)
    with pytest.raises(ServerSaidError, match=rf"in use by a workitem {item._id} New work item$"):
        await client.ask("deleteone", request)


async def test_a_package_goes_by_its_own_command(as_user: SignedIn) -> None:
    ann, bob = await as_user("ann"), await as_user("bob")
    file = await ann.upload("a.tgz", b"archive")
    bob_id = next(ace["_id"] for ace in (await bob.insert("c", {}))["_acl"] if ace["name"] == "bob")
    acl = [{"_id": bob_id, "rights": READ}]
    package = {"_type": "package", "id": "jobs", "name": "jobs", "fileid": file.id, "_acl": acl}
    stored = await ann.insert("agents", package)
    with pytest.raises(ServerSaidError, match=r"^Access denied, use packages page or api to delet"):
        await ann.ask("deleteone", pb.DeleteOneRequest(collectionname="agents", id=stored["_id"]))
    with pytest.raises(ServerSaidError, match=r"^Access denied, use agents page or api to delete"):
        await ann.ask("deletemany", pb.DeleteManyRequest(collectionname="agents", query="{}"))
    request = pb.CustomCommandRequest(command="deletepackage", id=stored["_id"])
    with pytest.raises(ServerSaidError, match=r"missing delete permission on jobs$"):
        await bob.ask("customcommand", request)
    await ann.ask("customcommand", request)
    assert await ann.query("agents", {}) == await ann.query("fs.files", {"_id": file.id}) == []
    with pytest.raises(ServerSaidError, match=r"^Access denied or package not found$"):
        await ann.ask("customcommand", request)


@pytest.mark.parametrize(
    ("command", "request_"),
    [
        ("createcollection", pb.CreateCollectionRequest(collectionname="c")),
        ("dropcollection", pb.DropCollectionRequest(collectionname="c")),
        ("createindex", pb.CreateIndexRequest(collectionname="c", index='{"n": 1}')),
        ("getindexes", pb.GetIndexesRequest(collectionname="c")),
        ("dropindex", pb.DropIndexRequest(collectionname="c", name="n_1")),
    ],
)
async def test_collections_and_indexes_are_for_admins(
    as_user: SignedIn, command: str, request_: Any
) -> None:
    ann = await as_user("ann")
    with pytest.raises(ServerSaidError, match=r"^Access denied"):
        await ann.ask(command, request_)


async def test_nobody_listens_as_another_user(as_user: SignedIn) -> None:
    admin, ann = await as_user("tester"), await as_user("ann")
    own, other = await id_of(admin, "ann"), await id_of(admin, "bob")
    reply = await ann.ask("registerqueue", pb.RegisterQueueRequest(queuename=own))
    assert reply.queuename == own
    with pytest.raises(ServerSaidError, match=r"missing invoke permission on users object"):
        await ann.ask("registerqueue", pb.RegisterQueueRequest(queuename=other))


async def test_a_user_is_an_admin_or_not_by_how_the_server_was_started_last(
    serve: Any, connect: Any, tmp_path: Any
) -> None:
    data = tmp_path / "data.sqlite"
    for users in ({"users": {"ann": "a"}}, {"plain_users": {"ann": "a"}, "users": {"t": "t"}}):
        server = await serve(data=data, **users)
        client = await connect(server, signed_in=False)
        roles = [role.name for role in (await client.sign_in("ann", "a")).user.roles]
        assert ("admins" in roles) == ("plain_users" not in users)
        await client.close()
        await server.stop()
