"""A package's worker runs with settings that fit an agent."""

from pathlib import Path

import pytest

from worker.cli.package.agent_settings import agent_overrides
from worker.cli.package.run import schedule_environment
from worker.settings import load

STATE = Path("/home/agent/.local/state/openiap-worker")


def overrides(tmp_path: Path, toml: str = "", **environment: str) -> dict[str, object]:
    file = tmp_path / "worker.toml"
    file.write_text(toml, encoding="utf-8")
    loaded = load(file=file, environment=environment)
    return agent_overrides(loaded, "booking", ["h"], working=tmp_path, state=STATE)


def test_stages_of_stopping_end_before_the_agents_kill(tmp_path: Path) -> None:
    found = overrides(tmp_path, "drain_timeout = 60\ncancel_timeout = '1s'")
    assert found["drain_timeout"] == 4.0
    assert "cancel_timeout" not in found, "shorter is fine"


def test_schedule_is_obeyed(tmp_path: Path) -> None:
    found = overrides(
        tmp_path,
        OPENIAP_WORKER_DRAIN_TIMEOUT="30",
        OPENIAP_WORKER_CANCEL_TIMEOUT="3",
        OPENIAP_WORKER_LOG_LEVEL="debug",
        OPENIAP_WORKER_STATE_DIR="state",
        OPENIAP_WORKER_HANDLERS="other",
    )
    assert found == {}


def test_little_is_said_unless_the_package_asks_for_more(tmp_path: Path) -> None:
    assert overrides(tmp_path)["log_level"] == "warn"
    assert "log_level" not in overrides(tmp_path, "log_level = 'info'")


@pytest.mark.parametrize("toml", ["", "state_dir = 'state'", "state_dir = './a/../b'"])
def test_state_does_not_go_where_it_is_deleted(tmp_path: Path, toml: str) -> None:
    assert overrides(tmp_path, toml)["state_dir"] == STATE / "booking"


def test_state_directory_elsewhere_is_used(tmp_path: Path) -> None:
    assert "state_dir" not in overrides(tmp_path, "state_dir = '/var/lib/booking'")


def test_handlers_of_the_build_count_when_the_settings_name_none(tmp_path: Path) -> None:
    assert overrides(tmp_path)["handlers"] == ("h",)
    assert "handlers" not in overrides(tmp_path, "handlers = ['mine']")


def test_environment_is_the_schedules_and_not_the_shells() -> None:
    found = schedule_environment(
        {
            "PATH": "/bin",
            "VIRTUAL_ENV": "/v",
            "OPENIAP_PASSWORD": "x",
            "OPENIAP_WORKER_LOG_LEVEL": "debug",
            "wiq": "old",
        },
        {"wiq": "new", "jwt": "token"},
    )
    assert found == {"PATH": "/bin", "wiq": "new", "jwt": "token", "PYTHONUNBUFFERED": "1"}
