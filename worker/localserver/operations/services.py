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
from worker.localserver.operations.workitems import WorkItems
from worker.localserver.storage.change_feed import ChangeFeed
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.files import Files
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.store import Store


@dataclass
class Services:
    """What the commands of one local server work with."""

    options: ServerOptions
    store: Store
    replies: Replies
    users: Users
    documents: Documents
    queries: Queries
    item_table: ItemTable
    queues: Queues
    workitems: WorkItems
    files: Files
    messages: MessageQueues
    watches: Watches
    changes: ChangeFeed
    stats: Counter[str]

    def now(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        return int(self.options.clock() * 1000)


def open_services(options: ServerOptions) -> Services:
    """Open the data and put everything together.

    Raises:
        sqlite3.Error: the data cannot be opened.
    """
    store = Store(options.data)
    changes = ChangeFeed()
    table = DocumentTable(store)
    items = ItemTable(store)
    files = Files(store, table)
    queues = Queues(store, table, changes)
    queries = Queries(table, items)
    services = Services(
        options=options,
        store=store,
        replies=Replies(store, options.log),
        users=Users(store, table),
        documents=Documents(store, table, items, files, queries, changes),
        queries=queries,
        item_table=items,
        queues=queues,
        workitems=WorkItems(items, queues, files, changes),
        files=files,
        messages=MessageQueues(),
        watches=Watches(changes),
        changes=changes,
        stats=Counter(),
    )
    files.drop_leftovers()
    return services
