"""Whatever is given, the answer is a sentence with what is wrong; nothing of it counts as a bug."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.commands import DEADLINE, Cli, clean_environment

LONG = "a" * 5_000
CUT = f"{'a' * 200}…"
HANDLERS = "from worker import handler\n@handler('q')\ndef work(payload: dict) -> None: ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work.py").write_text(HANDLERS)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "list.jsonl").write_text("{}")
    (tmp_path / "queues.json").write_text('{"queues": []}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    return tmp_path


def refused(cli: Cli, *arguments: str, **environment: str) -> str:
    done = cli(*arguments, OPENIAP_URL="ws://127.0.0.1:1", OPENIAP_JWT="x", **environment)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "This is a bug" not in done.stderr
    return done.stderr.removesuffix("\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("push", "q", "--file", LONG), f"--file {CUT}: no such file."),
        (("push", "q", "--file", "folder.csv"), "--file folder.csv: no such file."),
        (("push", "q", "--from", "folder.csv"), "--from folder.csv: Is a directory."),
        (("push", "q", "--from", "none.csv"), "--from none.csv: No such file or directory."),
        (
            ("push", "q", "--from", "endless.csv"),
            "--from endless.csv is a device; allowed: a file.",
        ),
        (("push", "q", "--from", f"{LONG}.csv"), f"--from {CUT}: File name too long."),
        (
            ("push", "a\udcff", "--payload", "{}"),
            r"'a\udcff': allowed: UTF-8 text, without NUL.",
        ),
        (
            ("items", "list", "--queue", "a\udcff"),
            r"--queue 'a\udcff': allowed: UTF-8 text, without NUL.",
        ),
        (
            ("items", "list", "--queue=a\udcff"),
            r"--queue 'a\udcff': allowed: UTF-8 text, without NUL.",
        ),
        (
            ("items", "list", "--settings", "a\udcff"),
            r"settings file 'a\udcff': No such file or directory.",
        ),
        (("items", "list", "--settings", "."), "settings file .: Is a directory."),
        (("items", "list", "--settings", "loop"), "settings file loop: Too many levels"),
        (
            ("items", "list", "--settings", "/dev/zero"),
            "settings file /dev/zero is larger than 1,048,576 bytes.",
        ),
        (("contract", "work.py", "--output", "."), "--output .: Is a directory."),
        (("contract", "work.py", "--output", "no/x"), "--output no/x: No such file or directory."),
        (("contract", "work.py", "--output", LONG), f"--output {CUT}: File name too long."),
        (
            ("contract", "work.py", "--output", "/dev/full"),
            "--output /dev/full: No space left on device.",
        ),
        (("contract", "work.py", "--check", "folder.csv"), "--check folder.csv: Is a directory."),
        (("contract", "work.py", "--check", "work.py"), "--check work.py is not JSON:"),
        (("contract", "work.py", "--check", "deep.json"), "--check deep.json is not JSON:"),
        (
            ("push", "q", "--payload", '{"a": 1e400}'),
            "The payload of queue q has no JSON form: a: inf has no JSON form",
        ),
        (
            ("push", "q", "--from", "list.jsonl", "--encoding", "undefined"),
            "list.jsonl is not undefined: ",
        ),
        (("server", "--data", "/"), "--data / is a folder; allowed: a file."),
        (("server", "--data", ""), "--data . is a folder; allowed: a file."),
        (
            ("server", "--user", "@/dev/zero"),
            "--user @/dev/zero: it is larger than 1,048,576 bytes",
        ),
        (("server", "--user", "@."), "--user @.: Is a directory"),
        (("dev", "work.py", "--watch", LONG), f"--watch {CUT}: there is no such file or folder."),
    ],
)
def test_wrong_use_is_told_with_name_value_and_what_is_allowed(
    folder: Path, cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    assert refused(cli, *arguments).startswith(said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no", "'no': there is no such file"),
        (LONG, f"'{'a' * 200}': there is no such file"),
        (".", "'.': there is no such file"),
        ("work.py", "'work.py': no certificates in PEM form are in it"),
    ],
)
def test_a_ca_file_that_is_none_is_told_at_once(
    folder: Path, cli: Cli, value: str, said: str
) -> None:
    environment = {"OPENIAP_WORKER_CA_FILE": value}
    assert refused(cli, "queues", "list", **environment) == f"Setting ca_file = {said}."
    run = refused(cli, "run", "work.py", "--once", **environment)
    assert run == f"Setting ca_file = {said}."


@pytest.mark.parametrize("name", ["list.json", "queues.json"])
def test_a_contract_that_is_none_differs(folder: Path, cli: Cli, name: str) -> None:
    done = cli("contract", "work.py", "--check", name)
    assert (done.returncode, "is not what the handlers say" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("push", "q", "--count", "9" * 30), f"--count {'9' * 30}: "),
        (("push", "q", "--count=-5"), "--count -5: "),
        (("push", "q", "--count", "abc"), "--count abc: "),
        (("push", "q", "--count", "\x1b[2J"), r"--count '\x1b[2J': "),
        (("push", "q", "--count", LONG), f"--count {CUT}: "),
        (("demo", "--timeout", "inf"), "--timeout inf: "),
        (("demo", "--timeout", "nan"), "--timeout nan: "),
        (("push", "q", "--bogus"), "No such option: --bogus."),
        (("push",), "Missing argument 'queue'. See: openiap-worker push --help."),
        (("queues", "bogus"), "No such command 'bogus'. See: openiap-worker queues --help."),
        (("bogus",), "No such command 'bogus'. See: openiap-worker --help."),
    ],
)
def test_wrong_options_are_told_in_one_line(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    told = refused(cli, *arguments)
    assert told.startswith(said)
    assert "\n" not in told


@pytest.mark.parametrize("name", ["folder.csv", "loop", "/dev/zero", "none.tgz", LONG])
def test_what_is_no_package_is_told(folder: Path, cli: Cli, name: str) -> None:
    done = cli("package", "publish", name)
    assert done.returncode == 1
    assert done.stderr.startswith(CUT if name == LONG else name)
    assert "bug" not in done.stderr


def test_a_project_with_a_link_to_itself_is_told(folder: Path, cli: Cli) -> None:
    (folder / "endless.csv").unlink()
    done = cli("package", "build", "--name", "x", "--version", "1.0.0", "--handlers", "work.py")
    assert (done.returncode, done.stderr) == (1, "loop is no plain file, or a link to nothing.\n")


def apart(folder: Path, *arguments: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with these streams; stderr is kept."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=folder,
        env=clean_environment(),
        timeout=DEADLINE,
        check=False,
        **{"stderr": subprocess.PIPE, **streams},  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_nothing_is_told_once(
    folder: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "wb") as full:
        done = apart(folder, "contract", "work.py", stdout=full)
    said = b"Input or output: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_a_reader_that_goes_away_is_no_trouble(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = apart(folder, "contract", "work.py", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_working_directory_that_is_gone_is_told(folder: Path) -> None:
    gone = folder / "gone"
    gone.mkdir()
    leave: Callable[[], None] = gone.rmdir
    done = apart(gone, "queues", "list", preexec_fn=leave)
    said = b"The working directory: No such file or directory; change to another one.\n"
    assert (done.returncode, done.stderr) == (2, said)
