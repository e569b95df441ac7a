"""Everything that commands work with, put together once per server."""

from collections import Counter
from dataclasses import dataclass

from worker.localserver.operations.documents import Documents
from worker.localserver.operations.messages import MessageQueues
from worker.localserver.operations.options import ServerOptions
from worker.localserver.operations.queries import Queries
from worker.localserver.operations.queues import Queues
from worker.localserver.operations.replies import Replies
from worker.localserver.operations.users import Users
from worker.localserver.operations.watches import Watches
from worker.localserver.operations.workitems import Cycle
from worker.localserver.storage.changes import Changes
from worker.localserver.storage.document_table import DocTable
from worker.localserver.storage.files import Files
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.store import Store


@dataclass
class House:
    """The rooms of one local server."""

    options: ServerOptions
    store: Store
    replies: Replies
    users: Users
    documents: Documents
    queries: Queries
    items: ItemTable
    queues: Queues
    cycle: Cycle
    files: Files
    messages: MessageQueues
    watches: Watches
    changes: Changes
    stats: Counter[str]

    def now(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        return int(self.options.clock() * 1000)


def build(options: ServerOptions) -> House:
    """Open the data and put the rooms together.

    Raises:
        sqlite3.Error: the data cannot be opened.
    """
    store = Store(options.data)
    changes = Changes()
    table = DocTable(store)
    items = ItemTable(store)
    files = Files(store, table)
    queues = Queues(store, table, changes)
    queries = Queries(table, items)
    house = House(
        options=options,
        store=store,
        replies=Replies(store, options.log),
        users=Users(store, table),
        documents=Documents(store, table, items, files, queries, changes),
        queries=queries,
        items=items,
        queues=queues,
        cycle=Cycle(items, queues, files, changes),
        files=files,
        messages=MessageQueues(),
        watches=Watches(changes),
        changes=changes,
        stats=Counter(),
    )
    files.drop_leftovers()
    return house
