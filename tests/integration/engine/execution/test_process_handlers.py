"""Process handlers that behave: what goes to the child comes back as from any other handler."""

import asyncio
import os
import random
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from worker import ApplicationError, BusinessError, Client, Item, Retry, Skip, handler
from worker.app.registry import Registered, load_modules
from worker.app.signature import signature_of
from worker.engine.execution import make_executor
from worker.engine.execution.remote import RemoteError
from worker.errors import HandlerError
from worker.item.error_chain import ResultError
from worker.item.error_text import described, source_of
from worker.item.outcome import failure
from worker.item.retry import Never, retry_policy
from worker.openiap.errors import FileTransferError


async def written(path: Path) -> int:
    async with asyncio.timeout(60):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)
    return int(path.read_text())


@pytest.mark.parametrize("name", ["add", "add_async"])
async def test_a_result_comes_back(house: Any, name: str) -> None:
    executor, registered = await house.executor(house.sample(name), slots=1)
    assert await executor.run(house.call(registered, a=2, b=3)) == {"total": 5}


@pytest.mark.parametrize(
    ("name", "total", "shown"),
    [("partial", 10, "scaled"), ("callable_object", 15, "Adds"), ("wrapped", 5, "scaled")],
)
async def test_whatever_can_be_called_runs_in_a_process(
    house: Any, name: str, total: int, shown: str
) -> None:
    found = load_modules(["sample_handlers"], folder=Path(__file__).parent)
    queue = {"callable_object": "object"}.get(name, name)
    sample = next(one for one in found if one.options.queue == queue)
    executor, registered = await house.executor(sample, slots=1)
    assert await executor.run(house.call(registered, a=2, b=3)) == {"total": total}
    with pytest.raises(BusinessError, match=rf"{shown} is invalid: b: "):
        await executor.run(house.call(registered, a=1))


async def test_the_child_has_the_item_as_it_is(house: Any) -> None:
    executor, registered = await house.executor(house.sample("who"), slots=1)
    call = house.call(registered, deep={"ü": [1, 2.5, None, "\U0001f600"]})
    seen = await executor.run(call)
    item = call.item
    assert seen["pid"] != os.getpid()
    assert (seen["id"], seen["name"], seen["queue"]) == (item.id, item.name, "q")
    assert (seen["attempt"], seen["left"]) == (2, 3)
    assert seen["payload"] == item.payload
    assert datetime.fromisoformat(seen["started"]) == item.started
    assert seen["threads"] is False, "the child has no use for the transports"


async def test_a_payload_that_does_not_fit_is_a_business_error_naming_the_field(
    house: Any,
) -> None:
    executor, registered = await house.executor(house.sample("add"), slots=1)
    with pytest.raises(BusinessError, match=r"b: .*valid integer") as at:
        await executor.run(house.call(registered, a=1, b="many"))
    assert type(at.value) is BusinessError


async def test_errors_keep_their_class_text_and_fields(house: Any) -> None:
    executor, registered = await house.executor(house.sample("raise_"), slots=1)
    samples = house.sample("raise_").function.__globals__

    async def raised(kind: str) -> Exception:
        with pytest.raises(Exception) as at:
            await executor.run(house.call(registered, kind=kind))
        return at.value

    business = await raised("business")
    assert type(business) is BusinessError
    assert (business.message, business.code, business.data) == (
        "bad amount",
        "BAD",
        {"amount": "0"},
    )
    assert 'raise BusinessError("bad amount"' in source_of(business)
    assert "worker/engine" not in source_of(business)
    refused = await raised("refused")
    assert type(refused) is samples["RefusedError"]
    assert described(refused) == "[R] refused"
    application = await raised("application")
    assert type(application) is ApplicationError
    retry = await raised("retry")
    assert isinstance(retry, Retry)
    assert (retry.after, retry.reason, str(retry)) == (300.0, "closed", "closed")
    later = await raised("retry-at")
    assert isinstance(later, Retry)
    assert later.at == datetime(2030, 1, 2, tzinfo=UTC)
    assert isinstance(await raised("skip"), Skip)
    modem = await raised("modem")
    assert isinstance(modem, samples["ModemError"])
    assert isinstance(modem, OSError)
    assert described(modem) == "ModemError: line 3: busy"
    assert (modem.line, modem.tone) == (3, "busy")
    assert described(await raised("key")) == "KeyError: 'number'"
    group = await raised("group")
    assert isinstance(group, ExceptionGroup)
    assert group.message == "several"
    assert [str(one) for one in group.exceptions] == ["one", "'two'"]
    local = await raised("local")
    assert isinstance(local, RemoteError)
    assert type(local).__name__ == "LocalError"
    for kind, name in (
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
        ("cancelled", "CancelledError"),
    ):
        assert f"raised {name}" in str(await raised(kind))


async def test_retry_rules_by_class_hold_across_processes(house: Any) -> None:
    executor, registered = await house.executor(house.sample("raise_"), slots=1)
    with pytest.raises(OSError) as at:
        await executor.run(house.call(registered, kind="modem"))
    outcome = failure(
        at.value,
        attempt=1,
        policy=retry_policy({OSError: Never}),
        now=datetime.now(UTC),
        chance=random.Random(1),
    )
    assert outcome.kind == "failed"


