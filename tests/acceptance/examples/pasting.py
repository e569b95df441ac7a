"""A terminal into which the commands of a page are pasted: bash, a folder, a clean environment."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.pages import blocks

SCRIPTS = "Scripts" if os.name == "nt" else "bin"
PATIENCE = 180.0


def clean_environment(scripts: Path | None = None) -> dict[str, str]:
    """Return this process's environment without what sets up a worker or another Python.

    Args:
        scripts: the folder of an installation's commands, which come first.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("OPENIAP", "PYTHON", "VIRTUAL_ENV", "PYTEST", "SF_"))
        and name not in ("jwt", "wiq", "apiurl", "grpcapiurl", "wsapiurl", "queue")
    }
    if scripts is not None:
        kept["PATH"] = f"{scripts}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def shown(name: str) -> str:
    """Return the commands of a block as the page shows them."""
    return blocks("sh")[name].text


def commands(text: str) -> list[str]:
    """Return a block's commands; one that goes on in the next line is one."""
    return [line for line in text.replace("\\\n", "").splitlines() if line.strip()]


class Terminal:
    """Bash in a folder, with the commands of the installation that runs the tests."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment or clean_environment(Path(sys.executable).parent)
        self._begun: list[asyncio.subprocess.Process] = []

    async def paste(self, text: str) -> str:
        """Run commands until one fails or all are done; return what they wrote to stdout."""
        process = await self._bash(text)
        async with asyncio.timeout(PATIENCE * 3):
            output, errors = await process.communicate()
        said = output.decode(errors="replace")
        assert process.returncode == 0, f"{text}\n{said}\n{errors.decode(errors='replace')}"
        return said

    async def begin(self, command: str) -> asyncio.subprocess.Process:
        """Start a command that goes on."""
        process = await self._bash(f"exec {command}")
        self._begun.append(process)
        return process

    async def end(self, process: asyncio.subprocess.Process) -> int:
        """Press Ctrl-C and return the exit code."""
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            await process.communicate()
            return await process.wait()

    async def until(self, command: str, text: str) -> None:
        """Paste a command again and again until it shows a text; each look is a process."""
        async with asyncio.timeout(PATIENCE):
            while text not in await self.paste(command):
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """End what still runs."""
        for process in self._begun:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def _bash(self, text: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            text,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answers(port: int) -> None:
    """Wait until somebody listens on a port of this machine."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
