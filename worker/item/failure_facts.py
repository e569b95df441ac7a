"""The first line of a failed item's source: who worked, how long, and the error's own data.

It is written for people, and read again where somebody waits for the item's result::

    worker w1, attempt 1, 0.2 s, raised OutOfStock, code OUT_OF_STOCK, data {"left":2}

Data is masked as everything on an item is; beyond ``MAX_DATA`` it is shortened, and nobody can read
it again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.errors import ApplicationError, BusinessError
from worker.item.error_text import attribute_of
from worker.item.masking import masked, shortened
from worker.item.secret_names import is_secret_name
from worker.item.value_text import STARS
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject

MAX_DATA: Final = 4_000
"""Characters."""
_LINE: Final = re.compile(
    r"(?P<who>(?:worker .*?, )?attempt \d+, [^ ,]+ s)"
    r"(?:, raised (?P<raised>\w+))?(?:, code (?P<code>.+?))?(?:, data (?P<data>\{.*\}))?$"
)


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """What such a line says of an error.

    Attributes:
        raised: the name of its class, where that is one of the handler's own; or "".
        code: its code, or "".
        data: as ``BusinessError(data=…)`` was given it; None for none, or too much.
    """

    raised: str = ""
    code: str = ""
    data: JsonObject | None = None


def facts_line(error: BaseException, *, worker: str, attempt: int, seconds: float) -> str:
    """Return the line for an error, masked."""
    facts = [f"worker {worker}"] if worker else []
    facts += [f"attempt {attempt}", f"{seconds:.3g} s"]
    own = isinstance(error, BusinessError | ApplicationError)
    if own and type(error).__module__ != "worker.errors":
        facts.append(f"raised {type(error).__name__}")
    code, data = attribute_of(error, "code"), attribute_of(error, "data")
    if isinstance(code, str) and code:
        facts.append(f"code {code}")
    if isinstance(data, dict) and data:
        try:
            facts.append(f"data {shortened(json_text(_without_secrets(data)), MAX_DATA)}")
        except (TypeError, ValueError, RecursionError):
            facts.append(f"data {shortened(repr(data), MAX_DATA)}")
    return masked(", ".join(facts))


def _without_secrets(value: Any) -> Any:
    """Return data whose secrets, by the names of their members, are stars that JSON can have."""
    if isinstance(value, Mapping):
        return {
            name: STARS if isinstance(name, str) and is_secret_name(name) else _without_secrets(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    return value


def without_error(source: str) -> str:
    """Return a source whose first line says who worked and how long, but nothing of the error."""
    line, newline, rest = source.partition("\n")
    found = _LINE.match(line)
    return source if found is None else f"{found['who']}{newline}{rest}"


def facts_of(source: Any) -> FailureFacts:
    """Return what a failed item's source says of its error; nothing for a foreign text."""
    line = str(source or "").partition("\n")[0]
    found = _LINE.match(line)
    if found is None:
        return FailureFacts()
    data = None
    if found["data"]:
        try:
            data = json.loads(found["data"])
        except ValueError:
            data = None
    return FailureFacts(
        found["raised"] or "", found["code"] or "", data if isinstance(data, dict) else None
    )
