"""``@on_message`` and ``@on_change``: functions for what comes beside items.

Nothing of it is kept: OpenIAP hands a message over once, and a change is told while somebody
watches. What must not be lost is pushed as an item.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from worker.app.parameters import Parameter, named_types
from worker.errors import HandlerError, name_of
from worker.openiap.client import Client
from worker.openiap.types import QueueEvent, WatchEvent
from worker.producer.producer import Producer
from worker.producer.topics import Message, checked_patterns
from worker.state.state import State

Kind = Literal["queue", "exchange", "topics", "change"]
Algorithm = Literal["direct", "fanout", "topic", "header"]
Source = Literal["data", "event", "client", "state", "producer", "resource"]
INJECTED: Final[Mapping[Any, Source]] = {
    QueueEvent: "event",
    WatchEvent: "event",
    Message: "event",
    Client: "client",
    State: "state",
    Producer: "producer",
}
ALLOWED: Final = (
    "the data (one parameter), QueueEvent, WatchEvent or Message, Client, State, Producer, or what"
    " a lifespan provides"
)


@dataclass(frozen=True, slots=True)
class Listener:
    """A function and what it listens to; calling it just runs the function.

    Attributes:
        kind: what it listens to; of the fields below those of that kind are set.
        concurrency: how many calls run at once; with 1 they run one after the other.
    """

    function: Callable[..., Any]
    kind: Kind
    queue: str = ""
    exchange: str = ""
    algorithm: Algorithm = "fanout"
    routingkey: str = ""
    topics: tuple[str, ...] = ()
    collection: str = ""
    paths: tuple[str, ...] = ()
    concurrency: int = 1

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function."""
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """``module.function``."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @property
    def place(self) -> str:
        """What it listens to, for log lines."""
        match self.kind:
            case "queue":
                return f"message queue {self.queue}"
            case "exchange":
                return f"exchange {self.exchange}"
            case "topics":
                return f"topics {', '.join(self.topics)}"
            case _:
                return f"changes in {self.collection}"


@dataclass(frozen=True, slots=True)
class Told:
    """How to call a listener.

    Attributes:
        listener: the declaration.
        parameters: what is filled.
        data: reads the data; None where the function does not ask for it, or for a type of it.
    """

    listener: Listener
    parameters: tuple[Parameter[Source], ...]
    data: TypeAdapter[Any] | None = field(default=None, repr=False)

    def arguments(
        self, event: QueueEvent | WatchEvent | Message, others: Mapping[Any, Any]
    ) -> dict[str, Any]:
        """Return the keyword arguments for one call.

        Args:
            others: by type: ``Client``, ``State``, ``Producer`` and what lifespans provide.

        Raises:
            ValueError: the data does not fit; the text names the fields.
        """
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.source == "event":
                values[parameter.name] = event
            elif parameter.source == "data":
                values[parameter.name] = self._read(event)
            else:
                values[parameter.name] = others[parameter.kind]
        return values

    def _read(self, event: QueueEvent | WatchEvent | Message) -> Any:
        data = event.document if isinstance(event, WatchEvent) else event.data
        if self.data is None:
            return data
        try:
            return self.data.validate_python(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "the data"
            raise ValueError(f"{where}: {first['msg']}") from None


def told_of(listener: Listener, resources: frozenset[Any] = frozenset()) -> Told:
    """Read a listener's parameters.

    Args:
        resources: the types that the application's lifespans provide.

    Raises:
        HandlerError: a parameter that nothing fits, or two for the data.
    """
    name = listener.name
    hints = named_types(listener.function, f"Listener {name}")
    parameters: list[Parameter[Source]] = []
    adapter: TypeAdapter[Any] | None = None
    for parameter in inspect.signature(listener.function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise HandlerError(
                f"Listener {name}: parameter {parameter.name} cannot be filled; allowed: {ALLOWED}."
            )
        kind = hints.get(parameter.name, Any)
        source = _source(kind, resources)
        if source == "data":
            if any(known.source == "data" for known in parameters):
                if parameter.default is not parameter.empty:
                    continue
                raise HandlerError(
                    f"Listener {name}: parameter {parameter.name} cannot be filled, as another one"
                    f" takes the data; allowed: {ALLOWED}."
                )
            adapter = _adapter(kind, name, parameter.name)
        parameters.append(Parameter(parameter.name, source, kind))
    return Told(listener, tuple(parameters), adapter)


def _source(kind: Any, resources: frozenset[Any]) -> Source:
    try:
        return INJECTED.get(kind) or ("resource" if kind in resources else "data")
    except TypeError:  # an annotation may hold a list
        return "data"


def _adapter(kind: Any, name: str, parameter: str) -> TypeAdapter[Any] | None:
    if kind is Any or kind is object:
        return None
    try:
        return TypeAdapter(kind)
    except Exception as error:  # pydantic's, or of a type's own code
        raise HandlerError(
            f"Listener {name}: parameter {parameter} cannot be validated by pydantic:"
            f" {(str(error) or repr(error)).splitlines()[0].rstrip('.')}."
        ) from error


def on_message(
    queue: str = "",
    *,
    exchange: str = "",
    algorithm: Algorithm = "fanout",
    routingkey: str = "",
    topics: Sequence[str] = (),
    concurrency: int = 1,
) -> Callable[[Callable[..., Any]], Listener]:
    """Call a function, async or plain, with each message::

        @on_message(topics=["orders.*.paid"])
        async def note(order: Order, state: State) -> None: ...

    It is registered after every sign-in of the worker, and ended when the worker stops. A result
    other than None answers a message that asks for an answer.

    Args:
        queue: a message queue of OpenIAP: of all that listen there one gets a message.
        exchange, algorithm, routingkey: an exchange: every worker gets each message.
        topics: patterns of topics, as ``producer.publish`` sends to: every worker gets each message
            once.
        concurrency: how many calls run at once; with 1 one after the other, as the client hands
            them over. Plain functions run in threads.

    Raises:
        HandlerError: not one of the three, or what is not allowed in it.
    """
    for option, value in (("queue", queue), ("exchange", exchange), ("routingkey", routingkey)):
        if not isinstance(value, str):
            raise HandlerError(f"on_message: {option} = {value!r}; allowed: a text.")
    asked: dict[Kind, object] = {"queue": queue, "exchange": exchange, "topics": topics}
    given = [kind for kind, value in asked.items() if value]
    if len(given) != 1:
        raise HandlerError(
            f"on_message: {' and '.join(given) or 'nothing'} to listen to; allowed: one of a queue,"
            " exchange= and topics=."
        )
    if algorithm not in get_args(Algorithm):
        allowed = ", ".join(map(repr, get_args(Algorithm)))
        raise HandlerError(f"on_message: algorithm = {algorithm!r}; allowed: {allowed}.")
    try:
        patterns = checked_patterns(topics) if topics else ()
    except (TypeError, ValueError) as error:
        raise HandlerError(f"on_message: {error}.") from None

    def declared(function: Callable[..., Any]) -> Listener:
        return Listener(
            _function(function, "on_message"),
            given[0],
            queue=queue,
            exchange=exchange,
            algorithm=algorithm,
            routingkey=routingkey,
            topics=patterns,
            concurrency=_concurrency(concurrency, "on_message"),
        )

    return declared


def on_change(
    collection: str, *, paths: Sequence[str] = (), concurrency: int = 1
) -> Callable[[Callable[..., Any]], Listener]:
    """Call a function, async or plain, with each document of a collection that changes::

        @on_change("invoices", paths=["$[?(@.state == 'paid')]"])
        async def paid(invoice: Invoice) -> None: ...

    Every worker is told of each change; what changes while no link is there is told to nobody.

    Args:
        collection: its name.
        paths: JSONPaths that a document is to fit one of; none is every document.
        concurrency: as for ``on_message``.

    Raises:
        HandlerError: what is not allowed.
    """
    if not isinstance(collection, str) or not collection:
        raise HandlerError(f"on_change: collection = {collection!r}; allowed: a name.")
    if isinstance(paths, str | bytes) or not isinstance(paths, Sequence):
        raise HandlerError(f"on_change: paths = {paths!r}; allowed: a list of JSONPaths.")
    for path in paths:
        if not isinstance(path, str):
            raise HandlerError(f"on_change: paths: {path!r}; allowed: a JSONPath, as a text.")

    def declared(function: Callable[..., Any]) -> Listener:
        return Listener(
            _function(function, "on_change"),
            "change",
            collection=collection,
            paths=tuple(paths),
            concurrency=_concurrency(concurrency, "on_change"),
        )

    return declared


def _function(function: Any, what: str) -> Callable[..., Any]:
    if isinstance(function, Listener):
        raise HandlerError(f"{what}: {function.name} listens already; write a function for each.")
    if not inspect.isfunction(function) and not inspect.ismethod(function):
        raise HandlerError(f"{what}: {name_of(function)} is no function.")
    return function


def _concurrency(given: int, what: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise HandlerError(f"{what}: concurrency = {given!r}; allowed: 1 and more.")
    return given
