"""``run``: works the queues, or says in one sentence why it cannot."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.cli.commands import (
    DEADLINE,
    Cli,
    answer,
    clean_environment,
    run_apart,
    running,
    signed_environment,
)
from worker.cli.app import COMMANDS
from worker.cli.shared.errors import CommandError
from worker.testing.reserved_ports import reserved_ports

GOOD = """
from worker import BusinessError, handler

@handler("{queue}")
async def work(payload: dict) -> dict:
    if payload.get("bad"):
        raise BusinessError("this one is bad", code="BAD")
    return {{"done": True}}
"""


def module(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def test_it_works_what_is_there_and_exits(signed: Cli, server_url: str, tmp_path: Path) -> None:
    answer(signed("queues", "create", "once", "--json"))
    module(tmp_path, "mine", GOOD.format(queue="once"))
    answer(signed("push", "once", "--count", "5", "--json"))
    (bad,) = answer(signed("push", "once", "--payload", '{"bad": true}', "--json"))["ids"]
    arguments = ("run", "--handlers", "mine.py", "--once")
    environment = signed_environment(server_url, tmp_path)
    done = run_apart(*arguments, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    states = [
        item["state"] for item in answer(signed("items", "list", "--queue", "once", "--json"))
    ]
    assert sorted(states) == ["failed"] + ["successful"] * 5
    page = signed("items", "show", bad).stdout
    assert "[BAD] this one is bad" in page
    assert answer(signed("items", "retry", bad, "--json")) == {"retried": [bad], "errors": {}}
    assert answer(signed("items", "show", bad, "--json"))["state"] == "new"


SPAWNING = """
import multiprocessing
import queue as pythons_own

from .near import FACTOR
from worker import handler


def times(n: int) -> int:
    return n * FACTOR


def work(payload: dict) -> dict:
    pythons_own.Queue()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return {"product": pool.apply(times, (payload["n"],))}


