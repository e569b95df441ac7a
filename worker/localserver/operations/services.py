"""Everything that commands work with, put together once per server."""

import random
from collections import Counter

from worker.localserver.operations.agents import Agents
from worker.localserver.operations.collections import Collections
from worker.localserver.operations.contention import PopLoop
from worker.localserver.operations.documents import Documents
from worker.localserver.operations.messages import MessageQueues
from worker.localserver.operations.options import ServerOptions
from worker.localserver.operations.queries import Queries
from worker.localserver.operations.queues import Queues
from worker.localserver.operations.replies import Replies
from worker.localserver.operations.roles import Roles
from worker.localserver.operations.sign_ins import SignIns
from worker.localserver.operations.users import Users
from worker.localserver.operations.watches import Watches
from worker.localserver.operations.workitems import WorkItems
from worker.localserver.storage.change_feed import ChangeFeed
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.files import Files
from worker.localserver.storage.item_table import ItemTable
from worker.localserver.storage.store import Store


class Services:
    """What the commands of one local server work with.

    Attributes:
        stats: how often what happened, by name.
    """

    def __init__(self, options: ServerOptions) -> None:
        """Open the data and put everything together.

        Raises:
            sqlite3.Error: the data cannot be opened.
        """
        self.options = options
        self.store = Store(options.data)
        self.changes = ChangeFeed()
        self.item_table = ItemTable(self.store)
        table = DocumentTable(self.store)
        self.files = Files(self.store, table)
        self.files.drop_leftovers()
        self.roles = Roles(self.store, table)
        self.users = Users(self.store, table, self.roles)
        self.sign_ins = SignIns(self.users)
        self.queues = Queues(self.store, table, self.changes, self.roles, strict=options.strict)
        self.queries = Queries(table, self.item_table)
        self.collections = Collections(self.store, table, self.queries)
        self.collections.make_anew()
        self.documents = Documents(
            self.collections,
            table,
            self.item_table,
            self.files,
            self.queries,
            self.changes,
            self.queues,
            self.roles,
        )
        self.agents = Agents(self.documents, self.queries, self.users)
        self.workitems = WorkItems(self.item_table, self.queues, self.files, self.changes)
        self.messages = MessageQueues()
        self.watches = Watches(self.changes, self.roles, options.log, strict=options.strict)
        self.replies = Replies(self.store, options.log)
        self.stats: Counter[str] = Counter()
        self.pop_loop = PopLoop(self.workitems, self.now, self.stats, random.Random())  # noqa: S311

    @property
    def chains(self) -> bool:
        """Whether targets of chains count that come over the protocol, and are told there."""
        return not (self.options.strict or self.options.faults.ignore_item_chains)

    def now(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        return int(self.options.clock() * 1000)
