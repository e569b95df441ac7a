"""``top`` in a terminal: a process of its own on a pty, against a real server."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.commands import (
    DEADLINE,
    PASSWORD,
    USER,
    Cli,
    answer,
    clean_environment,
    running,
    signed_environment,
)
from tests.integration.management.failures import ORDINARY, READ, fail_items
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue

OTHERS = "say-friend"
BACK = "\x1b[?1049l"
"""What ends the other screen."""
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Top:
    """``top`` on a pty of 80 x 24."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.here, self.there = os.openpty()
        self.resize(80, 24)
        self.before = termios.tcgetattr(self.there)
        self.written = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "top"],
            cwd=folder,
            env=clean_environment(**{**environment, "TERM": "xterm-256color"}),
            stdin=self.there,
            stdout=self.there,
            stderr=self.there,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while sent := os.read(self.here, 65_536):
                self.written += sent.decode("utf-8", "replace")

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.here, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.here, keys.encode())

    @property
    def frame(self) -> str:
        """The last picture that is whole."""
        frames = self.written.split("\x1b[H")
        return _CONTROLS.sub("", frames[-2] if len(frames) > 1 else "")

    def until(self, wanted: Callable[[str], bool], what: str) -> str:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            frame = self.frame
            if wanted(frame):
                return frame
            assert self.process.poll() is None, self.written[-2_000:]
            time.sleep(0.05)
        raise AssertionError(f"not within {DEADLINE} s: {what}; {self.frame}")

    def shows(self, text: str) -> str:
        return self.until(lambda frame: text in frame, text)

    def ended(self) -> int:
        """Wait for its end, and see the terminal as it was."""
        code = self.process.wait(DEADLINE)
        end = time.monotonic() + DEADLINE
        while BACK not in self.written and time.monotonic() < end:
            time.sleep(0.05)
        assert BACK in self.written
        assert "\x1b[?25h" in self.written
        assert termios.tcgetattr(self.there) == self.before
        assert "Traceback" not in self.written
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self.there)
        os.close(self.here)


@contextmanager
def top(folder: Path, environment: dict[str, str]) -> Iterator[Top]:
    made = Top(folder, environment)
    try:
        yield made
    finally:
        made.close()


def test_a_queue_is_seen_paused_and_resumed_and_an_item_opened(
    signed: Cli, server_url: str, tmp_path: Path
) -> None:
    answer(signed("queues", "create", "top-jobs", "--json"))
    pushed: Any = answer(signed("push", "top-jobs", "--payload", '{"a": 1}', "--json"))
    with top(tmp_path, signed_environment(server_url, tmp_path)) as shown:
        shown.shows("top-jobs")
        shown.type("/top-jobs\r")
        shown.type("p")
        shown.shows("Pause queue top-jobs")
        shown.type("stock\r")
        shown.shows("paused; what runs finishes")
        assert answer(signed("queues", "show", "top-jobs", "--json"))["paused"]["reason"] == "stock"
        shown.shows("top-jobs (paused)")
        shown.type("py")
        shown.shows("is popped")
        assert answer(signed("queues", "show", "top-jobs", "--json"))["paused"] is None
        shown.type("\r")
        found = shown.until(lambda frame: re.search(r"[0-9a-f]{24}", frame) is not None, "an item")
        (id,) = set(re.findall(r"[0-9a-f]{24}", found))
        assert id in json.dumps(pushed)
        shown.resize(100, 30)
        shown.type("\r")
        shown.shows(f"item {id}")
        shown.shows("pushed")
        shown.type("\x1b")
        shown.until(lambda frame: f"item {id}" not in frame, "the list again")
        shown.type("q")
        assert shown.ended() == 0


MODULE = """
from typing import Any

from worker import Router

router = Router()


@router.handler("top-mine", concurrency=1)
@router.handler("top-hidden", concurrency=1)
async def job(payload: dict[str, Any]) -> None: ...
"""


async def three_queues(url: str) -> None:
    """Make queues that an ordinary user may steer, may read, and may not see; of each an item that
    waits for long and two that have failed."""
    client = NativeClient(ConnectionOptions(url, username=USER, password=PASSWORD))
    await client.connect()
    try:
        (user,) = await client.query("users", {"name": ORDINARY})
        for name, rights in (("top-mine", 22), ("top-read", READ), ("top-hidden", 0)):
            acl = [{"_id": user["_id"], "rights": rights}] if rights else []
            await client.add_workitem_queue(WorkItemQueue(name=name, acl=acl))
            await fail_items(client, name, [{}, {}], f"[GONE] {name} is gone")
    finally:
        await client.disconnect()


