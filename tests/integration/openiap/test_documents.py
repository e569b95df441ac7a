"""Contract of the client: documents, collections, indexes."""

import pytest

from tests.integration.openiap.conftest import Door
from worker.openiap.errors import (
    DocumentNotFound,
    DuplicateKey,
    OpenIAPError,
    ServerError,
    Unsupported,
)
from worker.openiap.upsert import upsert


async def test_a_document_comes_back_as_it_was_stored(door: Door) -> None:
    stored = await door.client.insert_one("things", {"name": "Zoë", "n": 1, "deep": {"a": [1, 2]}})
    assert stored["_id"]
    found = await door.client.query("things", {"name": "Zoë"})
    assert [one["deep"] for one in found] == [{"a": [1, 2]}]
    assert found[0]["_id"] == stored["_id"]


async def test_json_text_and_python_values_mean_the_same(door: Door) -> None:
    await door.client.insert_one("things", '{"name": "text", "n": 7}')
    assert await door.client.count("things", '{"n": 7}') == 1
    assert await door.client.count("things", {"n": 7}) == 1
    assert (await door.client.query("things", '{"n": 7}', '{"name": 1}'))[0]["name"] == "text"


async def test_query_projects_orders_skips_and_ends(door: Door) -> None:
    await door.client.insert_many("things", [{"n": n, "other": "x"} for n in range(5)])
    found = await door.client.query("things", {}, {"n": 1}, {"n": -1}, skip=1, top=2)
    assert [one["n"] for one in found] == [3, 2]
    assert all("other" not in one for one in found)


async def test_an_unknown_collection_is_empty(door: Door) -> None:
    assert await door.client.query("nowhere") == []
    assert await door.client.count("nowhere") == 0


async def test_insert_many_returns_what_it_stored_or_nothing(door: Door) -> None:
    stored = await door.client.insert_many("things", [{"n": 1}, {"n": 2}])
    assert [one["n"] for one in stored] == [1, 2]
    assert await door.client.insert_many("things", [{"n": 3}], skipresults=True) == []
    assert await door.client.count("things") == 3


async def test_a_second_document_with_one_id_is_a_duplicate_key(door: Door) -> None:
    await door.client.insert_one("things", {"_id": "same", "n": 1})
    with pytest.raises(DuplicateKey) as caught:
        await door.client.insert_one("things", {"_id": "same", "n": 2})
    assert caught.value.operation == "insert_one"
    assert "E11000" in caught.value.text


async def test_update_one_replaces_the_whole_document(door: Door) -> None:
    stored = await door.client.insert_one("things", {"n": 1, "old": True})
    await door.client.update_one("things", {"_id": stored["_id"], "n": 2})
    (found,) = await door.client.query("things", {"_id": stored["_id"]})
    assert found["n"] == 2
    assert "old" not in found


async def test_a_document_that_is_not_there_is_not_replaced(door: Door) -> None:
    with pytest.raises(DocumentNotFound) as caught:
        await door.client.update_one("things", {"_id": "nowhere", "n": 1})
    assert caught.value.operation == "update_one"


async def test_upsert_keeps_the_id_on_a_server_that_forgets_it(door: Door) -> None:
    door.server.faults.upserts_forget_ids = True
    made_up = await door.client.insert_or_update_one("things", {"_id": "mine", "n": 0}, "_id")
    assert made_up["_id"] != "mine"
    users = "5a17f157c4815318c8536c21"
    rights = [{"_id": users, "rights": "/////////////////////w=="}]
    first = await upsert(door.client, "things", {"_id": "mine", "n": 1}, acl=rights)
    second = await upsert(door.client, "things", {"_id": "mine", "n": 2}, acl=rights)
    assert (first["_id"], second["_id"], second["n"]) == ("mine", "mine", 2)
    assert [ace["_id"] for ace in second["_acl"]][:1] == [users]
    assert second["_acl"] == first["_acl"]
    assert await door.client.count("things", {"_id": "mine"}) == 1


async def test_insert_or_update_one_finds_by_its_unique_fields(door: Door) -> None:
    await door.client.insert_or_update_one("things", {"key": "k", "n": 1}, "key")
    again = await door.client.insert_or_update_one("things", {"key": "k", "n": 2}, "key")
    assert again["n"] == 2
    assert await door.client.count("things", {"key": "k"}) == 1


async def test_insert_or_update_many_does_each(door: Door) -> None:
    await door.client.insert_one("things", {"key": "a", "n": 0})
    stored = await door.client.insert_or_update_many(
        "things", [{"key": "a", "n": 1}, {"key": "b", "n": 2}], "key"
    )
    assert sorted(one["n"] for one in stored) == [1, 2]
    assert await door.client.count("things") == 2
    assert (
        await door.client.insert_or_update_many("things", [{"key": "b"}], "key", skipresults=True)
        == []
    )


