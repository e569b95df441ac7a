"""The commands on the pages, pasted as they stand there into bash in an empty folder.

What is put in their place: a free port, for 3000 may be taken; the address, the user and the id of
an item where the page says that they are the reader's own.
"""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.examples.pasting import (
    Terminal,
    answers,
    commands,
    free_port,
    shown,
)
from tests.pages import ROOT, blocks
from worker.localserver import LocalServer, ServerOptions

NOT_PASTED = {
    "README: Two commands": "needs an installation: check_distributions and test_demo.py run both",
    "README: Two commands 2": "it is what runs this test",
    "console: Begin": "needs the package registry: tests/console runs the console in a browser",
    "deploying: With systemd": "needs an init: check_config has systemd look at the unit",
    "deploying: In a container": "needs a Docker engine: check_image runs the image's steps",
    "deploying: In a container 2": "the same",
    "deploying: In a container 3": "the same; test_release.py has an engine of paper",
    "deploying: In Kubernetes": "needs a cluster: check_config has kustomize build the overlays",
    "first-hour: A project": "test_new_project.py pastes it into a fresh installation",
    "first-hour: A project 2": "the same",
    "seeing: What fails and why": "needs items that failed: tests/integration/cli/test_items.py",
    "seeing: Many items at once": "needs the id of a group, and words typed: the same",
    "timeline: Reading it": "needs an item's id: tests/integration/cli/test_item_timelines.py",
    "top: On one screen": "needs a terminal: tests/integration/cli/test_top.py",
    "timeline: Watching, and fetching files": "goes on until Ctrl-C: the same",
}
"""Blocks that this file does not paste, and where they are tried instead."""


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def signed_in(terminal: Terminal) -> AsyncIterator[Terminal]:
    """A terminal in which the server and the user are set, as pages do it at their beginning."""
    options = ServerOptions(port=0, grpc_port=0, users={"me": "secret"})
    async with LocalServer(options) as server:
        terminal.environment |= {
            "OPENIAP_URL": server.ws_url,
            "OPENIAP_USERNAME": "me",
            "OPENIAP_PASSWORD": "secret",
            "XDG_STATE_HOME": str(terminal.folder / "state"),
        }
        yield terminal


def work(terminal: Terminal, block: str) -> None:
    """Save a block of Python as ``work.py``, as the page says."""
    (terminal.folder / "work.py").write_text(blocks("python")[block].text, encoding="utf-8")


def test_every_block_of_commands_is_pasted_or_listed() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    names = set(blocks("sh"))
    assert {name for name in names if f'shown("{name}")' not in here} == set(NOT_PASTED) & names
    assert set(NOT_PASTED) <= names


@pytest.mark.dear
@pytest.mark.parametrize("page", ["README", "first-hour"])
async def test_a_first_handler(terminal: Terminal, page: str) -> None:
    if page == "README":
        server = shown("README: Your first handler")
        rest = shown("README: Your first handler 2")
        work(terminal, "README: Your first handler")
    else:
        server = shown("first-hour: A server, a handler, two items")
        rest = shown("first-hour: A server, a handler, two items 2")
        work(terminal, "first-hour: A server, a handler, two items")
    port = free_port()
    terminal.environment["XDG_STATE_HOME"] = str(terminal.folder / "state")
    await terminal.begin(f"{server.strip()} --port {port} --grpc-port 0")
    await answers(port)
    listed = await terminal.paste(rest.replace(":3000", f":{port}"))
    assert "successful" in listed
    assert "failed" in listed
    assert "name" in listed


@pytest.mark.dear
async def test_contracts(signed_in: Terminal) -> None:
    work(signed_in, "contracts")
    await signed_in.paste(shown("contracts"))
    assert "tickets" in (signed_in.folder / "contracts.json").read_text()


@pytest.mark.dear
async def test_chains(signed_in: Terminal) -> None:
    await signed_in.paste(shown("follow-ups: Chains"))
    assert "shipments" in await signed_in.paste("openiap-worker queues list")


