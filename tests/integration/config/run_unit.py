"""Start what openiap-worker@NAME.service starts, as it would be, and stop it: without systemd.

ROOT is a folder in which the unit's header was followed; NAME, the instance.
"""

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

from worker.localserver import LocalServer, ServerOptions

DEADLINE = 60.0


def unit_of(root: Path, name: str) -> dict[str, str]:
    """Return the last value of each key, with the instance's name in it and below ROOT."""
    text = (root / "etc/systemd/system/openiap-worker@.service").read_text(encoding="utf-8")
    text = text.replace("%i", name).replace("%S", str(root / "state"))
    found = dict(re.findall(r"^([A-Za-z]+)=(.*)$", text, re.MULTILINE))
    return {key: re.sub(r"(/opt|/etc)/", rf"{root}\g<1>/", value) for key, value in found.items()}


def lines_of(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


async def check(root: Path, name: str) -> None:
    unit = unit_of(root, name)
    given = lines_of(Path(unit["EnvironmentFile"].removeprefix("-")))
    credential, _, source = unit["LoadCredential"].partition(":")
    (root / "credentials").mkdir()
    (root / "credentials" / credential).write_bytes(Path(source).read_bytes())
    password = Path(source).read_text(encoding="utf-8").strip()
    state, _, folder = unit["Environment"].partition("=")
    users = {given["OPENIAP_USERNAME"]: password}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(root / "notify"))
        told.setblocking(False)
        async with LocalServer(ServerOptions(users=users)) as server:
            process = await asyncio.create_subprocess_exec(
                *unit["ExecStart"].split(),
                cwd=unit["WorkingDirectory"],
                env={
                    "PATH": os.environ["PATH"],
                    "CREDENTIALS_DIRECTORY": str(root / "credentials"),
                    "NOTIFY_SOCKET": str(root / "notify"),
                    state: folder,
                    **given,
                    "apiurl": server.ws_url,
                },
            )
            try:
                async with asyncio.timeout(DEADLINE):
                    while b"READY=1" not in await asyncio.get_running_loop().sock_recv(told, 4096):
                        pass
                    process.send_signal(signal.SIGTERM)
                    code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    if code:
        sys.exit(f"exit code {code} after SIGTERM")
    sys.stdout.write(f"openiap-worker@{name}: set up by its header, got ready, ended with 0\n")


asyncio.run(check(Path(sys.argv[1]), sys.argv[2]))
