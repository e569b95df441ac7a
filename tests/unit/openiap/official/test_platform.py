"""Where the official library lies, and what the environment says before it loads."""

import os
from pathlib import Path

import pytest

from worker.openiap.errors import Unsupported
from worker.openiap.official import platform
from worker.openiap.official.platform import (
    library_name,
    library_path,
    no_such_folder,
    scratch_files,
)


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "x86_64", "libopeniap-linux-x64.so"),
        ("linux", "aarch64", "libopeniap-linux-arm64.so"),
        ("darwin", "arm64", "libopeniap-macos-arm64.dylib"),
        ("darwin", "x86_64", "libopeniap-macos-x64.dylib"),
        ("win32", "AMD64", "openiap-windows-x64.dll"),
        ("win32", "x86", "openiap-windows-i686.dll"),
    ],
)
def test_each_platform_has_its_file(system: str, machine: str, name: str) -> None:
    assert library_name(system, machine) == name


@pytest.mark.parametrize(
    ("system", "machine", "musl", "said"),
    [
        ("linux", "x86_64", True, "musl"),
        ("linux", "riscv64", False, "riscv64"),
        ("win32", "ARM64", False, "ARM64"),
        ("freebsd14", "amd64", False, "freebsd14"),
    ],
)
def test_a_platform_without_a_library_is_named(
    system: str, machine: str, musl: bool, said: str
) -> None:
    with pytest.raises(Unsupported, match="native client") as caught:
        library_name(system, machine, musl=musl)
    assert said in str(caught.value)


def test_the_installed_library_is_found() -> None:
    assert library_path().is_file()


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "VERSION", "9.9.9")
    with pytest.raises(Unsupported, match=r"9\.9\.9 is needed, 0\.0\.38 is installed"):
        library_path()


def test_a_missing_package_is_told_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(Unsupported, match="pip install"):
        library_path()


def test_nothing_can_be_made_in_the_folder_of_pops(tmp_path: Path) -> None:
    for name in ("x", "../../x", "/x", "../x/../y"):
        with pytest.raises(OSError):
            open(f"{no_such_folder()}/{name}", "wb").close()
    with pytest.raises(OSError):
        os.makedirs(no_such_folder())


def test_scratch_files_are_those_of_the_seconds() -> None:
    assert [path.name for path in scratch_files(Path("x"), 5, 7)] == [
        "openiap_5.tmp",
        "openiap_6.tmp",
        "openiap_7.tmp",
    ]
