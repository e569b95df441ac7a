"""``dev``: the code that you save works next, and nothing is lost on the way."""

import asyncio
import re
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.cli.commands import run_here
from tests.integration.cli.dev.conftest import PATIENCE, Dev, DevRun

WORK = """
import asyncio
import pathlib
from worker import Item, handler

imported = []

@handler("tasks")
async def work(payload: dict, item: Item) -> dict:
    imported.append(item.id)
    if payload.get("wait"):
        while not pathlib.Path(payload["wait"]).exists():
            await asyncio.sleep(0.02)
    return {"version": "one", "seen": len(imported)}
"""


@pytest.fixture
def work(project: Path) -> Path:
    file = project / "work.py"
    file.write_text(WORK)
    return file


def save(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    put(file, text.replace(before, after))


def put(file: Path, text: str) -> None:
    """Save a file in one step: one that is empty for a moment would be a generation of its own."""
    beside = file.with_name(f"{file.name}.new")  # no name that is watched
    beside.write_text(text)
    beside.replace(file)


async def gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(PATIENCE):
        while any(alive(process) for process in processes):
            await asyncio.sleep(0.05)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


async def test_it_says_where_to_push_and_makes_the_queues(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    assert "made queue: tasks" in run.output
    assert "openiap-worker push tasks --payload '{}'" in run.output
    assert "  . ./.openiap/env" in run.output
    assert (await run.item(await run.push("tasks"))).payload == {"version": "one", "seen": 1}
    env = run.project / ".openiap" / "env"
    assert env.stat().st_mode & 0o077 == 0
    assert (run.project / ".openiap" / ".gitignore").read_text() == "*\n"


async def test_pages_are_open_where_they_are_wanted_and_fire_what_the_saved_code_says(
    dev: Dev, work: Path
) -> None:
    scheduled = '@schedule("0 3 1 1 *", name="nightly", payload=lambda: {"told": "one"})'
    text = WORK.replace("import Item, handler", "import Item, handler, schedule")
    work.write_text(text.replace('@handler("tasks")', f'{scheduled}\n@handler("tasks")'))
    run = await dev("--handlers", "work", "--console")
    await run.until("sign in as")
    found = re.search(r"pages: (http://127\.0\.0\.1:\d+)/  sign in as (\S+) with (\S+)", run.output)
    assert found, run.output
    given = {"username": found[2], "password": found[3]}
    async with httpx.AsyncClient(base_url=found[1], trust_env=False, timeout=30) as http:
        own = {"origin": found[1]}
        assert (await http.post("/sign-in", data=given, headers=own)).status_code == 303
        assert "openiap-worker" in (await http.get("/queues")).text
        session = (await http.post("/api/v1/session", json=given)).json()

        async def fire() -> httpx.Response:
            me = {"authorization": f"Bearer {session['token']}"}
            return await http.post("/api/v1/schedules/nightly/fire", headers=me)

        first = await fire()
        assert first.status_code == 201, first.text
        assert (await run.item(first.json()["id"])).payload["told"] == "one"
        save(work, '{"told": "one"}', '{"told": "two"}')
        await run.until("reloaded: generation 2 works")
        assert (await run.item((await fire()).json()["id"])).payload["told"] == "two"
        save(work, '{"told": "two"}', '{"told": lost}')
        await run.until("reloaded: generation 3 works")
        refused = await fire()
        assert refused.status_code == 422
        assert "tasks/nightly cannot be made: NameError: name 'lost' is not" in refused.text


async def test_items_in_flight_finish_on_the_old_code(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    flag = run.project / "flag"
    old = await run.push("tasks", {"wait": str(flag)})
    await run.item(old, "processing")
    save(work, '"one"', '"two"')
    await run.until("reloaded: generation 2 works")
    new = await run.push("tasks")
    assert (await run.item(new)).payload["version"] == "two"
    assert (await run.item(old, "processing")).state == "processing"
    flag.touch()
    finished = await run.item(old)
    assert (finished.payload["version"], finished.attempts) == ("one", 1)


async def test_it_says_that_new_code_works_once_the_old_code_takes_nothing_more(
    dev: Dev, work: Path
) -> None:
    run = await dev("--handlers", "work")
    (old,) = run.children()
    old.suspend()
    save(work, '"one"', '"two"')
    new = await run.push("tasks")
    assert (await run.item(new)).payload["version"] == "two"
    assert "reloaded" not in run.output
    old.resume()
    await run.until("reloaded: generation 2 works")
    assert (await run.item(await run.push("tasks"))).payload["version"] == "two"


@pytest.mark.dear
async def test_every_generation_starts_clean(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    for generation in (2, 3):
        for seen in (1, 2):
            assert (await run.item(await run.push("tasks"))).payload["seen"] == seen
        # Same size, within a second, and only the version differs: bytecode must not hide it.
        save(
            work, '"one"' if generation == 2 else '"two"', f'"{["", "", "two", "six"][generation]}"'
        )
        await run.until(f"reloaded: generation {generation} works")
    assert (await run.item(await run.push("tasks"))).payload == {"version": "six", "seen": 1}


async def test_a_syntax_error_keeps_the_old_code_and_is_shown(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    save(work, "return {", "return (")
    await run.until("generation 1 goes on with the old code")
    assert "the new code cannot be used" in run.output
    assert "Module work does not import: SyntaxError" in run.output
    assert ">   14" in run.output
    assert (await run.item(await run.push("tasks"))).payload["version"] == "one"
    save(work, "return (", "return {")
    await run.until("reloaded: generation 3 works")
    assert (await run.item(await run.push("tasks"))).state == "successful"


@pytest.mark.dear
async def test_errors_at_import_and_wrong_handlers_are_shown(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    save(work, "imported = []", "imported = nowhere")
    await run.until("NameError: name 'nowhere' is not defined")
    await run.until("generation 1 goes on with the old code")
    save(work, "imported = nowhere", "imported = []")
    await run.until("reloaded: generation 3 works")
    save(work, "item: Item", "item: memoryview")
    await run.until("parameter item \\(of type memoryview\\) cannot be filled")
    await run.until("generation 3 goes on with the old code")


@pytest.mark.dear
async def test_code_that_is_broken_from_the_start_waits_for_better(dev: Dev, work: Path) -> None:
    good = work.read_text()
    work.write_text("import nothing_of_this_name")
    run = await dev("--handlers", "work", wait="nothing works meanwhile")
    assert "No module named 'nothing_of_this_name'" in run.output
    put(work, good)
    await run.until("reloaded: generation 2 works")
    assert (await run.item(await run.push("tasks"))).state == "successful"


@pytest.mark.dear
async def test_a_change_while_it_imports_is_what_counts(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    save(work, "imported = []", "print('importing'); import time; time.sleep(600)\nimported = []")
    await run.until("importing")
    save(work, "time.sleep(600)", "time.sleep(0)")
    await run.until("reloaded: generation 3 works")
    async with asyncio.timeout(PATIENCE):
        while len(run.children()) > 1:  # the one that slept is gone, and so is the first
            await asyncio.sleep(0.05)


@pytest.mark.dear
async def test_new_queues_and_settings_count_too(dev: Dev, work: Path) -> None:
    config = work.parent / "config" / "worker.toml"
    config.parent.mkdir()
    config.write_text('handlers = ["work"]\n')
    run = await dev()
    more = '\n@handler("more")\ndef more(payload: dict) -> dict:\n    return {"more": 1}\n'
    put(work.parent / "further.py", f"from worker import handler\n{more}")
    await run.until("reloaded: generation 2 works")
    put(config, 'handlers = ["work", "further"]\n')
    await run.until("made queue: more")
    assert (await run.item(await run.push("more"))).payload == {"more": 1}
    put(config, "no_such_setting = 1\n")
    await run.until("Unknown setting no_such_setting")


@pytest.mark.dear
async def test_ctrl_c_finishes_what_runs_and_leaves_nothing(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    flag = run.project / "flag"
    id = await run.push("tasks", {"wait": str(flag)})
    await run.item(id, "processing")
    below = run.children()
    assert below
    run.interrupt()
    await run.until("stopping")
    assert (await run.item(id, "processing")).state == "processing"
    flag.touch()
    assert await run.ended() == 0
    assert "Traceback" not in run.output
    await gone(below)
    again = await dev("--handlers", "work")
    assert (await again.item(id)).attempts == 1  # it was kept, finished, and is still known


@pytest.mark.dear
async def test_a_second_ctrl_c_hands_back(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    flag = run.project / "flag"
    id = await run.push("tasks", {"wait": str(flag)})
    await run.item(id, "processing")
    run.interrupt()
    await run.until("stopping")
    run.interrupt()
    assert await run.ended() == 0
    flag.touch()
    again = await dev("--handlers", "work")
    item = await again.item(id)
    assert (item.state, item.attempts) == ("successful", 1)  # handed back without costing one


@pytest.mark.dear
async def test_a_worker_that_dies_is_told_and_its_item_comes_back(dev: Dev, project: Path) -> None:
    (project / "work.py").write_text(
        "import os\nfrom pathlib import Path\nfrom worker import Item, handler\n\n"
        '@handler("tasks")\nasync def work(item: Item) -> None:\n'
        '    once = Path("died")\n'
        "    if not once.exists():\n        once.touch()\n        os._exit(7)\n"
    )
    run = await dev("--handlers", "work")
    id = await run.push("tasks")
    await run.until(r"generation 1 ended by itself \(exit code 7\)")
    await run.until(r"it is started again|save a change to start it again")
    if "save a change to start it again" in run.output:
        (project / "other.py").write_text("")
    item = await run.item(id)
    assert (item.state, item.attempts) == ("successful", 1)  # a death costs no attempt


async def test_children_end_with_a_parent_that_is_killed(dev: Dev, work: Path) -> None:
    run = await dev("--handlers", "work")
    below = run.children()
    run.process.kill()
    await run.process.wait()  # else the fixture looks for a process that may be gone by then
    await gone(below)


@pytest.mark.dear
async def test_in_memory_leaves_nothing_behind(dev: Dev, work: Path) -> None:
    run: DevRun = await dev("--handlers", "work", "--in-memory")
    assert "in memory, gone when it stops" in run.output
    run.interrupt()
    assert await run.ended() == 0
    left = {path.name for path in run.project.iterdir()}
    assert left == {"work.py"}


def test_wrong_use_is_refused_by_name(work: Path) -> None:
    def refused(*arguments: str) -> tuple[int, str]:
        done = run_here("dev", "--port", "0", *arguments, folder=work.parent, environment={})
        return done.returncode, done.stdout + done.stderr

    code, said = refused()
    assert code == 2
    assert "No handlers: name the modules that hold them with --handlers" in said
    code, said = refused("--handlers", "work", "--watch", "nowhere")
    assert code == 2
    assert "--watch nowhere: there is no such file or folder." in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = refused("--handlers", "work", "--port", str(port))
        assert code == 1
        assert f"cannot listen on 127.0.0.1:{port}" in said
        assert "Choose another with --port." in said
    (work.parent / "file").write_text("")
    code, said = refused("--handlers", "work", "--data", "file")
    assert code == 1
    assert "file" in said
