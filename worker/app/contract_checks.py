"""Pushes held to contracts: for programs that push to handlers which they cannot import."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

from worker.app.contracts import FORMAT
from worker.app.payload import missing_file
from worker.item.metadata import KEY
from worker.item.new_item import Push
from worker.item.push import ContractError
from worker.openiap.workitem import JsonObject


class Contracts:
    """The contracts of one application, by queue; a queue without one takes everything::

    async with connect(contracts=Contracts.read("contracts.json")) as producer:
        await producer.push("invoices", {"number": "4711", "amount": 12})
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take what ``worker.app.contracts.contracts_of`` made.

        Raises:
            ContractError: it is something else.
        """
        if document.get("contracts") != FORMAT or not isinstance(document.get("queues"), dict):
            raise ContractError(f"no contracts: a document with contracts = {FORMAT!r} is needed")
        self._queues: Final[dict[str, JsonObject]] = dict(document["queues"])
        self._validators: Final = {
            queue: _validator(queue, contract) for queue, contract in self._queues.items()
        }

    @classmethod
    def read(cls, path: str | Path) -> "Contracts":
        """Read a file that ``openiap-worker contract`` wrote.

        Raises:
            ContractError: there is no such file, or it is something else.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ContractError(f"contracts {path}: {error}") from error
        return cls(found if isinstance(found, dict) else {})

    def check(self, push: Push) -> None:
        """Refuse what does not fit the queue's contract.

        Raises:
            ContractError: the text names the queue, the field and what is wrong with it.
        """
        validator = self._validators.get(push.queue)
        if validator is None:
            return
        payload = {name: value for name, value in push.payload.items() if name != KEY}
        found = best_match(validator.iter_errors(payload))
        if found is not None:
            where = ".".join(str(part) for part in found.absolute_path) or "payload"
            raise ContractError(
                f"The payload does not fit the contract of {push.queue}:"
                f" {where}: {found.message[:500]}."
            )
        names = [Path(path).name for path in push.files]
        missing = missing_file(self._queues[push.queue].get("files", ()), names)
        if missing:
            shown = ", ".join(sorted(names)) or "none"
            raise ContractError(
                f"The contract of {push.queue} asks for a file {missing}; given: {shown}."
            )


def _validator(queue: str, contract: Mapping[str, Any]) -> Draft202012Validator:
    schema = contract.get("payload", {})
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ContractError(
            f"The contract of {queue} is no JSON Schema: {error.message}."
        ) from error
    return Draft202012Validator(schema)
