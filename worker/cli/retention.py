"""``retention``: which finished items are old enough to go, and their deletion."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from worker.cli.shared.asking import confirm
from worker.cli.shared.client import with_client
from worker.cli.shared.documents import PAGE, pages
from worker.cli.shared.groups import grouped
from worker.cli.shared.handlers import handlers_of
from worker.cli.shared.item_view import moment
from worker.cli.shared.options import AllOptions, AsJson, Handlers, Utc, Yes
from worker.cli.shared.output import many, print_json, show, to_stderr, to_stdout
from worker.durations import text as duration_text
from worker.engine.maintenance.retention import Rule, delete_batch, rules_of
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import number
from worker.openiap.item_deletion import file_ids
from worker.openiap.values import format_bytes
from worker.openiap.workitem import JsonObject

COLUMNS = {
    "queue": "whole",
    "state": "whole",
    "older than": "whole",
    "items": "number",
    "oldest": "whole",
    "files": "number",
    "size": "number",
}


@dataclass(frozen=True, slots=True)
class Expired:
    """What a rule would delete: items, when the oldest last changed, files and their bytes."""

    rule: Rule
    items: int
    oldest: str
    files: int
    bytes: int

    def shown(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "queue": self.rule.queue,
            "state": self.rule.state,
            "keep": self.rule.keep,
            "items": self.items,
            "oldest": self.oldest or None,
            "files": self.files,
            "bytes": self.bytes,
        }

    def row(self, *, utc: bool) -> tuple[object, ...]:
        """Return it as a line of the table."""
        return (
            self.rule.queue,
            self.rule.state,
            duration_text(self.rule.keep),
            f"{self.items:,}",
            moment(self.oldest, utc=utc) if self.oldest else "",
            f"{self.files:,}",
            format_bytes(self.bytes, 1) if self.files else "",
        )


@grouped
def retention(
    handlers: Handlers = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete them; without it they are only counted.")
    ] = False,
    yes: Yes = False,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Show which finished items the handlers' keep and keep_failed give up; --delete deletes them.

    A running worker does the same about once an hour.
    """
    chosen, found = handlers_of(given, handlers)
    rules = rules_of(registered.handler for registered in found)
    if not rules:
        to_stderr().print("No handler says keep or keep_failed: items are kept for ever.")
    now = datetime.now(UTC)

    async def look(signed: Client) -> list[Expired]:
        return [await _expired(signed, rule, now) for rule in rules]

    async def clear(signed: Client) -> int:
        return sum([await _delete(signed, rule, now) for rule in rules])

    expired = with_client(chosen, look) if rules else []
    total = sum(one.items for one in expired)
    gone = 0
    if not as_json and rules:
        show(to_stdout(), COLUMNS, [one.row(utc=utc) for one in expired])
    if delete and total:
        confirm(f"Delete {many(total, 'item')}?", yes=yes)
        gone = with_client(chosen, clear)
    if as_json:
        print_json({"deleted": gone, "rules": [one.shown() for one in expired]})
    elif delete and rules:
        to_stdout().print(f"Deleted {many(gone, 'item')}.")
    elif total:
        to_stderr().print("Nothing was deleted; --delete does it.", style="dim")


async def _expired(client: Client, rule: Rule, now: datetime) -> Expired:
    wanted: JsonObject = {"_modified": 1, "files": 1}
    order: JsonObject = {"_modified": 1, "_id": 1}
    found = await pages(client, "workitems", rule.query(now), wanted, order)
    ids = [id for item in found for id in file_ids(item.get("files"))]
    size = 0
    for start in range(0, len(ids), PAGE):
        size += await _size(client, ids[start : start + PAGE])
    oldest = str(found[0].get("_modified", "")) if found else ""
    return Expired(rule, len(found), oldest, len(ids), size)


async def _size(client: Client, ids: list[str]) -> int:
    query: Any = {"_id": {"$in": ids}}
    files = await client.query("fs.files", query, {"length": 1}, top=PAGE)
    return sum(number(file.get("length")) for file in files)


async def _delete(client: Client, rule: Rule, now: datetime) -> int:
    gone, refused = 0, dict[str, OpenIAPError]()
    while some := await delete_batch(client, rule, now, refused):
        gone += some
    for error in refused.values():
        raise error  # the first one; the others are gone
    return gone
