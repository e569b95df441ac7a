"""A release is made from a base that is named by its digest and out of a commit, or not at all."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DIGEST = f"sha256:{'0a' * 32}"
BASE = f"python:3.12-slim-bookworm@{DIGEST}"
ENGINE = (
    '#!/bin/sh\necho "$0 $*" >>"$ENGINE_LOG"\ncase "$*" in *cat*) echo \'{"sbom": 1}\';; esac\n'
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    for name in ("config/container/release", "worker/_version.py"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text("dist/\n")
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", "https://me:s3cret@git.example/worker.git")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    for name in ("docker", "buildah"):
        engine = tmp_path / "bin" / name
        engine.parent.mkdir(exist_ok=True)
        engine.write_text(ENGINE)
        engine.chmod(0o755)
    return folder


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def release(clone: Path, *arguments: str) -> tuple["subprocess.CompletedProcess[str]", str]:
    """Run it; returns how it ended, and what the engine was asked for."""
    log = clone.parent / "engine.log"
    done = subprocess.run(
        ["bash", "config/container/release", *arguments],
        cwd=clone,
        env={"PATH": f"{clone.parent / 'bin'}:{os.environ['PATH']}", "ENGINE_LOG": str(log)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, log.read_text() if log.exists() else ""


@pytest.mark.parametrize(
    "base",
    ["", "python:3.12-slim-bookworm", "python@sha256:abc", DIGEST, f"{BASE}0", f"{BASE} --x"],
)
def test_without_a_digest_it_refuses_and_says_why(clone: Path, base: str) -> None:
    done, asked = release(clone, *(("--base", base) if base else ()))
    assert done.returncode == 2
    assert "name the base by its digest" in done.stderr
    assert "A tag is another image next week" in done.stderr
    assert asked == ""


def test_what_is_in_no_commit_is_not_released(clone: Path) -> None:
    (clone / "worker/_version.py").write_text('__version__ = "9.9.9"\n')
    done, asked = release(clone, "--base", BASE)
    assert done.returncode == 2
    assert "changes that are in no commit" in done.stderr
    assert asked == ""


@pytest.mark.parametrize("engine", ["docker", "buildah"])
def test_it_shows_what_it_runs_and_keeps_the_sbom(clone: Path, engine: str) -> None:
    name = ("--tag", "registry.example:5000/team/worker")
    done, asked = release(clone, "--base", BASE, "--engine", engine, "--push", *name)
    assert done.returncode == 0, done.stderr
    lines = asked.splitlines()
    shown = [line for line in done.stderr.splitlines() if line.startswith("+ ")]
    assert [line.split("/")[-1] for line in lines if "rm openiap" not in line] == [
        line.removeprefix("+ ").split("/")[-1] for line in shown
    ]
    version = re.findall(r'= "(.+)"', (ROOT / "worker/_version.py").read_text())[0]
    arguments = dict(re.findall(r"--build-arg (\w+)=(\S+)", lines[0]))
    assert arguments == {
        "PYTHON_IMAGE": BASE,
        "BASE_NAME": "python:3.12-slim-bookworm",
        "BASE_DIGEST": DIGEST,
        "VERSION": version,
        "REVISION": git(clone, "rev-parse", "HEAD"),
        "SOURCE": "https://git.example/worker.git",
    }
    declared = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert arguments.keys() == declared
    assert f"push registry.example:5000/team/worker:{version}" in lines[-1] + lines[-2]
    sbom = clone / f"dist/openiap-worker-{version}.cdx.json"
    assert sbom.read_text() == '{"sbom": 1}\n'
    assert list(sbom.parent.iterdir()) == [sbom]


def test_a_dry_run_runs_nothing(clone: Path) -> None:
    done, asked = release(clone, "--base", BASE, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "+ docker build --pull --tag openiap-worker:" in done.stderr
    assert asked == ""
    assert not (clone / "dist").exists()