@pytest.mark.dear
async def test_the_api(signed_in: Terminal) -> None:
    await signed_in.paste("openiap-worker queues create greetings")
    port = free_port()
    begin = shown("api: Begin").strip()
    *ask, sign_out = shown("api: Ask").strip().splitlines()
    asked = "\n".join([*ask, shown("api: Ask 2").strip(), sign_out])
    await signed_in.begin(begin.replace("8090", str(port)))
    await answers(port)
    told = await signed_in.paste(asked.replace("8090", str(port)))
    assert '"total":1' in told
    assert '"state":"done"' in told or '"state":"running"' in told
    assert '"reason":"the bank is shut"' in told
    assert '"what":"purge"' in told
    assert '"what":"delete queue"' in told


@pytest.mark.dear
async def test_queues_that_rest(signed_in: Terminal) -> None:
    work(signed_in, "pausing: Breakers")
    await signed_in.paste("openiap-worker queues create invoices")
    told = await signed_in.paste(shown("pausing: Pause and resume"))
    assert "the bank is shut" in told
    running = await signed_in.begin("openiap-worker run --handlers work")
    await signed_in.until("openiap-worker breakers list", "payments")
    await signed_in.paste(shown("pausing: By hand"))
    assert "closed" in await signed_in.paste("openiap-worker breakers list")
    assert await signed_in.end(running) == 0


@pytest.mark.dear
async def test_dead_letters(signed_in: Terminal) -> None:
    await signed_in.paste(shown("follow-ups: Dead letters"))
    assert "orders-failed" in await signed_in.paste("openiap-worker queues list")


@pytest.mark.dear
async def test_pushing(signed_in: Terminal) -> None:
    (signed_in.folder / "items.jsonl").write_text('{"name": "Bob"}\n{"name": "Cy"}\n')
    (signed_in.folder / "items.csv").write_text("name;age\nDi;7\n")
    await signed_in.paste("openiap-worker queues create greetings")
    await signed_in.paste(shown("pushing: From the command line"))
    listed = await signed_in.paste("openiap-worker items list --queue greetings --json")
    assert listed.count('"state": "new"') == 4


@pytest.mark.dear
async def test_schedules(signed_in: Terminal) -> None:
    work(signed_in, "schedules")
    await signed_in.paste("openiap-worker queues create reports-page")
    running = await signed_in.begin("openiap-worker run --handlers work")
    await signed_in.until("openiap-worker schedules list", "pulse")
    await signed_in.paste(shown("schedules"))
    assert "paused" in await signed_in.paste("openiap-worker schedules list")
    assert await signed_in.end(running) == 0


@pytest.mark.dear
async def test_replay(signed_in: Terminal) -> None:
    work(signed_in, "README: Your first handler")
    await signed_in.paste("openiap-worker queues create greetings")
    pushed = await signed_in.paste(
        'openiap-worker push greetings --payload \'{"name": "Ada"}\' --json'
    )
    (id,) = set(json.loads(pushed)["ids"])
    said = await signed_in.paste(shown("testing: Replay").replace("6b012f5dc3a0323ad52fe3cf", id))
    assert "Hello, Ada!" in said


@pytest.mark.dear
async def test_a_package(signed_in: Terminal) -> None:
    shutil.copytree(ROOT / "handlers", signed_in.folder / "handlers")
    build, run, publish = commands(shown("deploying: In an OpenIAP agent"))
    await signed_in.paste(build)
    assert run.startswith(
        "openiap-worker package run "
    )  # tests/integration/cli/package/test_run.py
    await signed_in.paste(publish)
    assert "invoices" in await signed_in.paste("openiap-worker package list")


@pytest.mark.dear
async def test_against_an_openiap(signed_in: Terminal) -> None:
    work(signed_in, "README: Your first handler")
    await signed_in.paste("openiap-worker queues create greetings")
    text = shown("first-hour: Against OpenIAP")
    for own, here in {
        "wss://openiap.example.com": signed_in.environment["OPENIAP_URL"],
        "robot": "me",
        "...": "secret",
    }.items():
        assert own in text
        text = text.replace(own, here)
    *before, run = commands(text)
    await signed_in.paste("\n".join(before))
    running = await signed_in.begin(run)
    await signed_in.paste('openiap-worker push greetings --payload \'{"name": "Ada"}\'')
    await signed_in.until("openiap-worker items list", "successful")
    assert await signed_in.end(running) == 0
