"""A handler that cannot be worked is refused at the start, by the same sentence wherever it is
asked for."""

import json
from pathlib import Path

import pytest

from tests.integration.cli.commands import Cli

HEAD = """\
from pydantic import BaseModel
from worker import Client, Router, handler, schedule

class Invoice(BaseModel):
    number: str

class Plain:
    pass

"""
KEPT = (
    "allowed: a pydantic model, a dataclass, a dict with text keys, text, a number, a list and the"
    " like, or None."
)


def returning(kind: str, shown: str) -> tuple[str, str]:
    code = f'@handler("q")\nasync def work(invoice: Invoice) -> {kind}: ...\n'
    return (
        code,
        f"Handler wrong.work: its result of type {shown} cannot be kept on the item; {KEPT}",
    )


TABLE = {
    "one of several": returning("Invoice | bytes | None", "bytes"),
    "keys": returning("dict[int, str]", "dict[int, str]"),
    "class": returning("Plain", "Plain"),
    "parameter": (
        '@handler("q")\nasync def work(number: int, plain: Plain) -> None: ...\n',
        "Handler wrong.work: parameter plain (of type Plain) cannot be filled",
    ),
    "several": (
        '@schedule("0 0 * * *", payload={"key": "1"})\n'
        '@handler("q")\nasync def work(key: str, payload: dict) -> str: ...\n',
        "Handler wrong.work: schedule work: The payload does not fit wrong.work: payload: Field"
        " required.",
    ),
    "two": (
        '@handler("q")\nasync def one(p: Invoice) -> None: ...\n'
        '@handler("q")\nasync def two(p: Invoice) -> None: ...\n',
        "Queue q has two handlers: wrong.one and wrong.two; only one can work it.",
    ),
    "process": (
        '@handler("q", process=True)\ndef work(p: Invoice, client: Client) -> None: ...\n',
        "Handler wrong.work: parameter client of type Client cannot be filled with process=True;",
    ),
    "schedule": (
        '@schedule("0 0 * * *")\n@handler("q")\nasync def work(p: Invoice) -> None: ...\n',
        "Handler wrong.work: schedule work: The payload does not fit wrong.work: number: Field"
        " required.",
    ),
    "files": (
        '@schedule("0 0 * * *", payload={"number": "1"})\n'
        '@handler("q", files=["*.pdf"])\nasync def work(p: Invoice) -> None: ...\n',
        "Handler wrong.work: schedule work: wrong.work needs a file *.pdf; the item has: none.",
    ),
    "annotation": (
        '@handler("q")\nasync def work(p: "Nothing") -> None: ...\n',
        "Handler wrong.work: its annotations cannot be read: name 'Nothing' is not defined.",
    ),
    "import": ("import nowhere_at_all\n", "nowhere_at_all"),
}


@pytest.mark.parametrize("name", TABLE)
def test_contract_doctor_and_run_refuse_it_by_the_same_sentence(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    code, expected = TABLE[name]
    (tmp_path / "wrong.py").write_text(HEAD + code, encoding="utf-8")
    sentences = []
    for command in ("contract", "run"):
        found = cli(command, "wrong", OPENIAP_WORKER_URL="ws://127.0.0.1:9")
        assert (found.returncode != 0, found.stdout) == (True, "")
        sentences.append(found.stderr.strip())
    checks = json.loads(cli("doctor", "wrong", "--json").stdout)["checks"]
    (failed,) = [one for one in checks if one["name"] == "handlers"]
    assert failed["verdict"] == "failed"
    sentences.append(failed["detail"])
    assert expected in sentences[0]
    assert len(set(sentences)) == 1, sentences