@pytest.mark.parametrize(
    ("kind", "text"),
    [("set", "an object has no JSON form"), ("nan", "x: nan has no JSON form")],
)
async def test_a_result_that_is_not_json_fails_for_good(house: Any, kind: str, text: str) -> None:
    executor, registered = await house.executor(house.sample("result"), slots=1)
    with pytest.raises(ResultError, match=text) as at:
        await executor.run(house.call(registered, kind=kind))
    outcome = failure(
        at.value,
        attempt=1,
        policy=retry_policy(None),
        now=datetime.now(UTC),
        chance=random.Random(1),
    )
    assert outcome.kind == "failed"


async def test_files_attachments_and_log_lines_go_through_the_worker(house: Any) -> None:
    (house.store / "scan.pdf").write_text("scanned")
    executor, registered = await house.executor(house.sample("files"), slots=1)
    item = house.item(files=("scan.pdf",))
    assert await executor.run(house.call(registered, item)) == {"text": "scanned"}
    assert {a.name: a.path.read_text() for a in item.attachments} == {
        "copy.pdf": "scanned",
        "note.txt": "from memory",
    }
    assert house.log.lines == [("info", "read", {"size": 7, "odd": "<class 'object'>"})]


async def test_a_file_that_does_not_arrive_is_the_same_error_in_the_child(house: Any) -> None:
    (house.store / "scan.pdf").write_text("scanned")
    executor, registered = await house.executor(house.sample("files_async"), slots=1)
    item = house.item(files=("scan.pdf", "absent.pdf"))
    with pytest.raises(FileTransferError, match="did not arrive whole") as at:
        await executor.run(house.call(registered, item))
    assert at.value.operation == "download"
    assert [a.name for a in item.attachments] == ["copy.pdf"]


async def test_soft_timeout_reaches_into_the_child(house: Any) -> None:
    executor, registered = await house.executor(house.sample("patient"), slots=1)
    assert await executor.run(house.call(registered)) == {"stopped": True}


async def test_soft_timeout_cancels_an_async_handler_in_its_child(house: Any) -> None:
    executor, registered = await house.executor(house.sample("patient_async"), slots=1)
    for _ in range(2):  # the child lives on
        with pytest.raises(ApplicationError, match="longer than its timeout of 200ms") as at:
            await executor.run(house.call(registered))
        assert "await asyncio.sleep(60)" in source_of(at.value)
    assert executor.lost() == 0


async def test_parameters_that_only_the_worker_has_are_refused(house: Any) -> None:
    @handler("q", process=True)
    def wants(client: Client) -> None: ...

    registered = Registered(wants, signature_of(wants.function, name=wants.name))
    with pytest.raises(HandlerError, match="parameter client of type Client"):
        make_executor(registered, slots=1)


async def test_a_handler_that_a_child_cannot_find_is_refused_at_start(house: Any) -> None:
    @handler("q", process=True)
    def hidden(item: Item) -> None: ...

    executor, _ = await house.executor(hidden, slots=1, start=False)
    with pytest.raises(HandlerError, match=r"does not import|has no handlers|is not in"):
        await executor.start()


async def test_a_module_that_fails_in_the_child_is_refused_at_start(
    house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "only_here.py"
    module.write_text(
        "import os\nfrom worker import handler\n"
        "assert os.getpid() == int(os.environ['ONLY_HERE'])\n"
        "@handler('q', process=True)\ndef work(): ...\n"
    )
    monkeypatch.setenv("ONLY_HERE", str(os.getpid()))
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    executor, _ = await house.executor(only_here.work, slots=2, start=False)
    with pytest.raises(HandlerError, match=r"only_here does not import: AssertionError.*line 3"):
        await executor.start()


async def test_ctrl_c_and_sigterm_in_the_child_change_nothing(house: Any, tmp_path: Path) -> None:
    executor, registered = await house.executor(house.sample("sleep"), slots=1)
    sign = tmp_path / "sign"
    run = asyncio.create_task(executor.run(house.call(registered, sign=str(sign), seconds=0.5)))
    pid = await written(sign)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert await run == {"slept": True}


async def test_a_thousand_items_leave_no_process_and_no_file_behind(house: Any) -> None:
    own = psutil.Process()
    executor, registered = await house.executor(house.sample("spin"), slots=2)
    before, children = own.num_fds(), {c.pid for c in own.children()}
    seen: set[int] = set()

    async def lane(count: int) -> None:
        for _ in range(count):
            seen.add((await executor.run(house.call(registered, ms=0)))["pid"])

    await asyncio.gather(lane(500), lane(500))
    assert len(seen) == 2
    assert own.num_fds() <= before
    assert {c.pid for c in own.children()} <= children
    await executor.stop(1)
    assert not seen & {c.pid for c in own.children()}


async def test_two_items_are_worked_at_once_in_two_processes(house: Any, tmp_path: Path) -> None:
    executor, registered = await house.executor(house.sample("sleep"), slots=2)
    signs = [tmp_path / "one", tmp_path / "two"]
    runs = [
        asyncio.create_task(executor.run(house.call(registered, sign=str(sign)))) for sign in signs
    ]
    # Neither ends by itself: both signs are only there if both are worked at the same time.
    pids = {await written(sign) for sign in signs}
    assert len(pids) == 2
    await executor.stop(0)
    assert [type(end) for end in await asyncio.gather(*runs, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]


async def test_stopping_is_quick_and_clean_when_nothing_runs(house: Any) -> None:
    executor, registered = await house.executor(house.sample("who"), slots=1)
    child = psutil.Process((await executor.run(house.call(registered)))["pid"])
    async with asyncio.timeout(60):
        await executor.stop(600)
    assert not child.is_running()
