"""Settings: taken in order, refused by name, documented in config/worker.toml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.cases import each
from worker.errors import SettingsError
from worker.settings import Settings, load
from worker.telemetry.metrics import PREFIX, QUEUE_METRICS, WORKER_METRICS

DOCUMENTED = Path(__file__).parents[2] / "config" / "worker.toml"
WITHOUT_DEFAULT = {"ca_file", "state_dir", "health_port"}
"""What TOML cannot say: nothing at all, or what the platform decides."""


def loaded(
    environment: dict[str, str] | None = None, file: Path | None = None, **given: Any
) -> Settings:
    return load(given, file=file, environment=environment or {}).settings


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "worker.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(**arguments: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        loaded(**arguments)
    return str(refused.value)


# The documentation


def documented() -> str:
    """Return config/worker.toml with every setting switched on."""
    text = DOCUMENTED.read_text(encoding="utf-8")
    return re.sub(r"(?m)^# (?=[a-z_]+ = )", "", text)


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert list(tomllib.loads(documented())) == list(Settings.model_fields)


def test_every_documented_value_is_the_default(tmp_path: Path) -> None:
    values = tomllib.loads(documented())
    kept = {name: value for name, value in values.items() if name not in WITHOUT_DEFAULT}
    lines = "\n".join(
        line
        for line in documented().splitlines()
        if not line.startswith(tuple(f"{name} =" for name in WITHOUT_DEFAULT))
    )
    found = loaded(file=toml(tmp_path, lines))
    assert set(kept) == set(Settings.model_fields) - WITHOUT_DEFAULT
    assert {name: getattr(found, name) for name in kept} == {
        name: getattr(Settings(), name) for name in kept
    }


def test_the_file_as_it_is_changes_nothing() -> None:
    assert tomllib.loads(DOCUMENTED.read_text(encoding="utf-8")) == {}


def test_each_setting_has_its_reason_above_it() -> None:
    lines = DOCUMENTED.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"# [a-z_]+ = ", line):
            assert re.match(r"# +\S", lines[number - 1]), line
            assert not re.match(r"# [a-z_]+ = ", lines[number - 1]), line


def test_every_gauge_is_documented_and_nothing_else() -> None:
    told = set(re.findall(r"(?m)^#   (openiap_worker_\S+)", DOCUMENTED.read_text("utf-8")))
    queues = {f"{PREFIX}_<queue>_{metric.name}" for metric in QUEUE_METRICS}
    assert told == queues | {f"{PREFIX}_{metric.name}" for metric in WORKER_METRICS}


# The order


def test_the_command_line_wins_over_environment_file_and_default(tmp_path: Path) -> None:
    file = toml(tmp_path, 'poll_interval = "1m"\nconnections = 2\nconcurrency = 3\n')
    environment = {"OPENIAP_WORKER_POLL_INTERVAL": "2m", "OPENIAP_WORKER_CONNECTIONS": "4"}
    found = load({"poll_interval": "3m", "once": None}, file=file, environment=environment)
    assert found.settings.poll_interval == 180
    assert found.settings.connections == 4
    assert found.settings.concurrency == 3
    assert found.settings.pops_in_flight == 8
    assert found.sources == {
        "poll_interval": "command line",
        "connections": "environment OPENIAP_WORKER_CONNECTIONS",
        "concurrency": str(file),
    }


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"apiurl": "ws://a:1", "grpcapiurl": "grpc://b:1"}, "ws://a:1"),
        ({"grpcapiurl": "grpc://b:1", "OPENIAP_URL": "ws://c:1"}, "grpc://b:1"),
        ({"OPENIAP_URL": "ws://c:1", "OPENIAP_APIURL": "ws://d:1"}, "ws://c:1"),
        ({"OPENIAP_APIURL": "ws://d:1", "wsapiurl": "ws://e:1"}, "ws://d:1"),
        ({"wsapiurl": "ws://e:1"}, "ws://e:1"),
        ({"OPENIAP_WORKER_URL": "ws://f:1", "apiurl": "ws://a:1"}, "ws://f:1"),
    ],
)
def test_openiaps_own_names_are_honoured_in_their_order(
    environment: dict[str, str], url: str
) -> None:
    assert loaded(environment).url == url


def test_user_and_password_win_over_a_token() -> None:
    both = {"OPENIAP_USERNAME": "me", "OPENIAP_PASSWORD": "p", "jwt": "t"}
    assert loaded(both).jwt == SecretStr("")
    assert loaded({"jwt": "t"}).jwt == SecretStr("t")


def test_living_workers_cannot_be_set_to_count_as_dead() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"heartbeat_interval": "1m"}, environment={})
    assert str(caught.value) == (
        "Setting dead_after = 45 s (default): allowed: at least 2 times heartbeat_interval,"
        " which is 60 s (command line); living workers would count as dead."
    )


def test_a_transient_machine_drains_once() -> None:
    assert loaded({"SF_VMID": "vm1", "SF_AMQPQUEUE": "q"}).once
    assert loaded({"SF_AMQPQUEUE": "q"}).work_queues() == ("q",)


def test_credentials_leave_the_url() -> None:
    found = load({"url": "ws://me:p%40ss@host:3000/ws/v2"}, environment={})
    assert found.settings.url == "ws://host:3000/ws/v2"
    assert found.settings.username == "me"
    assert found.settings.password.get_secret_value() == "p@ss"
    assert found.shown("password") == "********"
    assert "p@ss" not in repr(found.settings)


def test_addresses_are_shown_without_what_may_let_somebody_in() -> None:
    found = load({"metric_url": "https://me:hidden@there/v1?key=hidden"}, environment={})
    assert found.shown("metric_url") == "https://********@there/v1?********"
    assert load({"log_url": "https://there/v1"}, environment={}).shown("log_url") == (
        "https://there/v1"
    )


def test_lists_are_lists_or_text_with_commas(tmp_path: Path) -> None:
    assert loaded({"OPENIAP_WORKER_HANDLERS": "a, b,"}).handlers == ("a", "b")
    assert loaded(file=toml(tmp_path, 'handlers = ["a", "b"]')).handlers == ("a", "b")


# Refusals, with their exact words


def test_an_unknown_setting_is_refused_by_name(tmp_path: Path) -> None:
    file = toml(tmp_path, "conections = 2")
    text = refusal(file=file)
    assert text.startswith(f"Unknown setting conections ({file}). Did you mean connections?")
    assert text.endswith(f"Allowed: {', '.join(sorted(Settings.model_fields))}.")


def test_an_unknown_variable_is_refused_by_name() -> None:
    text = refusal(environment={"OPENIAP_WORKER_DRAIN": "3"})
    assert text.startswith("Unknown setting drain (environment OPENIAP_WORKER_DRAIN).")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"drain_timeout": "soon"},
            "Setting drain_timeout = 'soon' (command line): allowed: seconds, or text like 250ms,"
            " 90s, 5m, 1h30m, 2d.",
        ),
        (
            {"connections": "many"},
            "Setting connections = 'many' (command line): Input should be a valid integer, unable"
            " to parse string as an integer.",
        ),
        (
            {"connections": 65},
            "Setting connections = 65 (command line): Input should be less than or equal to 64.",
        ),
        (
            {"client": "quick"},
            "Setting client = 'quick' (command line): Input should be 'official' or 'native'.",
        ),
        (
            {"url": "ftp://host"},
            "Setting url = 'ftp://host' (command line): allowed: ws://HOST:PORT, wss://HOST:PORT,"
            " grpc://HOST:PORT, http://HOST:PORT, https://HOST:PORT.",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(given: dict[str, Any], text: str) -> None:
    assert refusal(**given) == text


def test_a_secret_is_never_in_a_refusal() -> None:
    assert "sesame" not in refusal(environment={}, password=["sesame"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal(file=missing) == f"settings file {missing}: No such file or directory."


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    file = toml(tmp_path, "connections = \n")
    assert refusal(file=file).startswith(f"settings file {file} is not TOML: Invalid value")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = " + b"[" * 50_000, "is not TOML: nested too deeply"),
        (b"a = " + b"9" * 5_000, "is not TOML: Exceeds the limit"),
        (b"a = \xff", "is not TOML: 'utf-8' codec can't decode"),
        (b"\x00", "is not TOML"),
        (b"#" * 2_000_000, "is larger than 1,048,576 bytes"),
        (b'namespace = "a\\u0000b"', r"Setting namespace = 'a\x00b'"),
        (b'handlers = ["a\\u0000b"]', r"Setting handlers = 'a\x00b'"),
        (b'password = "a\\u0000b"', "Setting password = ******** ("),
        (b'worker_id = "' + b"a" * 5_000 + b'"', f"Setting worker_id = '{'a' * 199}… ("),
    ],
)
def test_whatever_is_in_a_settings_file_is_told_in_a_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "worker.toml"
    path.write_bytes(content)
    assert said in refusal(file=path)


def test_what_is_no_settings_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert refusal(file=tmp_path) == f"settings file {tmp_path}: Is a directory."
    assert (
        refusal(file=Path("/dev/zero")) == "settings file /dev/zero is larger than 1,048,576 bytes."
    )
    assert refusal(file=Path("a\0b")) == r"settings file 'a\x00b': embedded null byte."
    with_mark = tmp_path / "mark.toml"
    with_mark.write_bytes(b"\xef\xbb\xbfonce = true")
    assert loaded(file=with_mark).once


@each(
    ("name", "url"),
    [
        *[
            (name, url)
            for name in ("http_url", "metric_url", "log_url")
            for url in ("http://[", "http://a:99999", "http://a:b", "http://a:0")
        ],
        *[("url", f"ws://{host}") for host in ("a..b", "a" * 64, "a b", "..")],
    ],
)
def test_a_url_that_cannot_be_taken_apart_is_refused(name: str, url: str) -> None:
    said = refusal(environment={f"OPENIAP_WORKER_{name.upper()}": url})
    assert said.startswith(
        f"Setting {name} = {url!r} (environment OPENIAP_WORKER_{name.upper()}): "
    )
    assert "allowed: " in said


def test_bytes_that_are_no_text_are_refused_where_text_is_needed() -> None:
    environment = {"OPENIAP_WORKER_NAMESPACE": "a\udcff"}
    assert refusal(environment=environment) == (
        r"Setting namespace = 'a\udcff' (environment OPENIAP_WORKER_NAMESPACE):"
        " allowed: UTF-8 text, without NUL."
    )
    assert loaded(environment={"OPENIAP_WORKER_HANDLERS": "a\udcff.py"}).handlers == ("a\udcff.py",)


def test_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    loaded = load(environment={"OPENIAP_WORKER_STATE_DIR": "", "OPENIAP_WORKER_CA_FILE": ""})
    assert loaded.settings.state_dir != Path()
    assert loaded.settings.ca_file is None


@pytest.mark.parametrize("value", ["a b", "a/b", "x" * 65, "Zoë", "a#"])
def test_a_namespace_of_other_letters_is_refused(value: str) -> None:
    assert refusal(namespace=value) == (
        f"Setting namespace = {value!r} (command line):"
        " allowed: letters, digits, dot, dash, underscore; at most 64."
    )
    assert loaded(namespace="test-1.b_C").namespace == "test-1.b_C"


@each(
    "url",
    [
        "ws://me:pa@SECRET/w0rd@host:1",
        "ws://me:SECRET#x@host",
        "ws://me:SECRET?x@host",
        "ws://me:SECRET[x@host",
        "ws://me:SECRET]x@host",
        "ws://me:SECRET@host:99999",
        "ws://me:SECRET@host/openiap/",
        "ws://host/openiap/?token=SECRET",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_any_of_it(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"url": url}, environment={})
    assert "SECRET" not in str(refused.value)
    assert "Allowed: ws://[USER:PASSWORD@]HOST[:PORT], without a path" in str(refused.value)


@pytest.mark.parametrize("name", ["http_url", "metric_url"])
def test_no_other_url_is_shown_with_its_password(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"http_url": "ftp://me:SECRET@host", name: "ftp://me:SECRET@host"}, environment={})
    assert "SECRET" not in str(refused.value)


def test_a_credential_that_cannot_be_read_is_named_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "openiap-jwt").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"credential .*openiap-jwt: not UTF-8 text"):
        loaded(environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (tmp_path / "openiap-jwt").write_text("of the file", encoding="utf-8")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "OPENIAP_JWT": "of the environment"}
    found = loaded(environment=environment)
    assert found.jwt.get_secret_value() == "of the environment"
