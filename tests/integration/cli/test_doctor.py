"""``doctor``: one line for each check, and an exit code that scripts can use."""

import json
from pathlib import Path

import pytest

from tests.integration.cli.commands import (
    PASSWORD,
    USER,
    Cli,
    answer,
    running,
    signed_environment,
)


@pytest.mark.parametrize("client", ["official", "native"])
def test_a_sound_installation_passes(signed: Cli, tmp_path: Path, client: str) -> None:
    signed("queues", "create", "dead")
    for queue in ("orders", "shipments"):
        signed("queues", "create", queue, "--retry-delay", "5", "--failed-queue", "dead")
    found = answer(signed("doctor", "--handlers", "handlers.chain", "--client", client, "--json"))
    assert found["failed"] == 0, found["checks"]
    names = [check["name"] for check in found["checks"]]
    assert names == [
        *("worker", "library", "client", "state_dir", "handler", "handler"),
        *("URL", "server", "clock", "sign-in", "queue", "queue", *(["records"] * 3)),
    ]
    settings = {setting["name"]: setting for setting in found["settings"]}
    assert settings["client"] == {"name": "client", "value": client, "source": "command line"}
    assert settings["username"]["source"] == "environment OPENIAP_USERNAME"
    assert settings["lease"] == {"name": "lease", "value": "60.0", "source": "default"}
    assert settings["password"]["value"] == "********"


def test_a_handler_that_disagrees_with_its_queue_is_noted(signed: Cli, tmp_path: Path) -> None:
    signed("queues", "create", "impatient")
    (tmp_path / "eager.py").write_text(
        "from worker import Backoff, handler\n\n"
        "@handler('impatient', retry={OSError: Backoff(attempts=20)})\n"
        "async def work(payload: dict) -> None: ...\n"
    )
    found = answer(signed("doctor", "eager", "--json"))
    said = [one["detail"] for one in found["checks"] if one["name"] == "policy"]
    assert found["failed"] == 0, found["checks"]
    assert said == [
        "impatient: eager.work has Backoff(attempts=20), the queue allows 3, and the smaller number"
        " holds: openiap-worker queues update impatient --max-retries 20, or attempts=3",
        "impatient: retrydelay is 0, so what fails is tried 3 times within a moment: openiap-worker"
        " queues update impatient --retry-delay 30, or retry=Backoff() on eager.work",
        "impatient: no failed queue, so what fails for good stays in it as failed; to gather such"
        " items elsewhere: openiap-worker queues update impatient --failed-queue NAME",
    ]
    piped = signed("doctor", "eager").stdout.splitlines()
    assert [f"note   policy    {detail}" for detail in said] == [
        line for line in piped if line.startswith("note   policy")
    ]
    signed("queues", "create", "gathered")
    more = ("--max-retries", "20", "--retry-delay", "30", "--failed-queue", "gathered")
    assert signed("queues", "update", "impatient", *more).returncode == 0
    found = answer(signed("doctor", "eager", "--json"))
    assert "policy" not in {one["name"] for one in found["checks"]}


def test_it_says_why_a_queue_is_not_popped(signed: Cli) -> None:
    answer(signed("queues", "create", "rests", "--json"))
    paused = signed("queues", "pause", "rests", "--reason", "the bank is shut", "--for", "2h")
    assert paused.returncode == 0
    found = answer(signed("doctor", "--set", "wiq=rests", "--json"))
    (said,) = [one for one in found["checks"] if one["name"] == "pause"]
    assert said["verdict"] == "note"
    assert said["detail"].startswith(f"rests: paused by {USER} until 20")
    assert said["detail"].endswith(
        ": the bank is shut; to have it popped again: openiap-worker queues resume rests"
    )
    signed("queues", "resume", "rests")
    found = answer(signed("doctor", "--set", "wiq=rests", "--json"))
    assert "pause" not in [one["name"] for one in found["checks"]]


def test_no_secret_is_shown(signed: Cli) -> None:
    for arguments in (("doctor",), ("doctor", "--json"), ("doctor", "--changed", "--debug")):
        shown = signed(*arguments)
        assert PASSWORD not in shown.stdout + shown.stderr


def test_a_wrong_password_and_a_missing_queue_fail(signed: Cli) -> None:
    wrong = signed("doctor", "--json", OPENIAP_PASSWORD="wrong")
    assert wrong.returncode == 1
    (check,) = [c for c in json.loads(wrong.stdout)["checks"] if c["verdict"] == "failed"]
    assert check["name"] == "sign-in"
    assert check["detail"].endswith("Check OPENIAP_USERNAME and OPENIAP_PASSWORD.")
    missing = signed("doctor", wiq="nowhere")
    assert missing.returncode == 1
    assert "nowhere does not exist, or this user may not see it" in missing.stdout
    assert "1 check failed." in missing.stdout


def test_without_a_url_it_says_where_to_set_one(cli: Cli) -> None:
    shown = cli("doctor", "--json")
    assert shown.returncode == 1
    failed = [c for c in json.loads(shown.stdout)["checks"] if c["verdict"] == "failed"]
    assert [c["name"] for c in failed] == ["URL"]
    assert failed[0]["detail"].startswith("No URL of OpenIAP: set apiurl or OPENIAP_WORKER_URL")


def test_over_grpc_the_web_address_is_the_one_that_was_set(tmp_path: Path, cli: Cli) -> None:
    arguments = ["server", "--json", "--port", "0", "--grpc-port", "0"]
    arguments += ["--user", f"{USER}:{PASSWORD}"]
    with running(*arguments, folder=tmp_path) as server:
        urls = json.loads(server.wait_for("{"))
        signed = {
            **signed_environment(urls["grpc"], tmp_path),
            "OPENIAP_WORKER_HTTP_URL": urls["ws"].replace("ws://", "http://"),
        }
        found = json.loads(cli("doctor", "--json", **signed).stdout)
        checks = {check["name"]: check for check in found["checks"]}
        assert found["failed"] == 0, found["checks"]
        assert checks["clock"]["detail"] == "within a second"
        assert checks["server"]["detail"].startswith("version ")
        del signed["OPENIAP_WORKER_HTTP_URL"]
        found = json.loads(cli("doctor", "--json", **signed).stdout)
        (check,) = [check for check in found["checks"] if check["name"] == "server"]
        assert (check["verdict"], found["failed"]) == ("note", 0), "a gRPC port speaks no HTTP"
        assert "set http_url" in check["detail"]