@pytest.mark.dear
def test_a_second_user_sees_and_steers_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "top_jobs.py").write_text(MODULE)
    arguments = ["server", "--json", "--port", "0", "--grpc-port", "0"]
    arguments += ["--user", f"{USER}:{PASSWORD}", "--plain-user", f"{ORDINARY}:{OTHERS}"]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(*arguments, folder=tmp_path))
        url = str(json.loads(server.wait_for("{"))["ws"])
        asyncio.run(three_queues(url))
        admin = {**signed_environment(url, tmp_path), "OPENIAP_WORKER_WORKER_ID": "top-worker"}
        stack.enter_context(running("run", "--handlers", "top_jobs", folder=tmp_path, **admin))
        own = {"OPENIAP_USERNAME": ORDINARY, "OPENIAP_PASSWORD": OTHERS}
        shown = stack.enter_context(top(tmp_path, {**signed_environment(url, tmp_path), **own}))

        seen = shown.shows("2 queues")
        assert "top-mine" in seen
        assert "top-read" in seen
        shown.shows("1 worker")
        shown.type("2")
        shown.shows("top-worker")
        shown.type("p")
        shown.shows("take no more items?")
        shown.type("y")
        shown.shows("may not steer")
        shown.type("3")
        assert "[GONE] top-mine" in shown.until(lambda f: f.count("is gone") >= 2, "two groups")

        shown.type("1/top-read\rp")
        shown.shows("Pause queue top-read")
        shown.type("x\r")
        shown.shows("lacks the right to update")
        shown.type("r")
        shown.shows("Type retry 2")
        shown.type("retry 2\r")
        shown.shows("0 items retried")

        shown.type("\x1b")
        shown.until(lambda frame: "top-mine" in frame, "all queues again")
        shown.type("/top-mine\r")
        shown.until(lambda frame: "top-read" not in frame, "one queue")
        shown.type("p")
        shown.shows("Pause queue top-mine")
        shown.type("stock\r")
        shown.shows("top-mine (paused)")
        shown.type("r")
        shown.shows("Type retry 2")
        shown.type("retry 2\r")
        shown.shows("2 items retried")
        shown.type("q")
        assert shown.ended() == 0
        assert "hidden" not in shown.written, "not by a name, an error or a worker"


@pytest.mark.dear
@pytest.mark.parametrize("way", ["\x03", signal.SIGTERM, signal.SIGHUP])
def test_however_it_ends_the_terminal_is_as_it_was(
    server_url: str, tmp_path: Path, way: str | signal.Signals
) -> None:
    with top(tmp_path, signed_environment(server_url, tmp_path)) as shown:
        shown.shows("1 queues")
        if isinstance(way, str):
            shown.type(way)
        else:
            shown.process.send_signal(way)
        assert shown.ended() == 0


@pytest.mark.dear
def test_a_server_that_is_away_is_one_line_and_comes_back(tmp_path: Path) -> None:
    arguments = ["server", "--json", "--grpc-port", "0", "--user", f"{USER}:{PASSWORD}"]
    arguments += ["--data", str(tmp_path / "data.sqlite")]
    with running(*arguments, "--port", "0", folder=tmp_path) as server:
        url = str(json.loads(server.wait_for("{"))["ws"])
        port = url.rsplit(":", 1)[1].split("/")[0]
        with top(tmp_path, signed_environment(url, tmp_path)) as shown:
            shown.shows(f"as {USER}")
            shown.shows("0 workers")
            server.stop()
            assert shown.shows("Away, tried again").count("Away") == 1
            with running(*arguments, "--port", port, folder=tmp_path) as again:
                again.wait_for("{")
                shown.until(lambda f: "Away" not in f and "0 workers" in f, "the server again")
                shown.type("q")
                assert shown.ended() == 0


@pytest.mark.dear
def test_wrong_credentials_are_one_sentence(server_url: str, tmp_path: Path) -> None:
    environment = {**signed_environment(server_url, tmp_path), "OPENIAP_PASSWORD": "wrong"}
    with top(tmp_path, environment) as shown:
        assert shown.ended() == 1
        assert "refused the sign-in of user tester" in " ".join(shown.written.split())


def test_without_a_terminal_it_says_what_programs_take(signed: Cli) -> None:
    finished = signed("top")
    assert finished.returncode == 2
    assert "items errors --json" in finished.stderr
