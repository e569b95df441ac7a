"""What came from a clone is shipped as the wheel that it is, and says which one it is."""

import io
import json
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from worker.cli.package import wheel as room
from worker.cli.package.errors import PackageError
from worker.cli.package.offline import save_wheels
from worker.cli.package.wheel import installed_wheel, own_wheel, save

INFO = "openiap_worker-1.2.3.dist-info"
METADATA = "Metadata-Version: 2.4\nName: openiap-worker\nVersion: 1.2.3\n\nVersion: of the text\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
PYPROJECT = """
[tool.hatch.build.targets.wheel]
packages = ["worker"]
[tool.hatch.build.targets.wheel.force-include]
"handlers" = "worker/examples"
"""


class Place:
    """A folder as pip leaves it, and what is looked up in it."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site-packages"
        self.clone = folder / "clone"

    def write(self, root: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def install(self, url: str, *, editable: bool = False, version: str = "1.2.3") -> None:
        info = INFO.replace("1.2.3", version)
        files = {
            f"{info}/METADATA": METADATA.replace("1.2.3", version),
            f"{info}/WHEEL": WHEEL,
            f"{info}/entry_points.txt": "[console_scripts]\n",
            f"{info}/INSTALLER": "pip\n",
            "worker/__init__.py": "1\n",
            "worker/__pycache__/__init__.cpython-311.pyc": "compiled",
            "../bin/openiap-worker": "#!python\n",
        }
        if editable:
            files = {path: text for path, text in files.items() if path.startswith(info)}
            files["_openiap_worker.pth"] = str(self.clone)
        if url:
            directory = {"dir_info": {"editable": editable}} if url.startswith("file:") else {}
            files[f"{info}/direct_url.json"] = json.dumps({"url": url, **directory})
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files)
        self.write(self.site, files)
        self.info = self.site / info

    def clone_it(self) -> None:
        files = {
            "pyproject.toml": PYPROJECT,
            ".gitignore": "*.sqlite\n",
            "worker/__init__.py": "2\n",
            "worker/left.sqlite": "items",
            "worker/__pycache__/x.pyc": "compiled",
            "worker/cli/page.md": "# page\n",
            "handlers/chain.py": "3\n",
            "tests/test_it.py": "4\n",
        }
        self.write(self.clone, files)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    monkeypatch.setattr(room, "_distribution", lambda name: metadata.Distribution.at(found.info))
    return found


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_came_from_a_registry_is_named_and_not_shipped(place: Place) -> None:
    place.install("")
    assert own_wheel() is None


def test_a_plain_installation_of_a_clone_becomes_the_wheel_that_it_was(place: Place) -> None:
    place.install(place.clone.as_uri())
    wheel = own_wheel()
    assert wheel is not None
    version = wheel.name.split("-")[1]
    info = f"openiap_worker-{version}.dist-info"
    assert wheel.name == f"openiap_worker-{version}-py3-none-any.whl"
    assert version.startswith("1.2.3+clone")
    files = unzipped(wheel.content)
    named = {"worker/__init__.py", *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD"))}
    assert files.keys() == {*named, f"{info}/entry_points.txt"}
    assert f"\nVersion: {version}\n\nVersion: of the text\n".encode() in files[f"{info}/METADATA"]
    assert str(place.clone) in wheel.told
    assert wheel.name in wheel.told


def test_an_editable_installation_is_what_a_build_of_its_clone_would_hold(place: Place) -> None:
    place.clone_it()
    place.install(place.clone.as_uri(), editable=True)
    wheel = own_wheel()
    assert wheel is not None
    files = unzipped(wheel.content)
    plain = {path: text for path, text in files.items() if ".dist-info/" not in path}
    assert plain == {
        "worker/__init__.py": b"2\n",
        "worker/cli/page.md": b"# page\n",
        "worker/examples/chain.py": b"3\n",
    }


def test_same_clone_gives_the_same_bytes_and_a_changed_one_another_version(place: Place) -> None:
    place.clone_it()
    place.install(place.clone.as_uri(), editable=True)
    first, again = own_wheel(), own_wheel()
    assert first is not None
    assert first == again
    place.write(place.clone, {"worker/cli/page.md": "# another\n"})
    changed = own_wheel()
    assert changed is not None
    assert changed.name != first.name, "pip would keep what is there"


@pytest.mark.parametrize("url", ["", "file:///somewhere/openiap_worker-x.whl"])
def test_an_installation_from_such_a_wheel_keeps_its_version(place: Place, url: str) -> None:
    place.install(url, version="1.2.3+clone1a")
    wheel = own_wheel()
    assert wheel is not None
    assert wheel.name == "openiap_worker-1.2.3+clone1a-py3-none-any.whl"


def test_a_clone_that_is_gone_is_one_sentence(place: Place) -> None:
    place.install(place.clone.as_uri(), editable=True)
    with pytest.raises(PackageError, match=r"cannot be had from there.*--wheel FILE"):
        own_wheel()


def test_an_installation_without_its_files_is_one_sentence(place: Place) -> None:
    place.install(place.clone.as_uri())
    (place.site / "worker/__init__.py").unlink()
    with pytest.raises(PackageError, match=r"worker/__init__\.py of its installation: No such"):
        own_wheel()
    (place.info / "RECORD").unlink()
    with pytest.raises(PackageError, match="no list of its files"):
        own_wheel()


def test_credentials_of_the_repository_are_not_told(place: Place) -> None:
    place.install("https://me:s3cret@git.example/worker.git")
    wheel = own_wheel()
    assert wheel is not None
    assert "https://git.example/worker.git" in wheel.told
    assert "s3cret" not in wheel.told


def test_any_distribution_becomes_a_wheel_again_with_every_file_and_its_hash() -> None:
    wheel = installed_wheel("typer")
    assert wheel is not None
    files = unzipped(wheel.content)
    here = {str(path) for path in metadata.files("typer") or () if path.suffix == ".py"}
    assert here
    assert here <= files.keys()
    (record,) = [text.decode() for name, text in files.items() if name.endswith("/RECORD")]
    for line in record.splitlines()[:-1]:
        path, digest, size = line.rsplit(",", 2)
        assert len(files[path]) == int(size)
        assert digest.startswith("sha256=")


def test_offline_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    text = "# page\n./openiap_worker-1-py3-none-any.whl\ntyper==0.0.1\nnot-there>=2\npluggy\n"
    with pytest.raises(PackageError, match=r"typer==0\.0\.1 \(.* here\), not-there>=2 \(not inst"):
        save_wheels(text, tmp_path)
    save_wheels("pluggy\n", tmp_path / "more")
    assert [path.name.split("-")[0] for path in (tmp_path / "more").iterdir()] == ["pluggy"]


def test_a_folder_that_cannot_be_written_is_one_sentence(place: Place, tmp_path: Path) -> None:
    place.install(place.clone.as_uri())
    wheel = own_wheel()
    assert wheel is not None
    (tmp_path / "file").write_text("")
    with pytest.raises(PackageError, match=r"file/openiap_worker.* cannot be written"):
        save(wheel, tmp_path / "file")
