"""A wrong argument is refused where it is given, in one sentence with its name and its value."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cases import each
from worker import (
    Backoff,
    BusinessError,
    CheckpointError,
    Client,
    ContractError,
    Contracts,
    GroupError,
    Item,
    Message,
    Retry,
    Router,
    State,
    StepError,
    batch,
    cached,
    client,
    connect,
    contracts_of,
    handler,
    inline,
    on_change,
    on_message,
    sync,
)
from worker.errors import HandlerError, SettingsError
from worker.item.push import pushes_to
from worker.producer.pushed import check_classes
from worker.settings import Settings

NO_FLAGS: Any = ("no", "", None, 1, 0, float("nan"), [], object())
NO_TEXTS: Any = (None, 5, True, float("inf"), b"x", [], lambda: "")


async def work(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    return payload


def plain(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


async def hear(message: Message) -> None: ...


def refused(call: Callable[[], Any], error: type[Exception], *said: str) -> None:
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for part in (*said, "True or False" if "allowed" not in text else "allowed"):
        assert part in text


@each("value", NO_FLAGS)
def test_what_is_no_flag_is_not_taken_for_one(value: Any) -> None:
    for option in ("process", "evidence", "store"):
        said = f"Handler work: {option} = {value!r}; allowed: True or False."
        refused(lambda: handler("q", **{option: value})(work), HandlerError, said)  # noqa: B023
    refused(lambda: Backoff(jitter=value), ValueError, f"jitter {value!r}")


@each("value", (float("inf"), float("nan"), 10**400, "1e999", "-1GB", "no", "", None, [], -1))
def test_a_memory_limit_that_is_no_size_is_refused(value: Any) -> None:
    if value is None:
        return
    refused(
        lambda: handler("q", process=True, memory=value)(plain),
        HandlerError,
        "Handler plain: memory",
    )


@each("value", NO_TEXTS)
def test_names_of_what_is_listened_to_are_texts(value: Any) -> None:
    for option in ("queue", "exchange", "routingkey"):
        given = {"exchange": "e", option: value}
        said = f"on_message: {option} = {value!r}"
        refused(lambda: on_message(**given)(hear), HandlerError, said)  # noqa: B023
    refused(lambda: Router(prefix=value), HandlerError, f"Router: prefix = {value!r}")
    if value != []:
        refused(lambda: on_change("c", paths=value)(hear), HandlerError, "on_change: paths = ")
    refused(
        lambda: on_change("c", paths=[value])(hear), HandlerError, f"on_change: paths: {value!r}"
    )


@each(
    "option, value",
    [("factor", one) for one in (None, "", "2", True, 0, -1, float("nan"), [], object())]
    + [("attempts", one) for one in ("", "3", True, 0, -1, 2.5, float("inf"), [], object())],
)
def test_a_backoff_says_what_it_takes(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{option} {value!r}: a")):
        Backoff(**{option: value})


@each("value", ("tomorrow", "", 0, 1.5, object()))
def test_a_retry_at_no_moment_is_refused(value: Any) -> None:
    refused(lambda: Retry(at=value), TypeError, f"Retry(at={value!r})")


def test_cached_says_what_to_write() -> None:
    said = 'test_cached_says_what_to_write.rate: for how long is missing; write @cached(ttl="5m")'

    def rate(currency: str) -> str:
        return currency

    with pytest.raises(TypeError, match=re.escape(said)):
        cached(rate)  # type: ignore[type-var]
    for key in ("", "currency", 5, [], object()):
        refused(lambda: cached("5m", key=key)(rate), TypeError, f"cached: key = {key!r}")  # type: ignore[arg-type] # noqa: B023
    with pytest.raises(TypeError, match="cached: 5 is no function"):
        cached("5m")(5)  # type: ignore[type-var]
    assert cached(None)(rate) is not rate


@each("value", (None, 5, "work", ["work"], [None], True))
def test_what_is_no_handler_has_no_contract(value: Any) -> None:
    refused(lambda: contracts_of(value), HandlerError, "contracts_of")
    refused(lambda: inline(value).__enter__(), HandlerError, f"inline: {value!r} is no handler")


def test_what_runs_inline_takes_resources_by_type() -> None:
    for value in ("no", 5, [work]):
        said = f"inline: resources = {value!r}"
        refused(lambda: inline(resources=value).__enter__(), HandlerError, said)  # type: ignore[arg-type] # noqa: B023


@each("value", ("wss://me:hunter2@localhost", {"password": "hunter2"}, "", {}, 5, False))
async def test_settings_that_are_none_are_refused_before_anything_is_opened(value: Any) -> None:
    for opened in (connect(value), client(value)):
        with pytest.raises(SettingsError, match=r"^settings is an? \w+; allowed: ") as refusal:
            async with opened:
                pass
        assert "hunter2" not in str(refusal.value)


async def test_settings_by_name_beside_ready_ones_are_not_passed_over() -> None:
    with pytest.raises(SettingsError, match="url beside ready settings; allowed: one of both"):
        async with connect(Settings(), url="ws://localhost:1"):
            pass
    with pytest.raises(TypeError, match=r"contracts = 'a.json'; allowed: worker.Contracts"):
        async with connect(Settings(), contracts="a.json"):  # type: ignore[arg-type]
            pass


@each(
    "option, value",
    [("name", one) for one in (5, True, [], object())]
    + [("at", one) for one in ("tomorrow", "", 0, 1.5, object())]
    + [("files", one) for one in ("scan.pdf", b"x", None, 5, ["a", 3])]
    + [("priority", one) for one in (10**400, 2**31, -(2**31))],
)
def test_what_cannot_be_said_of_a_push_is_refused_before_it_is_sent(
    option: str, value: Any
) -> None:
    for target, payloads in (("q", [{}]), (handler("q")(work), [{}])):
        with pytest.raises((TypeError, ValueError), match=rf"\b{option}\b.*; allowed: ") as caught:
            pushes_to(target, payloads, {option: value})
        assert len(str(caught.value)) < 300


def test_files_of_a_push_may_come_from_a_generator(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").touch()
    found = pushes_to("q", [{}, {}], {"files": tmp_path.glob("*.pdf")})
    assert [push.files for push in found] == [(str(tmp_path / "a.pdf"),)] * 2


@each("value", (None, 5, {"n": 1}, "text", b"x", object()))
async def test_several_payloads_are_a_list(value: Any) -> None:
    with inline() as producer:
        for pushed in (producer.push_many("q", value), handler("q")(work).push_many(value)):
            with pytest.raises(TypeError, match=r"payloads = .*; allowed: a list of payloads"):
                await pushed
        if value is not None and not isinstance(value, str | dict):
            with pytest.raises(GroupError, match="members: "):
                await producer.push_group(value)
    with pytest.raises(TypeError, match=r"via = .*; allowed: a producer"):
        await handler("q")(work).push({}, via="me")  # type: ignore[arg-type]


def test_what_is_neither_a_handler_nor_a_queue_has_no_items() -> None:
    for value in (None, 5, work, object()):
        with pytest.raises(TypeError, match=r"of = .*; allowed: a handler, or a queue's name"):
            sync.connect(Settings()).pushed("id", of=value)  # type: ignore[arg-type]


@each("value", (None, 5, Exception, [Exception], ["no"], BusinessError))
async def test_errors_that_are_to_come_back_are_classes_in_a_list(value: Any) -> None:
    with inline(handler("q")(work)) as producer:
        pushed = await producer.push("q", {})
        with pytest.raises(TypeError, match=r"raises = .*; allowed: a list of classes"):
            await pushed.result(raises=value)
    check_classes({"gone": BusinessError}.values())


async def test_shared_state_says_what_it_takes() -> None:
    state = State(cast(Client, None))
    for value in ("no", "", None, 1):
        for option in ("nx", "xx"):
            with pytest.raises(TypeError, match=f"{option} = .*; allowed: True or False"):
                await state.values.set("key", 1, **{option: value})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"replay = .*; allowed: True or False"):
            await state.stream("room").subscribe(print, replay=value)  # type: ignore[arg-type]
    for count in (None, "", "5", True, 0, 1.5, 10**400):
        with pytest.raises(ValueError, match=r"count = .*; allowed: 1 to 1,000"):
            await state.values.scan(count=count)  # type: ignore[arg-type]
    for cursor in (None, 5, b"n", ["n"]):
        with pytest.raises(TypeError, match=r"cursor = .*; allowed: the one of the page before"):
            await state.values.scan(cursor=cursor)  # type: ignore[arg-type]
    for room in ([], {}, None, 5):
        with pytest.raises(TypeError, match="stream"):
            state.stream(room)  # type: ignore[arg-type]


async def test_an_item_says_which_types_and_texts_it_takes() -> None:
    async def look(payload: dict[str, Any], item: Item) -> None:
        for odd in ("", "no", {}, [1]):
            with pytest.raises(StepError, match=r"'s'.*(allowed|has no JSON form)"):
                await item.step("s", plain, {}, type=odd)  # type: ignore[call-overload]
            with pytest.raises(StepError, match=r"'s'.*(allowed|has no JSON form)"):
                await item.wait_for("s", timeout=0, type=odd)  # type: ignore[call-overload]
        for text in (None, 5, b"x", ["a"]):
            with pytest.raises(CheckpointError, match="allowed: a text beside the share"):
                await item.progress(0.5, text)  # type: ignore[arg-type]

    await handler("q")(look).run({})


@each("value", (None, 5, "text", b"x", object()))
async def test_batches_contracts_and_runs_say_what_they_take(value: Any) -> None:
    with pytest.raises(TypeError, match=r"batch: .*; allowed: a list or a generator of calls"):
        await batch(value)
    with pytest.raises(ContractError, match=r"Contracts\(.*; allowed: what contracts_of"):
        Contracts(value)
    if not isinstance(value, str):
        with pytest.raises(TypeError, match=r"Contracts.read\(.*; allowed: the path of a file"):
            Contracts.read(value)
    if value is not None:
        for option in ("files", "resources"):
            with pytest.raises(TypeError, match=rf"run: {option} = .*; allowed: a dict"):
                await handler("q")(work).run({}, **{option: value})
    for at_once in (0, -1, None, "5", True, 2.5, 10**9, 10**400):
        with pytest.raises(ValueError, match=r"at_once = .*; allowed: 1 to 10,000"):
            await batch([], at_once=at_once)  # type: ignore[arg-type]
