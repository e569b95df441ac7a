"""The handlers of one worker: modules by name in, one handler per queue out."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

from worker.app.application import Application
from worker.app.modules import load_module, shown
from worker.app.options import Handler
from worker.app.signature import Signature, signature_of
from worker.errors import HandlerError


@dataclass(frozen=True, slots=True)
class Registered:
    """A handler and how to call it."""

    handler: Handler[..., Any]
    signature: Signature

    @property
    def name(self) -> str:
        """``module.function``."""
        return self.handler.name

    @property
    def queue(self) -> str:
        """The work item queue it works."""
        return self.handler.options.queue


class Registry:
    """Handlers by queue name."""

    def __init__(
        self, handlers: Sequence[Handler[..., Any]], *, resources: frozenset[Any] = frozenset()
    ) -> None:
        """Check and keep the handlers.

        Args:
            handlers: those of an ``Application`` may ask for what its lifespans provide.
            resources: further types that are provided.

        Raises:
            HandlerError: two handlers for one queue, or a signature that cannot be filled.
        """
        self._by_queue: dict[str, Registered] = {}
        if isinstance(handlers, Application):
            resources |= {one.provides for one in handlers.lifespans}
        for found in handlers:
            queue = found.options.queue
            other = self._by_queue.get(queue)
            if other is not None:
                raise HandlerError(
                    f"Queue {queue} has two handlers: {_told_apart(other.handler, found)};"
                    " only one can work it."
                )
            signature = signature_of(found.function, name=found.name, resources=resources)
            self._by_queue[queue] = Registered(found, signature)

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._by_queue.values())

    def __len__(self) -> int:
        return len(self._by_queue)

    def for_queue(self, queue: str) -> Registered:
        """Return the handler of a queue.

        Raises:
            HandlerError: none; the text names the queues that have one.
        """
        try:
            return self._by_queue[queue]
        except KeyError:
            known = ", ".join(sorted(self._by_queue)) or "none"
            raise HandlerError(f"No handler for queue {queue}; queues with one: {known}.") from None

    def moved(self, queue: str) -> "Registry":
        """Return a registry whose only handler works another queue."""
        (registered,) = self
        options = replace(registered.handler.options, queue=queue)
        moved = Registry(())
        moved._by_queue = {
            queue: Registered(Handler(registered.handler.function, options), registered.signature)
        }
        return moved

    def only(self, queues: Sequence[str]) -> "Registry":
        """Return a registry of these queues alone; () keeps all.

        Raises:
            HandlerError: a queue without a handler.
        """
        if not queues:
            return self
        chosen = Registry(())
        chosen._by_queue = {queue: self.for_queue(queue) for queue in dict.fromkeys(queues)}
        return chosen


def chosen(registry: Registry, queues: Sequence[str]) -> Registry:
    """Return the handlers for the queues asked for.

    One handler and one queue are meant for each other whatever the handler's own queue is called:
    that is how OpenIAP's agents set a package to work (agent.md, ``wiq``).

    Raises:
        HandlerError: no handlers at all, or a queue without one.
    """
    if not len(registry):
        raise HandlerError("No handlers: name their modules with --handlers MODULE.")
    if len(registry) == 1 and len(queues) == 1:
        return registry.moved(queues[0])
    return registry.only(queues)


def _told_apart(one: Handler[..., Any], other: Handler[..., Any]) -> str:
    names = [one.name, other.name]
    if one.name == other.name:  # of two files that bear one name
        names = [f"{h.name} in {inspect.getsourcefile(h.function)}" for h in (one, other)]
    return " and ".join(names)


def load_modules(names: Sequence[str], *, folder: Path | None = None) -> Application:
    """Import modules and return the handlers that they hold, with what is declared around them.

    Args:
        names: dotted module names, or paths (``worker/app/modules.py``).
        folder: made importable, and where names and paths begin; the working directory by default.

    Raises:
        HandlerError: no module named, one that does not import (with its error and line), or one
            without handlers.
    """
    if not names:
        raise HandlerError(
            "No handlers: name their modules with --handlers MODULE, or in the setting handlers."
        )
    try:
        where = (folder or Path.cwd()).resolve()
    except OSError as error:
        raise HandlerError(f"The working directory cannot be used: {error.strerror}.") from error
    invalidate_caches()  # files may be newer than what Python remembers of their folder
    found = Application()
    for name in names:
        module = load_module(name, where)
        try:
            some = found.add(vars(module).values())
        except HandlerError as error:
            raise HandlerError(f"Module {shown(name)}: {error}") from error
        if not some:
            raise HandlerError(
                f"Module {shown(name)} has no handlers; mark functions with @handler(QUEUE)."
            )
    return found
