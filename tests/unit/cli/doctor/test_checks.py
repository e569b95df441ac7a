"""What doctor concludes from what it sees."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from worker.cli.doctor.checks import clock, of_handlers, of_library, of_state
from worker.openiap.rights import rights_of
from worker.openiap.types import User
from worker.settings import Settings

DATE = "Fri, 20 Nov 2026 10:00:00 GMT"
THEN = datetime(2026, 11, 20, 10, 0, 0, 500_000, tzinfo=UTC)
ME = User(id="u1", name="Me", username="me", roles=("users",))


@pytest.mark.parametrize(
    ("seconds", "verdict", "detail"),
    [
        (0, "ok", "within a second"),
        (4, "ok", "4 s ahead of the server"),
        (90, "failed", "90 s ahead of the server; set this machine's clock by NTP"),
        (-3600, "failed", "3600 s behind the server; set this machine's clock by NTP"),
    ],
)
def test_a_clock_that_is_wrong_is_told(seconds: int, verdict: str, detail: str) -> None:
    check = clock(DATE, THEN + timedelta(seconds=seconds), 0.01)
    assert (check.verdict, check.detail) == (verdict, detail)


def test_a_server_without_a_date_is_only_noted() -> None:
    assert clock("", THEN, 0.01).verdict == "note"
    assert clock("yesterday", THEN, 0.01).verdict == "note"


def versions(**installed: str) -> Callable[[str], str]:
    def version_of(name: str) -> str:
        try:
            return installed[name.replace("-", "_")]
        except KeyError:
            raise PackageNotFoundError(name) from None

    return version_of


@pytest.mark.parametrize(
    ("installed", "verdict", "detail"),
    [
        ({"openiap_edge": "0.0.38"}, "ok", "openiap-edge 0.0.38"),
        ({}, "failed", "openiap-edge is missing: pip install openiap-edge==0.0.38"),
        (
            {"openiap_edge": "0.0.42"},
            "failed",
            "openiap-edge is 0.0.42: pip install openiap-edge==0.0.38 (later ones download their"
            " native library at run time)",
        ),
        (
            {"openiap_edge": "0.0.38", "openiap": "0.0.37"},
            "failed",
            "the package openiap 0.0.37 overwrites openiap-edge: pip uninstall -y openiap"
            " openiap-edge && pip install openiap-edge==0.0.38",
        ),
    ],
)
def test_the_library_is_the_right_one(installed: dict[str, str], verdict: str, detail: str) -> None:
    *_, library = of_library(versions(**installed))
    assert (library.verdict, library.detail) == (verdict, detail)


def test_a_state_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (good,) = of_state(Settings(state_dir=tmp_path / "new" / "state"))
    (bad,) = of_state(Settings(state_dir=tmp_path / "file" / "state"))
    (off,) = of_state(Settings(outbox=False))
    assert (good.verdict, bad.verdict, off.verdict) == ("ok", "failed", "note")


def test_handlers_that_do_not_import_fail_by_name() -> None:
    (check,), queues = of_handlers(Settings(handlers=("no.such.module",), wiq="q"))
    assert check.verdict == "failed"
    assert check.detail == (
        "Module no.such.module does not import: ModuleNotFoundError: No module named 'no'."
    )
    assert queues == {"q": None}


def test_a_handler_without_a_contract_works_and_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "opaque_payloads.py").write_text(
        "from pydantic import BaseModel\nfrom worker import handler\n"
        "class Odd:\n    pass\n"
        "class Job(BaseModel, arbitrary_types_allowed=True):\n    odd: Odd | None = None\n"
        "@handler('q')\nasync def work(job: Job) -> None: ...\n"
    )
    found, queues = of_handlers(Settings(handlers=("opaque_payloads",)))
    assert [(one.name, one.verdict) for one in found] == [("handler", "ok"), ("contract", "note")]
    assert "its payload cannot be described as JSON Schema" in found[1].detail
    assert [*queues] == ["q"]


@pytest.mark.parametrize(
    ("entries", "rights"),
    [
        ([{"_id": "u1", "rights": 65535}], {"create", "read", "update", "delete", "invoke"}),
        ([{"_id": "x", "name": "users", "rights": 2}], {"read"}),
        ([{"_id": "u1", "rights": 6}, {"_id": "u1", "rights": 4, "deny": True}], {"read"}),
        ([{"_id": "other", "rights": 2}], None),
        ([{"_id": "u1", "rights": "AgAAAA=="}], None),
        ([], None),
    ],
)
def test_rights_are_read_from_the_access_control_list(
    entries: list[dict[str, object]], rights: set[str] | None
) -> None:
    assert rights_of({"_acl": entries}, ME) == rights
