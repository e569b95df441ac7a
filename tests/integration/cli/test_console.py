"""``console``: one sentence where it cannot be served."""

import pytest

from worker.cli.app import main
from worker.cli.shared import console


def test_without_the_extra_the_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "find_spec", lambda name: None)
    for command in (["console"], ["demo", "--console"], ["dev", "--console"]):
        assert main(command) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert 'pip install "openiap-worker[console]" brings it.' in said


def test_beyond_this_machine_it_takes_a_certificate_or_a_proxy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENIAP_URL", "ws://127.0.0.1:1")
    assert main(["console", "--host", "192.0.2.1", "--port", "0"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "give --certificate and --key, or --behind-proxy" in said
