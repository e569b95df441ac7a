"""An application: the handlers of some modules, and what is declared around them.

It is found by looking at what stands at the top of the modules: handlers, routers, lifespans,
middleware and hooks; nothing is registered anywhere while a module is imported.
"""

from collections.abc import Iterable
from typing import Any

from worker.app.events import Hook
from worker.app.lifespan import Lifespan
from worker.app.listener import Listener
from worker.app.middleware import Middleware
from worker.app.options import Handler
from worker.app.router import Router


class Application(list[Handler[..., Any]]):
    """The handlers, in order of their declaration, each once.

    Attributes:
        lifespans, middleware, hooks, listeners: in the order of their declaration, each once.
    """

    def __init__(self, handlers: Iterable[Handler[..., Any]] = ()) -> None:
        super().__init__(handlers)
        self.lifespans: list[Lifespan] = []
        self.middleware: list[Middleware] = []
        self.hooks: list[Hook] = []
        self.listeners: list[Listener] = []

    def add(self, values: Iterable[object]) -> bool:
        """Take what is a declaration among the values; returns whether there was a handler, or a
        listener.

        A handler or listener that a router of the same module holds counts as the router has it.
        """
        found = list(values)
        routers = [value for value in found if isinstance(value, Router)]
        grouped = [one for router in _outermost(routers) for one in router]
        functions = {one.function for one in grouped}
        single = [
            value
            for value in found
            if isinstance(value, Handler) and value.function not in functions
        ]
        for one in (*single, *grouped):
            if not any(_same(one, known) for known in self):
                self.append(one)
        heard = [one for router in _outermost(routers) for one in router.listeners]
        functions = {one.function for one in heard}
        alone = [
            value
            for value in found
            if isinstance(value, Listener) and value.function not in functions
        ]
        for listener in (*alone, *heard):
            if listener not in self.listeners:
                self.listeners.append(listener)
        for value in found:
            if isinstance(value, Lifespan) and value not in self.lifespans:
                self.lifespans.append(value)
            elif isinstance(value, Middleware) and value not in self.middleware:
                self.middleware.append(value)
            elif isinstance(value, Hook) and value not in self.hooks:
                self.hooks.append(value)
        return bool(single or grouped or alone or heard)

    @classmethod
    def of(cls, *declarations: object) -> "Application":
        """Return an application of these declarations, as if they stood in one module."""
        application = cls()
        application.add(declarations)
        return application


def _outermost(routers: list[Router]) -> list[Router]:
    """Leave out routers that another one includes: their handlers come with that one's prefix."""
    inner = {id(one) for router in routers for one in router.within()}
    return [router for router in routers if id(router) not in inner]


def _same(one: Handler[..., Any], other: Handler[..., Any]) -> bool:
    return one.function is other.function and one.options.queue == other.options.queue
