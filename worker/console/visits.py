"""The open pages, and whose they are.

1. A page belongs to the session that opened it. When that ends, for whatever reason, the page goes
   to the sign-in within a second, which says why and leads back; nothing that the page sends is
   done any more. A session that is about to end is told of before, on each of its pages.
2. What a page looks at ends with it.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import count
from math import ceil
from time import time
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from nicegui import Client as Browser

from worker.console.live.readers import Readers
from worker.console.live.services import Services
from worker.console.live.topics import Joined, Seen, Topic
from worker.console.parts.times import duration
from worker.management.api.access import READ_ONLY
from worker.management.api.api import Api
from worker.management.api.sessions import Session
from worker.management.errors import AppError, ForbiddenError, UnauthorizedError, from_openiap
from worker.openiap.errors import OpenIAPError

WARNS_BEFORE: Final = 120.0
"""Seconds before its end in which a session's pages tell of it."""
SIGN_IN: Final = "/sign-in"
UNUSED_AFTER: Final = 20.0
"""Seconds until a page is forgotten that no browser came back for."""
COLLECT_AFTER: Final = 5
"""Rounds of looking after which closed pages give their memory back: they are circles of objects,
which a process that runs for long seldom looks for (``worker/runloop.py``)."""
LOOK_EVERY: Final = 1.0
"""Seconds until an open page notices that its session has ended."""
INSIDE: Final = "Something went wrong inside; the log says what."
T = TypeVar("T")
Undo = Callable[[], Awaitable[None]]
Notify = Callable[[str, str, Undo | None], None]