async def test_delete_one_tells_how_many(door: Door) -> None:
    stored = await door.client.insert_one("things", {"n": 1})
    assert await door.client.delete_one("things", stored["_id"]) == 1
    assert await door.client.count("things") == 0


async def test_delete_many_by_query_and_by_ids(door: Door) -> None:
    stored = await door.client.insert_many("things", [{"n": n} for n in range(5)])
    assert await door.client.delete_many("things", {"n": {"$lt": 2}}) == 2
    assert await door.client.delete_many("things", ids=[stored[2]["_id"], stored[3]["_id"]]) == 2
    assert [one["n"] for one in await door.client.query("things")] == [4]


async def test_distinct_with_and_without_results(door: Door) -> None:
    await door.client.insert_many("things", [{"c": "red"}, {"c": "blue"}, {"c": "red"}])
    assert sorted(await door.client.distinct("things", "c")) == ["blue", "red"]
    assert await door.client.distinct("things", "c", {"c": "green"}) == []
    assert await door.client.distinct("nowhere", "c") == []


@pytest.mark.parametrize(
    ("value", "received"),
    [
        (1.5, "type number (1.5)"),
        (True, "type boolean (true)"),
        ({"x": 1}, "an instance of Object"),
    ],
)
async def test_distinct_of_what_is_no_text_is_refused_as_openiap_does(
    door: Door, value: object, received: str
) -> None:
    await door.client.insert_many("odd", [{"c": "red"}, {"c": value}])
    with pytest.raises(ServerError) as caught:
        await door.client.distinct("odd", "c")
    assert caught.value.text.endswith(f"ArrayBuffer. Received {received}")


async def test_aggregate_runs_a_pipeline(door: Door) -> None:
    await door.client.insert_many("things", [{"c": "a", "n": 1}, {"c": "a", "n": 2}, {"c": "b"}])
    found = await door.client.aggregate(
        "things", [{"$match": {"c": "a"}}, {"$group": {"_id": "$c", "sum": {"$sum": "$n"}}}]
    )
    assert found == [{"_id": "a", "sum": 3}]


async def test_collections_are_made_listed_and_dropped(door: Door) -> None:
    await door.client.create_collection("fresh")
    assert "fresh" in {one["name"] for one in await door.client.list_collections()}
    await door.client.drop_collection("fresh")
    assert "fresh" not in {one["name"] for one in await door.client.list_collections(True)}


async def test_indexes_are_made_listed_and_dropped(door: Door) -> None:
    await door.client.insert_one("things", {"n": 1})
    assert await door.client.create_index("things", {"n": 1}, name="by_n") == "by_n"
    for index in ({"n": 1, "kind": -1}, '{"n": 1, "kind": -1}'):
        assert await door.client.create_index("things", index) == "n_1_kind_-1"
    assert "by_n" in {one["name"] for one in await door.client.get_indexes("things")}
    await door.client.drop_index("things", "by_n")
    assert "by_n" not in {one["name"] for one in await door.client.get_indexes("things")}


async def test_a_conditional_update_matches_once_or_is_unsupported(door: Door) -> None:
    stored = await door.client.insert_one("things", {"state": "open"})
    condition = {"_id": stored["_id"], "state": "open"}
    change = {"$set": {"state": "closed"}}
    if not door.client.capabilities.conditional_updates:
        with pytest.raises(Unsupported, match="native client"):
            await door.client.update_document("things", condition, change)
        return
    assert (await door.client.update_document("things", condition, change)).matched == 1
    assert (await door.client.update_document("things", condition, change)).matched == 0


async def test_custom_command_gives_its_result_or_a_clear_error(door: Door) -> None:
    # OpenIAP answers what it does not know; what needs the rest of it is refused here.
    assert not await door.client.custom_command("no-such-command", data={"a": 1})
    with pytest.raises(OpenIAPError) as caught:
        await door.client.custom_command("startagent", data={"a": 1})
    assert caught.value.operation == "custom_command"


async def test_text_that_has_no_utf8_form_is_sent_as_an_escape(door: Door) -> None:
    assert await door.client.delete_one("things", "bad \udc80 id") == 1, "OpenIAP's answer"
    assert await door.client.delete_many("things", ids=["bad \udc80 id"]) == 0
    assert await door.client.distinct("things", "bad \udc80 field") == []
    await door.client.insert_one("things", {"text": "bad \ud800 text"})
    assert await door.client.count("things", {"text": "bad \ud800 text"}) == 1
