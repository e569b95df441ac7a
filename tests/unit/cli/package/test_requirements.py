"""What an agent installs is what was here when the package was built."""

import pytest

from worker.cli.package.errors import PackageError
from worker.cli.package.requirements import Installed, Pins, pinned

HERE = {
    "openiap-worker": Installed(
        "1.2.3",
        (
            "pydantic>=2",
            "uvloop>=0.21; sys_platform != 'win32'",
            "colorama; sys_platform == 'win32'",
            "pytest; extra == 'test'",
        ),
    ),
    "pydantic": Installed("2.13.0", ("pydantic-core==2.40.0", "email-validator; extra == 'email'")),
    "pydantic-core": Installed("2.40.0", ("typing-extensions",)),
    "typing-extensions": Installed("4.15.0"),
    "httpx": Installed("0.28.1", ("h2; extra == 'http2'",)),
    "h2": Installed("4.3.0", ("hyperframe",)),
    "hyperframe": Installed("6.1.0", ("h2",)),
    "email-validator": Installed("2.3.0"),
}


def lines(pins: Pins) -> list[str]:
    return [line for line in pins.text.splitlines() if not line.startswith("#")]


def test_everything_below_the_worker_is_pinned_for_the_agents_machine() -> None:
    pins = pinned([], HERE.get)
    assert lines(pins) == [
        "openiap-worker==1.2.3",
        "pydantic-core==2.40.0",
        "pydantic==2.13.0",
        "typing-extensions==4.15.0",
        "uvloop>=0.21",
    ]
    assert pins.notes == (
        "uvloop>=0.21 is not installed here, so it could not be pinned to what was tested.",
    )


def test_project_requirements_are_pinned_to_what_is_installed_with_their_extras() -> None:
    found = lines(pinned(["httpx[http2]>=0.20  # fast", "", "# more", "pydantic[email]"], HERE.get))
    assert {"httpx==0.28.1", "h2==4.3.0", "hyperframe==6.1.0", "email-validator==2.3.0"} <= {*found}


def test_versions_that_the_project_chose_stay() -> None:
    assert "httpx==0.27.0" in lines(pinned(["httpx==0.27.0", "absent==1.0"], HERE.get))
    assert "absent==1.0" in lines(pinned(["absent==1.0"], HERE.get))


def test_wheel_in_the_package_stands_for_the_worker() -> None:
    found = lines(pinned([], HERE.get, wheel="openiap_worker-1.2.3-py3-none-any.whl"))
    assert found[0] == "./openiap_worker-1.2.3-py3-none-any.whl"
    assert not any(line.startswith("openiap-worker") for line in found)


def test_same_requirements_give_the_same_text_in_any_order() -> None:
    assert pinned(["httpx", "pydantic"], HERE.get) == pinned(["pydantic", "httpx"], HERE.get)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("absent>=1", "neither pinned"),
        ("-r other.txt", "cannot be shipped"),
        ("./local", "cannot be shipped"),
        ("-e .", "cannot be shipped"),
        ("--index-url https://user:secret@host/simple", "credentials"),
        ("what is this", "is no requirement"),
    ],
)
def test_what_an_agent_could_not_install_is_refused_without_its_secrets(
    line: str, said: str
) -> None:
    with pytest.raises(PackageError, match=said) as refused:
        pinned([line], HERE.get)
    assert "secret" not in str(refused.value)
