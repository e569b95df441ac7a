"""Every error becomes a sentence with what to do, and an exit code."""

import pytest

from tests.cases import each
from worker.cli.shared.errors import CommandError, explain
from worker.cli.shared.options import Options, settings_of
from worker.errors import HandlerError, SettingsError, StateError
from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    ItemNotFound,
    NotConnected,
    ServerError,
)


@each(
    ("error", "code", "text"),
    [
        (SettingsError("Wrong."), 2, "Wrong."),
        (HandlerError("Broken."), 2, "Broken."),
        (StateError("Locked."), 1, "Locked."),
        (
            ItemNotFound("x", operation="delete_workitem", item_id="4711"),
            1,
            "There is no item 4711, or this user has no rights on it.",
        ),
        (
            AccessDenied("no.", operation="query"),
            1,
            "OpenIAP refused query: no. See: openiap-worker doctor.",
        ),
        (NotConnected("away", operation="query"), 1, "OpenIAP did not answer query: away."),
        (Disconnected("gone", operation="query"), 1, "OpenIAP, query: gone."),
        (ServerError("boom"), 1, "OpenIAP: boom."),
        (
            ValueError("x"),
            1,
            "Unexpected ValueError: x. This is a bug: run the command again with --debug and report"
            " what it shows.",
        ),
    ],
)
def test_an_error_is_one_sentence_with_its_exit_code(
    error: Exception, code: int, text: str
) -> None:
    problem = explain(error)
    assert (problem.code, problem.text) == (code, text)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            Options(assignments=["password=sesame"]),
            "--set password: other users of this machine can read the command line; set"
            " OPENIAP_PASSWORD in the environment instead.",
        ),
        (
            Options(assignments=["jwt=sesame"]),
            "--set jwt: other users of this machine can read the command line; set OPENIAP_JWT in"
            " the environment instead.",
        ),
        (
            Options(url="ws://me:sesame@host"),
            "A password in --url: other users of this machine can read the command line; set"
            " OPENIAP_PASSWORD in the environment instead.",
        ),
        (Options(assignments=["drain"]), "--set drain: give it as NAME=VALUE."),
    ],
)
def test_secrets_are_not_taken_from_the_command_line(given: Options, text: str) -> None:
    with pytest.raises(CommandError) as refused:
        settings_of(given)
    assert (refused.value.code, refused.value.text) == (2, text)


def test_any_setting_can_be_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings_of(Options(assignments=["drain-timeout=5m", "log_level = warn"]))
    assert (loaded.settings.drain_timeout, loaded.settings.log_level) == (300, "warn")
    assert loaded.sources["drain_timeout"] == "command line"
