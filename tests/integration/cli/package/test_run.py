"""A package does here what it would do in an agent: set up by pip, work, stop, start again."""

import asyncio
import sys
import venv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.provisioned import provisioned
from worker.cli.package import run as agent
from worker.cli.package.archive import pack, unpack
from worker.cli.package.build import Built, build, read_package, write
from worker.cli.package.errors import PackageError
from worker.cli.package.project import BuildOptions
from worker.cli.package.run import Ended, run
from worker.cli.package.wheel import own_wheel, save
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue

DEADLINE = 60.0
INSTALL_DEADLINE = 600.0

HANDLERS = """
import asyncio
import time

from worker import handler


@handler("jobs", concurrency=2)
async def work(job: dict) -> dict:
    if job.get("deaf"):
        await asyncio.to_thread(time.sleep, 60)
    await asyncio.sleep(job.get("seconds", 0))
    return {"done": True}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This package's wheel, as a build makes it: test_from_a_clone.py compares them."""
    found = own_wheel()
    assert found is not None
    return save(found, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent keeps its interpreter from one package and start to the next: what this package
    requires is there by now, this package is not."""
    folder = tmp_path_factory.mktemp("agent") / "python"
    provisioned(folder)
    return folder


def built(folder: Path, wheel: Path | None = None) -> Built:
    project = folder / "project"
    project.mkdir()
    (project / "jobs.py").write_text(HANDLERS, encoding="utf-8")
    options = BuildOptions(name="jobs", version="1.0.0", handlers=("jobs",), wheel=wheel)
    return read_package(write(build(project, options), folder / "dist"))


@pytest.fixture
def package(tmp_path: Path, wheel: Path) -> Built:
    """A package that brings this package's wheel along."""
    return built(tmp_path, wheel)


@pytest.fixture
def bare(tmp_path: Path) -> Built:
    """A package that is not installed here, or not as it is."""
    return built(tmp_path)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer(ServerOptions(users={"tester": "secret"})) as found:
        yield found


@pytest.fixture
async def client(server: LocalServer) -> AsyncIterator[NativeClient]:
    found = NativeClient(ConnectionOptions(url=server.ws_url, username="tester", password="secret"))
    await found.connect(timeout=DEADLINE)
    await found.add_workitem_queue(WorkItemQueue(name="jobs", retrydelay=0))
    yield found
    await found.disconnect()


async def until_state(client: NativeClient, state: str, count: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while await client.count("workitems", {"wiq": "jobs", "state": state}) < count:
            await asyncio.sleep(0.05)


async def schedule(server: LocalServer, client: NativeClient, home: Path) -> dict[str, str]:
    token, _ = await client.signin("tester", "secret", longtoken=True)
    # An agent's home; the state directory goes there, not into the working directory.
    return {"apiurl": server.ws_url, "jwt": token, "wiq": "jobs", "HOME": str(home)}


@pytest.fixture(scope="module")
def empty_interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that has nothing, not even pip, whose installation takes by far the most time."""
    folder = tmp_path_factory.mktemp("agent") / "empty"
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    return folder


@pytest.mark.dear
@pytest.mark.timeout(INSTALL_DEADLINE + 5 * DEADLINE)
async def test_package_is_set_up_works_stops_and_starts_again(
    monkeypatch: pytest.MonkeyPatch,
    package: Built,
    interpreter: Path,
    server: LocalServer,
    client: NativeClient,
    tmp_path: Path,
) -> None:
    lines: list[str] = []
    environment = await schedule(server, client, tmp_path)
    # An agent would not wait for a machine that is slow; the worker's own plan is what counts here.
    monkeypatch.setattr(agent, "INTERRUPT_AFTER", DEADLINE)
    monkeypatch.setattr(agent, "KILL_AFTER", DEADLINE + 1)
    # It is started twice: Python compiles what that imports, and pip not all there is.
    monkeypatch.setenv("PIP_COMPILE", "0")

    async def start(stop: asyncio.Event) -> Ended:
        return await run(package, environment, stop=stop, say=lines.append, keep=interpreter)

    for number in range(20):
        await client.push_workitem("jobs", {"number": number})
    stop = asyncio.Event()
    running = asyncio.create_task(start(stop))
    async with asyncio.timeout(INSTALL_DEADLINE):
        while "starting main.py" not in lines and not running.done():
            await asyncio.sleep(0.1)
    await until_state(client, "successful", 20)
    await client.push_workitem("jobs", {"seconds": 1})
    await client.push_workitem("jobs", {"seconds": 600})
    await until_state(client, "processing", 2)
    stop.set()
    ended = await asyncio.wait_for(running, 2 * DEADLINE)
    assert (ended.code, ended.killed, ended.install_code) == (0, False, 0), lines
    assert ended.stop_seconds < 24.0, "a worker elsewhere would drain for 25 s"
    assert ended.printed < 20_000, "an agent keeps all output in memory"
    assert await client.count("workitems", {"wiq": "jobs", "state": "processing"}) == 0
    assert await client.count("workitems", {"wiq": "jobs", "state": "successful"}) == 21
    (left,) = await client.query("workitems", {"wiq": "jobs", "state": "new"})
    assert left["retries"] == 0, "stopping costs no attempt"

    await client.update_one("workitems", {**left, "payload": {}})
    stop = asyncio.Event()
    again = asyncio.create_task(start(stop))
    await until_state(client, "successful", 22)
    stop.set()
    assert (await asyncio.wait_for(again, 2 * DEADLINE)).code == 0
    assert sum(line.startswith("pip installs requirements.txt") for line in lines) == 1

    # Serverless: with SF_VMID it drains the queue and ends by itself with 0.
    await client.push_workitem("jobs", {})
    environment["SF_VMID"] = "vm-1"
    environment["SF_AMQPQUEUE"] = environment.pop("wiq")
    drained = await asyncio.wait_for(start(asyncio.Event()), 2 * DEADLINE)
    assert (drained.code, drained.stop_seconds) == (0, 0.0), lines
    await until_state(client, "successful", 23)


@pytest.mark.dear
@pytest.mark.timeout(INSTALL_DEADLINE)
async def test_missing_dependency_is_one_line(bare: Built, interpreter: Path) -> None:
    files = unpack(bare.archive)
    files["requirements.txt"] = b"./not_there-1.0-py3-none-any.whl\n"
    broken = Built(bare.manifest, pack(files), "", bare.files)
    lines: list[str] = []
    ended = await asyncio.wait_for(
        run(broken, {}, stop=asyncio.Event(), say=lines.append, keep=interpreter),
        INSTALL_DEADLINE - DEADLINE,
    )
    assert ended.code == 1
    assert ended.install_code != 0
    said = lines[lines.index("starting main.py") + 1 :]
    assert len(said) == 1, said
    assert said[0].startswith("jobs cannot start: not_there is not installed in")


@pytest.mark.timeout(INSTALL_DEADLINE)
@pytest.mark.parametrize(
    ("hears", "signals", "waits", "seconds", "code"),
    [
        # An agent waits 5 s each time; here it waits long for what is to come of it.
        ("SIGTERM", 1, (60.0, 60.0), 0.0, 0),
        ("SIGINT", 2, (1.0, 60.0), 1.0, 0),
        ("", 2, (1.0, 1.0), 2.0, -9),
    ],
)
async def test_stop_is_the_agents(
    hears: str,
    signals: int,
    waits: tuple[float, float],
    seconds: float,
    code: int,
    bare: Built,
    empty_interpreter: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (agent.INTERRUPT_AFTER, agent.KILL_AFTER) == (5.0, 10.0)
    monkeypatch.setattr(agent, "INTERRUPT_AFTER", waits[0])
    monkeypatch.setattr(agent, "KILL_AFTER", sum(waits))
    text = f"""
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
for name in ("SIGTERM", "SIGINT"):
    number = getattr(signal, name)
    signal.signal(number, (lambda *_: sys.exit(0)) if name == "{hears}" else signal.SIG_IGN)
print("up", flush=True)
child.wait()
print("child ended by", -child.returncode, flush=True)
while True:
    time.sleep(0.1)
"""
    files = {"main.py": text.encode(), "package.json": unpack(bare.archive)["package.json"]}
    stubborn = Built(bare.manifest, pack(files), "", tuple(files))
    lines: list[str] = []
    stop = asyncio.Event()

    def say(line: str) -> None:
        lines.append(line)
        if line == "up":
            stop.set()

    ended = await asyncio.wait_for(
        run(stubborn, {}, stop=stop, say=say, keep=empty_interpreter), INSTALL_DEADLINE - DEADLINE
    )
    assert ended.code == code
    assert ended.killed == (code == -9)
    assert seconds <= ended.stop_seconds + 0.01
    assert len([line for line in lines if line.endswith("to the worker")]) == signals
    assert hears == "SIGTERM" or "child ended by 9" in lines


async def test_it_says_at_once_what_it_does_and_can_be_stopped_meanwhile(bare: Built) -> None:
    lines: list[str] = []
    stop = asyncio.Event()

    def say(line: str) -> None:
        lines.append(line)
        stop.set()

    with pytest.raises(PackageError, match="Stopped before the package was started"):
        await run(bare, {}, stop=stop, say=say)
    assert lines == ["making a fresh Python, which takes some seconds"]