HERE = handler("QUEUE", process=True, concurrency=1)(work)
"""


def test_a_file_of_a_taken_name_is_worked_by_its_path_with_children_of_all_kinds(
    signed: Cli, server_url: str, tmp_path: Path
) -> None:
    paths = ("queue.py", "path/my-work.py")
    for path in paths:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        answer(signed("queues", "create", path, "--json"))
        answer(signed("push", path, "--payload", '{"n": 6}', "--json"))
        file.write_text(SPAWNING.replace("QUEUE", path), encoding="utf-8")
        (file.parent / "near.py").write_text("FACTOR = 7\n", encoding="utf-8")
    environment = signed_environment(server_url, tmp_path)
    done = run_apart("run", *paths, "--once", folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    for path in paths:
        (item,) = answer(signed("items", "list", "--queue", path, "--json"))
        shown = answer(signed("items", "show", item["id"], "--json"))
        assert (shown["state"], shown["payload"].get("product")) == ("successful", 42), shown


@pytest.mark.parametrize("client", ["official", "native"])
def test_the_examples_do_what_their_first_lines_say(
    signed: Cli, server_url: str, tmp_path: Path, client: str
) -> None:
    queue = f"invoices-{client}"
    answer(signed("queues", "create", queue, "--json"))
    line = '{"text": "paper", "quantity": 10, "price": "10.00", "vat": "0.19"}'
    payload = f'{{"number": "4711", "supplier": "Acme", "total": "119.00", "lines": [{line}]}}'
    (id,) = answer(signed("push", queue, "--payload", payload, "--json"))["ids"]
    once = ("--once", "--client", client, "--queue", queue)
    done = run_apart(
        *("run", "--handlers", "handlers.invoices", *once),
        folder=tmp_path,
        environment=signed_environment(server_url, tmp_path),
    )
    assert done.returncode == 0, done.stderr
    shown = answer(signed("items", "show", id, "--json"))
    assert shown["state"] == "successful"
    assert shown["payload"]["voucher"] == "V-Acme-4711"


def test_bad_handlers_are_named_with_their_error(signed: Cli, tmp_path: Path) -> None:
    module(tmp_path, "broken", "import nosuchthing\n")
    module(tmp_path, "empty", "x = 1\n")
    twice = '@handler("q")\nasync def {}(payload: dict) -> None: ...\n'
    text = "from worker import handler\n" + twice.format("a") + twice.format("b")
    module(tmp_path, "twice", text)
    module(tmp_path, "good", GOOD.format(queue="q"))
    for arguments, said in (
        (
            ("--handlers", "broken"),
            "Module broken does not import: ModuleNotFoundError: No module named 'nosuchthing'"
            f" ({tmp_path / 'broken.py'}, line 1).",
        ),
        (
            ("--handlers", "nosuch"),
            "Module nosuch does not import: ModuleNotFoundError: No module named 'nosuch'.",
        ),
        (
            ("--handlers", "empty"),
            "Module empty has no handlers; mark functions with @handler(QUEUE).",
        ),
        (
            ("--handlers", "twice"),
            "Queue q has two handlers: twice.a and twice.b; only one can work it.",
        ),
        (
            ("--handlers", "good", "--queue", "a", "--queue", "b"),
            "No handler for queue a; queues with one: q.",
        ),
        (
            (),
            "No handlers: name the modules that hold them with --handlers MODULE,"
            ' OPENIAP_WORKER_HANDLERS, or handlers = ["MODULE"] in config/worker.toml.',
        ),
    ):
        refused = signed("run", *arguments)
        assert (refused.returncode, refused.stderr) == (2, f"{said}\n"), arguments


def test_wrong_settings_are_refused_before_anything_is_connected(cli: Cli, tmp_path: Path) -> None:
    module(tmp_path, "good", GOOD.format(queue="q"))
    for arguments, said in (
        (
            (),
            "No URL of OpenIAP: set apiurl or OPENIAP_WORKER_URL in the environment, url in"
            " config/worker.toml, or --url; for example ws://localhost:3000.",
        ),
        (
            ("--url", "ws://localhost:1"),
            "No credentials: set OPENIAP_USERNAME and OPENIAP_PASSWORD, or jwt, in the"
            " environment; OpenIAP would sign you in as guest, who may do nothing.",
        ),
        (
            ("--set", "drain_timeout=soon"),
            "Setting drain_timeout = 'soon' (command line): allowed: seconds, or text like 250ms,"
            " 90s, 5m, 1h30m, 2d.",
        ),
        (
            ("--settings", "none.toml"),
            "settings file none.toml: No such file or directory.",
        ),
    ):
        refused = cli("run", "--handlers", "good", *arguments)
        assert (refused.returncode, refused.stderr) == (2, f"{said}\n"), arguments
    unknown = cli("run", "--handlers", "good", "--set", "drain=1")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("Unknown setting drain (command line).")


@pytest.mark.parametrize("client", ["official", "native"])
def test_a_wrong_password_is_said_and_not_shown(
    signed: Cli, server_url: str, tmp_path: Path, client: str
) -> None:
    module(tmp_path, "good", GOOD.format(queue="q"))
    for command in (("run", "--handlers", "good"), ("queues", "list")):
        refused = signed(*command, "--client", client, OPENIAP_PASSWORD="wrong-sesame")
        assert (refused.returncode, refused.stderr) == (
            1,
            f"{server_url} refused the sign-in of user tester: tester failed logging in using"
            " local. Check OPENIAP_USERNAME and OPENIAP_PASSWORD.\n",
        )


def test_nobody_at_the_url_is_said(signed: Cli) -> None:
    with nobodys_port() as port:
        url = f"ws://127.0.0.1:{port}"
        refused = signed("queues", "list", "--url", url)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"No OpenIAP server answers at {url} (")
    assert refused.stderr.endswith(
        "Start it, or correct the URL; for a local one: openiap-worker server.\n"
    )


@pytest.mark.dear
def test_a_worker_waits_for_a_server_that_is_down_and_says_so(tmp_path: Path, cli: Cli) -> None:
    """Growing waits; work begins once the server is there; SIGTERM ends it with 0."""
    module(tmp_path, "good", GOOD.format(queue="late"))
    run = ("run", "--handlers", "good", "--set", "reconnect_min=0.1", "--set", "reconnect_max=2")
    with nobodys_port() as port, ExitStack() as stack:
        environment = {
            **signed_environment(f"ws://127.0.0.1:{port}", tmp_path),
            "OPENIAP_WORKER_LOG_LEVEL": "info",
        }
        worker = stack.enter_context(running(*run, folder=tmp_path, **environment))
        said = [worker.wait_for("OpenIAP cannot be reached") for _ in range(4)]
        seconds = [float(line.partition("trying again in ")[2].split()[0]) for line in said]
        assert seconds[-1] > seconds[0]
        server = ["server", "--port", str(port), "--grpc-port", "0"]
        user = ["--user", "tester:open-sesame"]
        with running(*server, *user, folder=tmp_path) as local:
            local.wait_for("Ctrl-C stops it.")
            worker.wait_for("signed in to OpenIAP")
            assert cli("queues", "create", "late", **environment).returncode == 0
            (id,) = answer(cli("push", "late", "--json", **environment))["ids"]
            worker.process.poll()
            assert finished(cli, id, environment) == "successful"
            assert worker.stop() == 0


def finished(cli: Cli, id: str, environment: dict[str, str]) -> str:
    until = time.monotonic() + DEADLINE
    while True:
        state = str(answer(cli("items", "show", id, "--json", **environment))["state"])
        if state not in ("new", "processing") or time.monotonic() > until:
            return state


def test_a_traceback_is_shown_only_on_demand(cli: Cli) -> None:
    assert "Traceback" not in cli("run").stderr
    with pytest.raises(CommandError):  # which the interpreter shows, as nobody catches it
        cli("run", "--debug")


def test_wrong_use_is_exit_code_2(cli: Cli) -> None:
    for arguments in (("nonsense",), ("run", "--nonsense"), ("push",), ("items", "list", "-x")):
        assert cli(*arguments).returncode == 2, arguments
    assert cli("--version").stdout.startswith("openiap-worker ")
    assert cli("run", "--help").returncode == 0


FOREIGN = (
    *("fastapi", "uvicorn", "mongomock", "jsonschema", "jwt", "opentelemetry", "grpc"),
    *("rich", "click", "httpx", "anyio", "packaging", "pathspec", "watchfiles", "openiap"),
    *(
        "worker.localserver",
        "worker.cli.package",
        "worker.cli.shared.output",
        "worker.cli.demo.command",
    ),
)
"""What only other commands need, or only items with files."""
OTHER_CLIENT = {
    "official": ("worker.openiap.native", "websockets", "google.protobuf"),
    "native": ("worker.openiap.official.client",),
}


@pytest.mark.parametrize("client", ["official", "native"])
def test_run_loads_nothing_that_only_others_need(
    signed: Cli, server_url: str, tmp_path: Path, client: str
) -> None:
    """A serverless start is a start per item: what is loaded is paid each time."""
    answer(signed("queues", "create", f"lean-{client}", "--json"))
    (id,) = answer(signed("push", f"lean-{client}", "--json"))["ids"]
    module(tmp_path, "lean", GOOD.format(queue=f"lean-{client}"))
    code = (
        "import json, sys; from worker.cli.app import main;"
        "code = main(['run', '--handlers', 'lean.py']);"
        "print(json.dumps([code, sorted(sys.modules)]))"
    )
    environment = {**signed_environment(server_url, tmp_path), "SF_VMID": "vm"}
    environment["OPENIAP_WORKER_CLIENT"] = client
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(**environment),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    ended, loaded = json.loads(found.stdout.splitlines()[-1])
    assert ended == 0
    assert answer(signed("items", "show", id, "--json"))["state"] == "successful"
    assert [name for name in FOREIGN + OTHER_CLIENT[client] if name in loaded] == []


def test_one_command_is_imported_alone_and_the_help_has_all(cli: Cli) -> None:
    page = cli("--help").stdout
    assert all(f" {name} " in page for name in COMMANDS)
    for name in COMMANDS:
        shown = cli(name, "--help")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert f"openiap-worker {name} " in shown.stdout
    assert " demo " in cli("--help", "run").stdout


def test_version_loads_no_command() -> None:
    code = (
        "import json, sys; from worker.cli.app import main; main(['--version']);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    version, loaded = found.stdout.splitlines()
    assert version.startswith("openiap-worker ")
    of_commands = {f"worker.cli.{name}" for name in COMMANDS}
    assert of_commands & set(json.loads(loaded)) == set()


@contextmanager
def nobodys_port() -> Iterator[int]:
    """A port that nobody listens on, and that the system gives to no other program meanwhile."""
    with socket.socket() as keeper:
        keeper.bind(("127.0.0.1", 0))
        port = int(keeper.getsockname()[1])
        keeper.close()
        with reserved_ports("127.0.0.1", port):
            yield port
