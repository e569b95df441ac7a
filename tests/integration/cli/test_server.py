"""``server``: says where it is, keeps secrets, and refuses to be open to the world."""

import json
import stat
import sys
from pathlib import Path

from tests.integration.cli.commands import Cli, running

PORTS = ("--port", "0", "--grpc-port", "0")


def test_a_server_beyond_this_machine_needs_a_user(cli: Cli) -> None:
    refused = cli("server", "--host", "0.0.0.0", *PORTS)
    assert refused.returncode == 2
    assert refused.stderr == (
        "--host 0.0.0.0 can be reached from other machines: say who may sign in, with --user"
        " NAME:PASSWORD.\n"
    )


def test_a_user_without_a_password_is_refused(cli: Cli) -> None:
    refused = cli("server", "--user", "me", *PORTS)
    assert refused.returncode == 2
    assert refused.stderr == (
        "--user takes NAME:PASSWORD, or @FILE with one such a line, for example --user me:secret.\n"
    )


def test_a_plain_user_without_a_password_or_that_is_an_administrator_is_refused(cli: Cli) -> None:
    refused = cli("server", "--plain-user", "me", *PORTS)
    assert refused.returncode == 2
    assert refused.stderr == (
        "--plain-user takes NAME:PASSWORD, or @FILE with one such a line,"
        " for example --plain-user me:secret.\n"
    )
    refused = cli("server", "--user", "me:a", "--plain-user", "me:b", *PORTS)
    assert refused.returncode == 2
    assert refused.stderr == "--user and --plain-user both name me: take one of them.\n"


def test_a_taken_port_is_named(cli: Cli, server_url: str) -> None:
    port = server_url.rpartition(":")[2]
    refused = cli("server", "--port", port, "--grpc-port", "0")
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert refused.stderr.endswith("Choose others with --port and --grpc-port.\n")


def test_a_data_folder_that_is_not_there_is_named(cli: Cli) -> None:
    refused = cli("server", "--data", "no/such/folder/x.sqlite", *PORTS)
    assert refused.returncode == 1
    assert refused.stderr.startswith("--data no/such/folder/x.sqlite: ")
    assert "Traceback" not in refused.stderr


def test_the_password_of_a_data_file_is_kept_beside_it_and_not_shown(
    tmp_path: Path, cli: Cli
) -> None:
    data = str(tmp_path / "iap.sqlite")
    with running("server", "--data", data, *PORTS, folder=tmp_path) as server:
        server.wait_for("Ctrl-C stops it.")
        url = next(line for line in server.lines if "ws://" in line).split()[1]
        file = Path(f"{data}.user")
        name, password = file.read_text().strip().split(":")
        assert not any(password in line for line in server.lines)
        if sys.platform != "win32":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        credentials = {"OPENIAP_USERNAME": name, "OPENIAP_PASSWORD": password}
        assert cli("queues", "list", "--url", url, **credentials).returncode == 0
        assert server.stop() == 0


def test_a_server_in_memory_shows_how_to_sign_in(tmp_path: Path) -> None:
    with running("server", *PORTS, folder=tmp_path) as server:
        line = server.wait_for("password")
        assert len(line.split()[1]) >= 20
        assert server.stop() == 0


def test_a_server_shows_all_who_may_sign_in_and_no_password(tmp_path: Path) -> None:
    given = ["--user", "a:secret-a", "--user", "b:secret-b", "--plain-user", "c:secret-c"]
    with running("server", *given, *PORTS, folder=tmp_path) as server:
        assert server.wait_for("users").split() == ["users", "a,", "b"]
        assert server.wait_for("plain users").split() == ["plain", "users", "c"]
        server.wait_for("Ctrl-C")
        assert "secret" not in "".join(server.lines)
        assert server.stop() == 0


def test_json_tells_a_script_where_it_is(tmp_path: Path) -> None:
    arguments = ["server", "--json", "--user", "a:secret-a", "--user", "b:secret-b", *PORTS]
    with running(*arguments, folder=tmp_path) as server:
        line = server.wait_for("{")
        told = json.loads(line)
        assert told["ws"].startswith("ws://127.0.0.1:")
        assert told["users"] == ["a", "b"]
        assert "secret-a" not in line
