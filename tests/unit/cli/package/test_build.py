"""A project becomes a package that an agent can run, and nothing else of it gets out."""

import json
import os
import re
from pathlib import Path

import pytest

from worker.cli.package import view
from worker.cli.package.archive import unpack
from worker.cli.package.build import Built, build, contents, read_package, write
from worker.cli.package.errors import PackageError
from worker.cli.package.manifest import package_json, read_package_json
from worker.cli.package.project import BuildOptions

PYPROJECT = """
[project]
name = "booking"
version = "2.0.1"
description = "Books invoices"
authors = [{ name = "Ada" }]
"""
HANDLERS = 'from worker import handler\n\n@handler("q")\nasync def work(data: dict) -> None: ...\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "Project"
    write_files(
        folder,
        {
            "pyproject.toml": PYPROJECT,
            "handlers/__init__.py": "",
            "handlers/invoices.py": HANDLERS,
            "config/worker.toml": 'handlers = ["handlers.invoices"]\n',
        },
    )
    return folder


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def built(folder: Path, options: BuildOptions | None = None) -> Built:
    return build(folder, options or BuildOptions(), max_bytes=1_000_000)


def test_package_json_says_what_agents_act_on_and_no_more(project: Path) -> None:
    files = unpack(built(project).archive)
    assert json.loads(files["package.json"]) == {
        "name": "booking",
        "version": "2.0.1",
        "description": "Books invoices",
        "main": "main.py",
        "author": "Ada",
        "openiap": {
            "language": "python",
            "daemon": True,
            "chrome": False,
            "chromium": False,
            "ports": [],
        },
    }
    assert sorted(files) == [
        "config/worker.toml",
        "handlers/__init__.py",
        "handlers/invoices.py",
        "main.py",
        "package.json",
        "pyproject.toml",
        "requirements.txt",
    ]
    assert b'HANDLERS = ["handlers.invoices"]' in files["main.py"]


def test_same_project_gives_the_same_bytes(project: Path) -> None:
    first = built(project)
    for path in project.rglob("*"):
        os.utime(path, (1, 1))
    (project / "config/worker.toml").chmod(0o600)
    assert built(project).archive == first.archive


def test_built_package_is_read_back_as_it_was(project: Path, tmp_path: Path) -> None:
    first = built(project)
    path = write(first, tmp_path / "out")
    assert path.name == "booking-2.0.1.tgz"
    again = read_package(path)
    assert (again.manifest, again.sha256, again.files) == (
        first.manifest,
        first.sha256,
        first.files,
    )


def test_secrets_stay_out_and_are_named(project: Path) -> None:
    write_files(
        project,
        {
            ".env": "OPENIAP_PASSWORD=secret",
            "config/prod.env": "x",
            "keys/id_rsa": "x",
            "server.PEM": "x",
            ".aws/credentials": "x",
            ".npmignore": "!.env\n",
            ".env.example": "OPENIAP_PASSWORD=",
        },
    )
    package = built(project)
    for name in (".env", "config/prod.env", "keys/id_rsa", "server.PEM", ".aws"):
        assert name not in package.files
        assert any(note.startswith(f"{name} stays out") for note in package.notes), name
    assert ".env.example" in package.files


@pytest.mark.parametrize(
    "line", ['password = "x"', 'jwt = "x"', 'url = "wss://me:secret@openiap.example"']
)
def test_settings_with_credentials_refuse_the_build(project: Path, line: str) -> None:
    write_files(project, {"config/worker.toml": f'handlers = ["handlers.invoices"]\n{line}\n'})
    with pytest.raises(PackageError, match=r"take (it|them) out") as refused:
        built(project)
    assert "secret" not in str(refused.value)


def test_conda_file_that_breaks_agents_stays_out_and_is_named(project: Path) -> None:
    write_files(project, {"conda.yaml": "name: x\n"})
    package = built(project)
    assert "conda.yaml" not in package.files
    assert any("conda" in note for note in package.notes)


def test_what_tools_leave_behind_stays_out(project: Path) -> None:
    write_files(
        project,
        {
            ".git/config": "",
            "handlers/__pycache__/invoices.cpython-311.pyc": "",
            "environment/pyvenv.cfg": "",
            "environment/lib/x.py": "",
            "dist/booking-1.0.0.tgz": "",
            "requirements.txt.done": "",
            "notes/a.md": "",
            ".npmignore": "notes/\n",
        },
    )
    package = built(project)
    assert len(package.files) == 7
    assert package.notes == ()


