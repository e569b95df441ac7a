"""Everything that commands work with, put together once per server."""

from collections import Counter
from dataclasses import dataclass

from worker.localserver.changes import Changes
from worker.localserver.cycle import Cycle
from worker.localserver.doctable import DocTable
from worker.localserver.documents import Documents
from worker.localserver.files import Files
from worker.localserver.itemtable import ItemTable
from worker.localserver.messages import MessageQueues
from worker.localserver.options import ServerOptions
from worker.localserver.queries import Queries
from worker.localserver.queues import Queues
from worker.localserver.replies import Replies
from worker.localserver.store import Store
from worker.localserver.users import Users
from worker.localserver.watches import Watches


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
