"""The local server against the two older OpenIAP clients, each in an environment of its own.

``python tests/integration/localserver/older_clients/run.py [--folder DIR]`` installs the Python
client 0.0.37 and the Node client 0.0.39 below DIR (a temporary folder otherwise; pip's and npm's
registries must be reachable, ``npm`` and ``node`` installed), runs one round of everything with
each over websockets and gRPC, and exits with 1 if one of them fails. Both clients install modules
that clash with the worker's own dependencies, so they cannot be part of the test suite.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
USER, PASSWORD = "older", "client"
# The client uses what websockets had before version 14.
PYTHON_CLIENT = ["openiap==0.0.37", "websockets<14"]
NODE_CLIENT = "@openiap/nodeapi@0.0.39"


def python_of(folder: Path) -> Path:
    """Return the Python that has the old client, after installing both if need be."""
    environment = folder / "python"
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        made = (sys.executable, "-m", "venv", "--without-pip", str(environment))
        subprocess.run(made, check=True)
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    subprocess.run([*pip, "install", "--quiet", *PYTHON_CLIENT], check=True)
    return python


def node_of(folder: Path) -> Path:
    """Return the folder whose ``node_modules`` has the old client, after installing it."""
    target = folder / "node"
    target.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed; it is needed for the Node client")
    (target / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--silent", NODE_CLIENT],
        cwd=target,
        check=True,
    )
    return target


def run(folder: Path) -> int:
    """Install, serve, run the rounds; return how many failed."""
    python, node = python_of(folder), node_of(folder)
    server = subprocess.Popen(
        [sys.executable, "-m", "worker.localserver", "--user", f"{USER}:{PASSWORD}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    failed = 0
    try:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        for transport in ("ws", "grpc"):
            path = "/ws/v2" if transport == "ws" else ""
            url = told[transport] + path
            with_user = url.replace("://", f"://{USER}:{PASSWORD}@")
            rounds = {
                "openiap 0.0.37": [
                    str(python),
                    str(HERE / "python_0_0_37.py"),
                    url,
                    USER,
                    PASSWORD,
                    transport,
                ],
                "@openiap/nodeapi 0.0.39": [
                    shutil.which("node") or "node",
                    str(HERE / "node_0_0_39.js"),
                    str(node),
                    with_user,
                    transport,
                ],
            }
            for name, command in rounds.items():
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=120, cwd=folder, check=False
                )
                verdict = "passed" if done.returncode == 0 else "FAILED"
                sys.stdout.write(f"{name} over {transport}: {verdict}\n")
                if done.returncode != 0:
                    failed += 1
                    sys.stdout.write(done.stdout + done.stderr)
    finally:
        server.terminate()
        server.wait(timeout=60)
    return failed


def main() -> int:
    """Parse the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="the local server against older OpenIAP clients")
    parser.add_argument("--folder", type=Path, help="where the clients are installed, and kept")
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        return 1 if run(given.folder.resolve()) else 0
    with tempfile.TemporaryDirectory() as folder:
        return 1 if run(Path(folder)) else 0


if __name__ == "__main__":
    sys.exit(main())
