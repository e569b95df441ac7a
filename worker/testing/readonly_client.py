"""A client that reads and does not write: what would have been changed is noted and made up.

A handler that is run again to see what it does must change nothing, and must get far enough to be
seen. So reads go through, and a write is answered as OpenIAP would answer it: an inserted document
comes back with an id, a pushed item with one of its own. What has no answer that could be made up
(another program's reply, the next item of a queue) is refused by name.
"""

import inspect
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from worker.openiap.client import Client
from worker.openiap.errors import Unsupported
from worker.openiap.types import UpdateResult
from worker.openiap.values import json_text, object_from_text, objects_from_text
from worker.openiap.workitem import NEW, JsonObject, Workitem

READS: Final = frozenset(
    {
        "aggregate",
        "count",
        "distinct",
        "download",
        "get_indexes",
        "list_collections",
        "probe",
        "query",
    }
)
WRITING_STAGES: Final = ("$out", "$merge")


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A call that was not sent: its name, and its arguments by name."""

    operation: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        given = ", ".join(
            f"{name}={value!r}" for name, value in self.arguments.items() if name != "timeout"
        )
        return f"{self.operation}({given})"


class ReadOnlyClient:
    """Forwards reads; notes writes in ``held_back`` and makes up their answers."""

    on_late_pop = None

    def __init__(self, client: Client) -> None:
        self.held_back: list[HeldBack] = []
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(Client, name, None)
        if name.startswith("_") or method is None:
            raise AttributeError(f"Client has no {name}")
        if not inspect.iscoroutinefunction(method):
            return getattr(self._client, name)
        if name in READS and name != "aggregate":
            return getattr(self._client, name)
        return self._held(name, inspect.signature(method))

    def _held(self, name: str, signature: inspect.Signature) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(self, *args, **kwargs).arguments
            given.pop("self")
            if name == "aggregate" and not _writes(given.get("aggregates")):
                return await self._client.aggregate(*args, **kwargs)
            answer = _ANSWERS.get(name)
            if answer is None:
                raise Unsupported(
                    "not sent: this is a replay, and nobody can say what the answer would be;"
                    " with --send it is sent",
                    operation=name,
                )
            self.held_back.append(HeldBack(name, given))
            made_up = answer(given)
            return await self._counted(given) if made_up is _COUNTED else made_up

        return call

    async def _counted(self, given: Mapping[str, Any]) -> Any:
        """Answer a change of all that matches: with how many do now."""
        collection, query = given["collectionname"], given.get("query")
        if given.get("ids"):
            return len(given["ids"])
        found = await self._client.count(collection, query)
        return UpdateResult(found, found) if "document" in given else found


def read_only_client(client: Client) -> "tuple[Client, list[HeldBack]]":
    """Return a client that does not write, and the list in which it notes what it held back."""
    reading = ReadOnlyClient(client)
    return cast(Client, reading), reading.held_back


def _writes(aggregates: Any) -> bool:
    text = aggregates if isinstance(aggregates, str) else json_text(aggregates)
    return any(f'"{stage}"' in text for stage in WRITING_STAGES)


def _object(value: Any) -> JsonObject:
    text = value if isinstance(value, str) else json_text(value)
    found = object_from_text(text, operation="replay")
    return {"_id": made_up_id(), **found}


def _objects(value: Any) -> list[JsonObject]:
    text = value if isinstance(value, str) else json_text(value)
    return [{"_id": made_up_id(), **one} for one in objects_from_text(text, operation="replay")]


def _pushed(given: Mapping[str, Any]) -> Workitem:
    payload = given.get("payload")
    return Workitem(
        id=made_up_id(),
        name=given.get("name") or "New work item",
        payload=dict(payload) if isinstance(payload, Mapping) else {"value": payload},
        priority=given.get("priority", 2),
        nextrun=given.get("nextrun"),
        state=NEW,
        wiq=given.get("wiq", ""),
    )


def made_up_id() -> str:
    """Return an id as MongoDB's look, of nothing that exists."""
    return secrets.token_hex(12)


_COUNTED: Final = object()
_ANSWERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "insert_one": lambda given: _object(given["item"]),
    "insert_many": lambda given: _objects(given["items"]),
    "update_one": lambda given: _object(given["item"]),
    "insert_or_update_one": lambda given: _object(given["item"]),
    "insert_or_update_many": lambda given: _objects(given["items"]),
    "update_document": lambda given: _COUNTED,
    "delete_one": lambda given: 1,
    "delete_many": lambda given: _COUNTED,
    "create_collection": lambda given: None,
    "drop_collection": lambda given: None,
    "create_index": lambda given: str(given.get("name") or "index"),
    "drop_index": lambda given: None,
    "upload": lambda given: made_up_id(),
    "push_workitem": _pushed,
    "push_workitems": lambda given: [
        _pushed({"wiq": given["wiq"], "payload": one.payload, "name": one.name})
        for one in given["items"]
    ],
    "update_workitem": lambda given: given["workitem"],
    "delete_workitem": lambda given: None,
    "queue_message": lambda given: None,
}
