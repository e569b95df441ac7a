"""The archive holds the files and nothing else, and trusts nothing that it reads."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.package.archive import Limits, pack, unpack
from worker.cli.package.errors import PackageError

MINIMAL = {"package.json": b"{}", "main.py": b"pass\n"}
NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=12).filter(
    lambda name: name.upper() not in {"CON", "PRN", "AUX", "NUL"} and name[:3] not in ("com", "lpt")
)
FILES = st.dictionaries(
    st.lists(NAME, min_size=2, max_size=4).map("/".join), st.binary(max_size=300), max_size=8
)


def tgz(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


@given(FILES)
def test_what_goes_in_comes_out(files: dict[str, bytes]) -> None:
    assert unpack(pack({**files, **MINIMAL})) == {**files, **MINIMAL}


@given(FILES, st.randoms())
def test_same_files_give_the_same_bytes_in_any_order(files: dict[str, bytes], chance) -> None:
    names = [*files]
    chance.shuffle(names)
    assert pack(files) == pack({name: files[name] for name in names})


def test_archive_tells_nothing_of_who_built_it_when() -> None:
    archive = pack(MINIMAL)
    assert archive[4:8] == bytes(4), "gzip's own date"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (
                0,
                0,
                0,
                "",
                "",
            )
            assert entry.mode == 0o644


def test_npm_style_folder_is_taken_off() -> None:
    archive = tgz(*((tarfile.TarInfo(f"package/{name}"), body) for name, body in MINIMAL.items()))
    assert unpack(archive) == MINIMAL


@pytest.mark.parametrize(
    "name",
    ["../outside.py", "a/../../outside.py", "/etc/passwd", "a//b", "con/x.py", "a\\b.py", "x."],
)
def test_paths_that_leave_the_folder_or_break_elsewhere_are_refused(name: str) -> None:
    entries = [(tarfile.TarInfo("package.json"), b"{}"), (tarfile.TarInfo(name), b"x")]
    with pytest.raises(PackageError, match=r"cannot go into a package|not safe"):
        unpack(tgz(*entries))
    with pytest.raises(PackageError):
        pack({name: b"x"})


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(kind: bytes) -> None:
    entry = tarfile.TarInfo("link")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(PackageError, match="no plain file"):
        unpack(tgz((entry, b"")))


def test_names_that_differ_in_case_alone_are_refused() -> None:
    with pytest.raises(PackageError, match="one file where case does not count"):
        pack({"Read.py": b"", "read.py": b""})


def test_large_packages_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(PackageError, match="larger than"):
        pack({"a": bytes(11)}, Limits(bytes=10))
    with pytest.raises(PackageError, match="more than 1 files"):
        pack(MINIMAL, Limits(files=1))
    with pytest.raises(PackageError, match="larger than"):
        unpack(pack({**MINIMAL, "big": bytes(4096)}), Limits(bytes=1024))
    with pytest.raises(PackageError, match="larger than"):
        unpack(gzip.compress(bytes(1 << 20)), Limits(files=10, bytes=1024))


@pytest.mark.parametrize(
    "archive",
    [b"", b"PK\x03\x04", gzip.compress(b"no tar"), pack(MINIMAL)[:-20]],
    ids=["empty", "zip", "no tar", "cut"],
)
def test_what_is_no_whole_archive_is_refused(archive: bytes) -> None:
    with pytest.raises(PackageError):
        unpack(archive)


def test_archive_without_package_json_is_refused() -> None:
    with pytest.raises(PackageError, match=r"no package\.json"):
        unpack(pack({"main.py": b""}))