def test_links_out_of_the_project_refuse_the_build(project: Path, tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_text("mine", encoding="utf-8")
    (project / "handlers/data.txt").symlink_to(tmp_path / "private.txt")
    with pytest.raises(PackageError, match="link out of the project"):
        built(project)
    (project / "handlers/data.txt").unlink()
    (project / "more").symlink_to(tmp_path)
    with pytest.raises(PackageError, match="link to a folder"):
        built(project)


def test_link_inside_the_project_is_shipped_as_its_content(project: Path) -> None:
    (project / "handlers/again.py").symlink_to(project / "handlers/invoices.py")
    assert unpack(built(project).archive)["handlers/again.py"] == HANDLERS.encode()


def test_main_that_is_not_there_refuses_the_build(project: Path) -> None:
    write_files(project, {"package.json": '{"main": "start.py"}'})
    with pytest.raises(PackageError, match="start nothing and call it a success"):
        built(project)


def test_own_main_is_started_as_it_is(project: Path) -> None:
    write_files(project, {"package.json": '{"main": "./start.py"}', "start.py": "print(1)\n"})
    package = built(project)
    assert package.manifest.main == "start.py"
    assert unpack(package.archive)["start.py"] == b"print(1)\n"
    assert "main.py" not in package.files


def test_own_package_json_wins_over_pyproject_and_the_command_line_over_both(project: Path) -> None:
    write_files(
        project,
        {
            "package.json": json.dumps(
                {
                    "name": "other",
                    "version": "3.0.0",
                    "scripts": {"start": "python x.py"},
                    "openiap": {"chromium": True},
                }
            )
        },
    )
    manifest = built(project, BuildOptions(version="3.1.0")).manifest
    assert (manifest.name, manifest.version, manifest.chromium) == ("other", "3.1.0", True)
    assert b"scripts" not in unpack(built(project).archive)["package.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (BuildOptions(name="Bad Name"), "package name"),
        (BuildOptions(version="1.0"), "version"),
        (BuildOptions(handlers=("nowhere",)), "not among the package's files"),
        (BuildOptions(wheel=Path("openiap_worker-9.9.9-py3-none-any.whl")), "is no wheel"),
    ],
)
def test_wishes_that_make_no_package_are_refused(
    project: Path, options: BuildOptions, said: str
) -> None:
    with pytest.raises(PackageError, match=said):
        built(project, options)


def test_project_without_handlers_is_refused(project: Path) -> None:
    (project / "config/worker.toml").unlink()
    with pytest.raises(PackageError, match="No handlers"):
        built(project)


def test_project_above_the_limit_is_refused_with_the_file(project: Path) -> None:
    (project / "huge.bin").write_bytes(bytes(1_000_001))
    with pytest.raises(PackageError, match=r"larger than 1 MiB at"):
        built(project)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"name": "a", "version": "1.0.0"}', 'no "main"'),
        ('{"name": "a", "version": "1.0.0", "main": "m.py"}', "language"),
        (
            '{"name": "a", "version": "1.0.0", "main": "m.py", "openiap": {"language": "python"},'
            ' "scripts": {"start": "x"}}',
            r"scripts\.start",
        ),
    ],
)
def test_package_json_that_an_agent_would_not_run_is_refused(content: str, said: str) -> None:
    with pytest.raises(PackageError, match=said):
        read_package_json(content.encode())


def test_package_json_reads_back_as_the_manifest(project: Path) -> None:
    manifest = built(project).manifest
    assert read_package_json(package_json(manifest)) == manifest


@pytest.mark.parametrize(
    "name", ["jobs.py", "./jobs.py", "jobs", "pkg/", "pkg/__init__.py", "pkg\\work.py", "pkg.work"]
)
def test_handlers_are_named_in_every_way_that_a_worker_reads(project: Path, name: str) -> None:
    for file in ("jobs.py", "pkg/__init__.py", "pkg/work.py"):
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).touch()
    assert build(project, BuildOptions(handlers=(name,))).manifest.main == "main.py"


def test_handlers_that_the_package_lacks_are_refused(project: Path) -> None:
    for name in ("no.py", "no", "no/", "/jobs.py", "../jobs.py"):
        with pytest.raises(PackageError, match="is not among the package's files"):
            build(project, BuildOptions(handlers=(name,)))


def test_what_workers_and_dev_keep_stays_out_and_is_named_with_its_size(project: Path) -> None:
    settings = 'handlers = ["handlers.invoices"]\nstate_dir = "var/state"\n'
    files = {
        "config/worker.toml": settings,
        ".openiap/env": "export OPENIAP_PASSWORD=secret\n",
        "var/state/outbox/x": "12345",
        "items.sqlite": "123",
    }
    write_files(project, files)
    package = built(project)
    assert not {path for path in package.files if path in files} - {"config/worker.toml"}
    for said in (".openiap (31 bytes)", "var/state (5 bytes)", "items.sqlite (3 bytes)"):
        assert any(note.startswith(f"{said} stays out: it holds items") for note in package.notes)
    write_files(project, {".npmignore": ".openiap/\nvar/\n*.sqlite\n"})
    assert built(project).notes == (), "whoever left it out knows of it"


def test_what_looks_like_data_goes_in_and_is_doubted_by_name_and_by_size(project: Path) -> None:
    write_files(project, {"Customers.XLSX": "x", "model.bin": "x" * 1024 * 1024, "a.json": "{}"})
    package = build(project, BuildOptions())
    doubts = {file.path: (file.size, file.doubt) for file in contents(package) if file.doubt}
    assert doubts == {
        "Customers.XLSX": (1, "looks like data"),
        "model.bin": (1024 * 1024, "is large"),
    }
    assert [file.path for file in contents(package)] == list(package.files)


def test_a_terminal_is_shown_the_files_and_what_is_doubtful_of_all(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(view, "LISTED", 3)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal
    write_files(project, {"zz.csv": "1,2\n"})
    view.show_built(built(project), Path("dist/x.tgz"), ("A note.",), as_json=False)
    shown, said = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capsys.readouterr())
    assert "handlers/__init__.py" in shown
    assert "pyproject.toml" not in shown
    assert "and 5 more; --json names all" in shown
    assert "A note." in said
    assert "zz.csv (4 bytes) looks like data and goes into the package." in said
