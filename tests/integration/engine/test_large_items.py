"""Items that are large, in payload, result or files: done or failed in a sentence, others go on."""

import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_serializer, field_validator

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
    until_finished,
)
from worker import Item, handler
from worker.openiap.large import LARGE
from worker.openiap.workitem import MOST_FILES, WorkitemFile

read_in: list[int] = []
written_in: list[int] = []


class Letter(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def note(cls, text: str) -> str:
        read_in.append(threading.get_ident())
        return text


class Answer(BaseModel):
    answer: str

    @field_serializer("answer")
    def note(self, answer: str) -> str:
        written_in.append(threading.get_ident())
        return answer


async def test_what_is_large_is_read_and_written_beside_the_loop_and_the_rest_on_it(
    client, start
) -> None:
    @handler("letters", concurrency=1)
    async def work(letter: Letter) -> Answer:
        return Answer(answer=letter.text[::-1])

    read_in.clear()
    written_in.clear()
    await create_queue(client, "letters")
    await start(work)
    for size in (10, LARGE + 10):
        await client.push_workitem("letters", {"text": "ab" * size})
    small, large = sorted(await until_finished(client, "letters", 2), key=lambda d: len(str(d)))
    assert {small["state"], large["state"]} == {"successful"}
    assert large["payload"]["answer"] == "ba" * (LARGE + 10)
    loop = threading.get_ident()
    assert read_in.count(loop) == written_in.count(loop) == 1
    assert len(read_in) == len(written_in) == 2


async def test_an_item_with_nothing_right_in_it_fails_in_a_sentence_beside_others(
    client, start
) -> None:
    class Rows(BaseModel):
        amounts: list[int]

    @handler("rows", concurrency=2)
    async def work(rows: Rows) -> None: ...

    await create_queue(client, "rows")
    await client.push_workitem("rows", {"amounts": ["a"] * 500_000})
    await client.push_workitem("rows", {"amounts": [1]})
    await start(work)
    bad, good = sorted(await until_finished(client, "rows", 2), key=lambda d: d["state"])
    assert (bad["state"], good["state"]) == ("failed", "successful")
    assert bad["errortype"] == "business"
    assert bad["errormessage"].endswith(
        "work is invalid: amounts.0: Input should be a valid integer, unable to parse string as an"
        " integer (given 'a')"
    )


@official_is_dear
async def test_a_large_payload_of_a_process_is_read_where_it_can_be_ended(client, start) -> None:
    await create_queue(client, "typed")
    await client.push_workitem("typed", {"number": "x" * LARGE * 2})
    await client.push_workitem("typed", {"number": 1})
    await start(process_deeds.typed)
    bad, good = sorted(await until_finished(client, "typed", 2), key=lambda d: d["state"])
    assert (bad["state"], good["state"]) == ("failed", "successful")
    assert bad["errormessage"].startswith("Payload of ")
    assert "is invalid: number: Input should be a valid integer" in bad["errormessage"]


@pytest.mark.parametrize(
    "client_name", ["native", pytest.param("official", marks=pytest.mark.dear)], indirect=True
)
async def test_an_item_of_very_many_files_is_worked_beside_others(
    client, start, tmp_path: Path, client_name: str
) -> None:
    count = 3_000 if client_name == "native" else 200  # the library fetches them all in the pop
    seen: list[tuple[int, str]] = []

    @handler("many", concurrency=2)
    async def work(payload: dict, item: Item) -> None:
        if item.files:
            seen.append((len(item.files), await item.files[f"f{count - 1}"].read_text()))

    await create_queue(client, "many")
    (tmp_path / "small.txt").write_text("small")
    id = await client.upload(tmp_path / "small.txt")
    pushed = await client.push_workitem("many", {}, files=[WorkitemFile("f0", id)])
    document = (await client.query("workitems", {"_id": pushed.id}))[0]
    document["files"] = [{"name": f"f{n}", "filename": f"f{n}", "_id": id} for n in range(count)]
    await client.update_one("workitems", document)
    await client.push_workitem("many", {})
    await start(work)
    done = await until_finished(client, "many", 2)
    assert [d["state"] for d in done] == ["successful"] * 2
    assert seen == [(count, "small")]


async def test_more_files_than_an_item_can_be_given_are_refused_in_a_sentence(
    client, start, tmp_path: Path
) -> None:
    @handler("many")
    async def work(payload: dict, item: Item) -> None:
        item._attachments = dict.fromkeys(map(str, range(MOST_FILES)))  # type: ignore[arg-type]
        await item.attach(b"one more", "more.txt")

    await create_queue(client, "many", maxretries=1)
    await client.push_workitem("many", {})
    await start(work)
    (done,) = await until_finished(client, "many")
    assert done["state"] == "failed"
    assert done["errormessage"].endswith(
        "more.txt cannot be attached: an item can be given 1,000 files, and has them; put them into"
        " an archive"
    )


class Page(BaseModel):
    lines: list[str]


async def test_a_payload_comes_back_changed_exactly_where_a_handler_changed_it(
    client, start
) -> None:
    @handler("left")
    async def left(page: Page) -> None:
        page.lines.append("its own")

    @handler("changed")
    async def changed(page: dict[str, Any]) -> None:
        page["lines"].append("changed")

    @handler("reached")
    async def reached(page: Page, item: Item) -> None:
        item.payload["lines"].append("reached")

    @handler("added")
    async def added(page: Page) -> dict[str, int]:
        return {"count": len(page.lines)}

    lines = ["x" * LARGE, "ü"]
    for queue in ("left", "changed", "reached", "added"):
        await create_queue(client, queue)
        await client.push_workitem(queue, {"lines": lines, "else": 1.5})
    await start(left, changed, reached, added)
    for queue, expected in {
        "left": {"lines": lines, "else": 1.5},
        "changed": {"lines": [*lines, "changed"], "else": 1.5},
        "reached": {"lines": [*lines, "reached"], "else": 1.5},
        "added": {"lines": lines, "else": 1.5, "count": 2},
    }.items():
        (item,) = await until_finished(client, queue)
        assert (item["state"], item["payload"]) == ("successful", expected)
