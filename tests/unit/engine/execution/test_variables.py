"""What an evidence file shows of a handler's variables."""

import time
from dataclasses import dataclass, field

import pytest
from pydantic import BaseModel

from tests.cases import each
from worker.engine.execution.evidence import AttemptFacts, EvidenceLog, evidence_text
from worker.engine.execution.variables import shown, variables_of, without_runs
from worker.openiap.workitem import Workitem


class Login(BaseModel):
    user: str
    password: str


@dataclass
class Account:
    name: str
    api_key: str
    cached: str = field(default="", repr=False)


@each(
    "value",
    [
        {"deep": [{"er": ({"password": "kingfisher"},)}]},
        {"Authorization": "kingfisher"},
        {b"authorization": b"kingfisher"},
        Login(user="u", password="kingfisher"),
        Account("n", "kingfisher", "kingfisher"),
        [Login(user="u", password="kingfisher")],
        "redis://:kingfisher@h/0",
        ["tool", "--token", "kingfisher"],
    ],
)
def test_secrets_are_stars_at_any_depth(value: object) -> None:
    assert "kingfisher" not in shown("value", value)
    assert shown("api_key", value) == "***"


def test_what_may_be_a_token_is_left_out() -> None:
    kept = [
        "/usr/lib/python3.11/site-packages/openiap_worker",
        "65a1b2c3d4e5f60718293a4b",
        "2026-01-01T10:00:00.000000Z",
        "123e4567-e89b-12d3-a456-426614174000",
        "a_very_long_name_of_a_function_with_words",
        "InvoiceNumberGeneratorOfTheYear",
        "3.14159265358979323846",
    ]
    assert without_runs(" ".join(kept)) == " ".join(kept)
    for token in (
        "4b1c9dE7fGh2JkLm3nPqRs",
        "0123456789abcdef0123456789abcdef",
        "a1B2c3D4e5F6g7H8i9J0==",
    ):
        assert without_runs(f"x {token} y") == "x *** y"


def test_a_value_costs_what_is_shown_of_it() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown("x", [Broken()]) == "[(its repr raised RuntimeError)]"
    assert shown("x", {"a": (1, {2}), "b": ["y"]}) == "{'a': (1, {2}), 'b': ['y']}"
    itself: list[object] = []
    itself.append(itself)
    assert shown("x", itself).endswith("…" + "]" * 21)
    large = {"rows": [{"a": number % 10} for number in range(1_000_000)]}

    def deep(level: int, payload: object, rows: object) -> None:
        if level == 0:
            raise RuntimeError("no")
        deep(level - 1, payload, rows)

    began = time.thread_time()
    with pytest.raises(RuntimeError) as caught:
        deep(20, large, large["rows"])
    text = variables_of(caught.value)
    assert time.thread_time() - began < 1  # its repr alone takes longer, each time
    assert len(text) < 60_000


def test_a_line_of_evidence_shows_no_half_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "correct-horse-battery")

    class Nowhere:
        def info(self, message: str, **fields: object) -> None: ...

    log = EvidenceLog(Nowhere())  # type: ignore[arg-type]
    for length in range(1310, 1340, 3):
        log.info("x" * length + "correct-horse-battery" + "y" * 3000, session="kingfisher")
    error = RuntimeError("sent Authorization: Bearer kingfisher")
    error.variables = "    name = 'correct-horse-battery'"  # type: ignore[attr-defined]
    facts = AttemptFacts("h", "w", Workitem(id="a" * 24, wiq="q"), None, 1.0)
    for text in ("\n".join(log.lines), evidence_text(error, facts, {"OTHER": "kingfisher"})):
        assert not any(part in text for part in ("correct", "horse", "battery", "kingfisher"))