class Visit:
    """One open page.

    Attributes:
        session: whose it is.
        query: what stands in its address.
        notify: shows a sentence for a while; show_away: shows one, "" for none, while OpenIAP is
            away; show_end: shows one, "" for none, while the session is about to end, and whether
            using it would keep it. The page's frame sets them.
    """

    def __init__(
        self,
        browser: Browser,
        session: Session,
        query: Mapping[str, str],
        api: Api,
        readers: Readers,
    ) -> None:
        self.browser: Final = browser
        self.session: Final = session
        self.query: Final = query
        self.api: Final = api
        self.notify: Notify = lambda text, kind, undo: None
        self.show_away: Callable[[str], None] = lambda text: None
        self.show_end: Callable[[str, bool], None] = lambda text, keeps: None
        self._readers = readers
        self._looking: list[Callable[[], None]] = []
        self._topics: list[Topic[Any] | Joined[Any]] = []
        self._away: dict[Topic[Any] | Joined[Any], str] = {}
        self._over = False
        self._ending = ""
        self.was_linked = False
        browser.on_connect(self._link)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be changed here."""
        return self.api.options.read_only

    @property
    def is_over(self) -> bool:
        """Whether the page is closed, or nobody is signed in there any more."""
        return self._over

    def look(
        self, topic: Topic[T] | Joined[T], show: Callable[[Seen[T]], None]
    ) -> Callable[[], None]:
        """Show a topic from now on, inside this page, whenever it is told anew.

        Returns:
            What ends that before the page is closed.
        """

        def told(seen: Seen[T]) -> None:
            if self._over:
                return
            try:
                with self.browser:
                    self._note_away(topic, seen)
                    show(seen)
            except Exception as error:  # one page's mistake stays with it
                self.api.log.failed(f"console: showing {topic.key[0]}", error)

        leave = self._readers.of(self.session.key).look(topic, told, self)
        self._looking.append(leave)
        self._topics.append(topic)
        return leave

    async def first(self, within: float) -> None:
        """Wait until all that is looked at is known, no longer than so many seconds."""
        reader = self._readers.of(self.session.key)
        waits = [asyncio.create_task(reader.first(topic)) for topic in self._topics]
        if not waits:
            return
        _, open_ = await asyncio.wait(waits, timeout=within)
        for wait in open_:
            wait.cancel()

    async def ask(self, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
        """Ask for something once, at once.

        Raises:
            AppError: it is not there, refused, or OpenIAP is away.
        """
        self.api.calls.take(self.session.user.id)
        try:
            return await work(await self._readers.of(self.session.key).services())
        except OpenIAPError as error:
            raise from_openiap(error) from error

    async def do(self, what: str, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T | None:
        """Change something for the user, and show in one sentence what went wrong.

        Args:
            what: for the log: "retry item 6123…".
            work: does it.

        Returns:
            What the work returned; None where it was not done.
        """
        try:
            return await self.done(what, work)
        except AppError as error:
            self.tell(error.message, "error")
        return None

    async def done(self, what: str, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
        """Do the same, and raise what went wrong.

        Raises:
            AppError: it was not done, and why.
        """
        if self.read_only:
            raise ForbiddenError(READ_ONLY)
        if self._over or not self.api.sessions.use(self.session):
            raise UnauthorizedError("Nobody is signed in here any more.")
        self.api.log.info(f"console: {what}", user=self.session.user.username)
        try:
            found = await self.ask(work)
        except AppError:
            raise
        except Exception as error:
            self.api.log.failed(f"console: {what}", error)
            raise AppError(INSIDE) from error
        self._readers.of(self.session.key).changed()
        return found

    def tell(self, text: str, kind: str = "done", undo: Undo | None = None) -> None:
        """Show a sentence for some seconds.

        Args:
            text: the sentence.
            kind: ``done`` or ``error``.
            undo: takes back what was done; there is a button for it then.
        """
        if not self._over:
            with self.browser:
                self.notify(text, kind, undo)

    def _link(self) -> None:
        self.was_linked = True

    def _note_away(self, topic: Topic[Any] | Joined[Any], seen: Seen[Any]) -> None:
        before = any(self._away.values())
        self._away[topic] = seen.text if seen.trouble in ("away", "inside") else ""
        text = next((one for one in self._away.values() if one), "")
        if text or before:
            self.show_away(text)

    def leave(self) -> None:
        """Look at nothing any more; idempotent."""
        self._over = True
        for leave in self._looking:
            leave()
        self._looking.clear()
        self._topics.clear()
        self._away.clear()

    def tell_of_end(self, *, idle: float, left: float) -> None:
        """Say that the session is about to end, or that it is not any more.

        Args:
            idle: seconds until it ends unless it is used.
            left: until it ends whatever is done.
        """
        words, keeps = "", idle < left
        if min(idle, left) < WARNS_BEFORE:
            spent = self.api.options.limits.idle if keeps else self.api.options.limits.longest
            since = "nobody has done anything here" if keeps else "you have signed in"
            words = (
                f"You are signed out in {_minutes(min(idle, left))}: it is then"
                f" {duration(spent)} since {since}."
            )
        if words != self._ending and not self._over:
            self._ending = words
            with self.browser:
                self.show_end(words, keeps)

    def to_sign_in(self) -> None:
        """Send the page to the sign-in, which says why and leads back."""
        if not self._over:
            why = self.api.sessions.why_over(self.session) or "ended"
            self.leave()
            path = _path_of(self.browser)
            query = {"ended": why} | ({} if path == "/" else {"to": path})
            self.browser.open(f"{SIGN_IN}?{urlencode(query)}")


class Visits:
    """All open pages; shape: ``start``, ``stop``."""

    def __init__(self, api: Api, readers: Readers) -> None:
        self._api = api
        self._readers = readers
        self._found: dict[str, Visit] = {}
        self._looking: asyncio.Task[None] | None = None
        self._closed = 0

    def __len__(self) -> int:
        return len(self._found)

    def begin(self, browser: Browser, session: Session, query: Mapping[str, str]) -> Visit:
        """Take note of a page that is opened."""
        visit = Visit(browser, session, query, self._api, self._readers)
        self._found[browser.id] = visit
        browser.on_delete(lambda: self._end(browser.id))
        return visit

    def find(self, browser: str) -> Visit | None:
        """Return the page with this id."""
        return self._found.get(browser)

    async def start(self) -> None:
        """Begin to look for sessions that have ended."""
        self._looking = asyncio.create_task(self._look(), name="console sessions")

    async def stop(self) -> None:
        """Close all pages here; what they look at ends."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        for id in tuple(self._found):
            self._end(id)
        await self._readers.stop()

    def look(self) -> None:
        """Send pages whose session has ended to the sign-in, and forget those that were left before
        they were linked."""
        sessions = self._api.sessions
        for visit in tuple(self._found.values()):
            browser, session = visit.browser, visit.session
            if not sessions.holds(session):
                visit.to_sign_in()
                continue
            visit.tell_of_end(idle=sessions.idle_left(session), left=sessions.left(session))
            if not visit.was_linked and time() - browser.created > UNUSED_AFTER:
                browser.delete()

    async def _look(self) -> None:
        for number in count(1):
            await asyncio.sleep(LOOK_EVERY)
            if self._closed and not number % COLLECT_AFTER:
                self._closed = 0
                gc.collect()
            try:
                self.look()
            except Exception as error:  # whatever it is, the next round comes
                self._api.log.failed("console: looking for ended sessions", error)

    def _end(self, id: str) -> None:
        visit = self._found.pop(id, None)
        if visit is not None:
            visit.leave()
            self._closed += 1


def _path_of(browser: Browser) -> str:
    request = browser.request
    if request is None:
        return "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _minutes(seconds: float) -> str:
    whole = max(1, ceil(seconds / 60))
    return "a minute" if whole == 1 else f"{whole} minutes"
