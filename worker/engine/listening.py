"""Listeners at work: what ``@on_message`` and ``@on_change`` declare, registered, called, drained.

1. Each is registered over the worker's client, which registers it again after every sign-in. What
   the server refuses is asked for again, and the worker goes on meanwhile.
2. A call has a log context of its own and counts by its listener's name, never as an item.
3. Quiet, all are unregistered; calls that run are waited for, then cancelled. A thread cannot be
   cancelled: it is left behind.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.app.lifespan import Lifespans
from worker.app.listener import Listener, Told, told_of
from worker.errors import HandlerError
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.threads import DaemonThreads
from worker.openiap.types import QueueEvent, WatchEvent
from worker.producer.producer import Producer, current_producer
from worker.producer.sender import ClientSender
from worker.producer.topics import Message, Topics
from worker.state.current import CurrentState, current_state, waiting_for
from worker.state.state import State
from worker.telemetry.log import Log
from worker.telemetry.metrics import PREFIX

FIRST: Final = 10.0
"""Seconds that the start waits for registrations; what takes longer goes on beside the work."""
AGAIN: Final = 30.0
LETTING_GO: Final = 5.0
MESSAGES: Final = f"{PREFIX}_messages"
RUNNING: Final = f"{PREFIX}_messages_running"
RESULTS: Final = ("done", "failed", "misfit")

Event = QueueEvent | WatchEvent | Message
End = Callable[[], Awaitable[None]]


class Listening(Collector):
    """The listeners of one worker; verbs: ``start``, ``quiet``, ``stop``.

    Args:
        listeners: as they were declared.
        client: the worker's, which keeps what is registered.
        producer: what a ``Producer`` parameter gets, and what pushes in a listener go by.
        resources: by type, for what lifespans provide; filled before ``start``.

    Raises:
        HandlerError: a parameter that cannot be filled.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        *,
        types: frozenset[Any],
        client: Client,
        producer: Producer,
        resources: Mapping[Any, Any],
        namespace: str,
        log: Log,
    ) -> None:
        self._told = [told_of(listener, types) for listener in listeners]
        self._client = client
        self._producer = producer
        self._resources = resources
        self._topics = Topics(client, namespace)
        self._log = log
        self._ends: list[End] = []
        self._registering: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[Any], str] = {}
        self._threads = DaemonThreads("openiap listener")
        self._quiet = False
        self._hurried = asyncio.Event()
        self._counts: Counter[tuple[str, str]] = Counter()

    async def start(self) -> None:
        """Register all, as far as that does not take too long."""
        for told in self._told:
            task = asyncio.create_task(self._register(told), name=f"listen {told.listener.name}")
            self._registering.add(task)
            task.add_done_callback(self._registering.discard)
        if self._registering:
            await asyncio.wait(tuple(self._registering), timeout=FIRST)

    async def quiet(self) -> None:
        """Take nothing new; what runs goes on."""
        if self._quiet:
            return
        self._quiet = True
        for task in tuple(self._registering):
            task.cancel()
        try:
            async with asyncio.timeout(LETTING_GO):
                await asyncio.gather(*(end() for end in self._ends), return_exceptions=True)
        except TimeoutError:
            pass  # they go with the link
        self._ends.clear()

    def hurry(self) -> None:
        """Do not wait for what runs."""
        self._hurried.set()

    async def stop(self, drain: float = 0.0, cancel: float = 1.0) -> None:
        """End; calls that run have ``drain`` seconds to finish, and ``cancel`` to be cancelled."""
        await self.quiet()
        if self._running:
            ended = asyncio.gather(*self._running, return_exceptions=True)
            hurried = asyncio.create_task(self._hurried.wait())
            either: set[asyncio.Future[Any]] = {ended, hurried}
            await asyncio.wait(either, timeout=drain, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
        left = tuple(self._running)
        for task in left:
            task.cancel()
        if left:
            self._log.warn(f"{len(left)} calls of listeners did not end in time and are cancelled")
            await asyncio.wait(left, timeout=cancel)
        self._threads.close()

    async def _register(self, told: Told) -> None:
        listener = told.listener
        while True:
            try:
                await self._registered(told)
            except OpenIAPError as error:
                self._log.error(
                    f"listener {listener.name} cannot listen to {listener.place} ({error.text});"
                    f" it is asked for again in {AGAIN:g} s"
                )
                await asyncio.sleep(AGAIN)
            else:
                self._log.info(f"listener {listener.name} listens to {listener.place}")
                return

    async def _registered(self, told: Told) -> None:
        listener, client = told.listener, self._client
        turns = asyncio.Semaphore(listener.concurrency)

        async def call(event: Event) -> Any:
            return await self._called(told, turns, event)

        match listener.kind:
            case "queue":
                name = await client.register_queue(listener.queue, call)
                self._ends.append(lambda: client.unregister_queue(name))
            case "exchange":
                name = await client.register_exchange(
                    listener.exchange,
                    call,
                    algorithm=listener.algorithm,
                    routingkey=listener.routingkey,
                )
                self._ends.append(lambda: client.unregister_queue(name))
            case "topics":
                subscription = await self._topics.subscribe(listener.topics, call)
                self._ends.append(subscription.unsubscribe)
            case _:
                id = await client.watch(listener.collection, listener.paths, call)
                self._ends.append(lambda: client.unwatch(id))

    async def _called(self, told: Told, turns: asyncio.Semaphore, event: Event) -> Any:
        """Call a listener; returns what it returns, or None where it failed.

        What still comes while it is being unregistered is worked: the server has handed it over.
        """
        name = told.listener.name
        task = asyncio.create_task(self._run(told, turns, event), name=f"listener {name}")
        self._running[task] = name
        task.add_done_callback(lambda done: self._running.pop(done, None))
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    async def _run(self, told: Told, turns: asyncio.Semaphore, event: Event) -> Any:
        name = told.listener.name
        async with turns:
            others = {
                **self._resources,
                Client: self._client,
                Producer: self._producer,
            }
            try:
                arguments = told.arguments(event, others)
            except ValueError as error:
                self._counts[name, "misfit"] += 1
                self._log.error(f"message does not fit: {error}", listener=name)
                return None
            began = time.monotonic()
            try:
                result = await self._result(told.listener.function, arguments)
            except Exception as error:  # the user's code; it costs this message alone
                self._counts[name, "failed"] += 1
                self._log.error(f"message failed: {type(error).__name__}: {error}", listener=name)
                return None
            self._counts[name, "done"] += 1
            seconds = f"{time.monotonic() - began:.3f}"
            self._log.verbose("message done", listener=name, seconds=seconds)
            return result

    async def _result(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        current_producer.set(self._producer)
        state = self._resources.get(State)
        if state is not None:
            current_state.set(CurrentState(state, waiting_for(loop)))
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        context = copy_context()
        result = await self._threads.run(lambda: context.run(function, **arguments))
        return await result if inspect.isawaitable(result) else result

    def collect(self) -> Iterable[Metric]:
        """Return the numbers for ``/metrics``."""
        if not self._told:
            return
        family = CounterMetricFamily(
            MESSAGES, "Messages and changes that listeners took.", labels=["listener", "result"]
        )
        running = GaugeMetricFamily(
            RUNNING, "Calls of listeners that run or wait for their turn.", labels=["listener"]
        )
        now = Counter(self._running.copy().values())
        for told in self._told:
            name = told.listener.name
            for result in RESULTS:
                family.add_metric([name, result], self._counts[name, result])
            running.add_metric([name], now[name])
        yield family
        yield running


def check_queues(listeners: Sequence[Listener], own: str = "") -> None:
    """Refuse two listeners on one message queue: each message would go to one of them.

    Args:
        own: the message queue that wakes the worker.

    Raises:
        HandlerError: there are.
    """
    known: dict[str, Listener] = {}
    for listener in listeners:
        if listener.kind != "queue":
            continue
        queue = listener.queue.lower()
        if queue == own.lower():
            raise HandlerError(
                f"Listener {listener.name}: message queue {listener.queue} wakes this worker (the"
                " setting queue); listen to another one."
            )
        other = known.setdefault(queue, listener)
        if other is not listener:
            raise HandlerError(
                f"Message queue {listener.queue} has two listeners: {other.name} and"
                f" {listener.name}; only one can take a message."
            )


def listening_for(
    listeners: Sequence[Listener],
    lifespans: Lifespans,
    *,
    client: Client,
    namespace: str,
    log: Log,
) -> Listening:
    """Return what serves the listeners of one worker, over its client."""
    producer = Producer(ClientSender(client, namespace), client=client, namespace=namespace)
    return Listening(
        listeners,
        types=lifespans.types,
        client=client,
        producer=producer,
        resources=lifespans.resources,
        namespace=namespace,
        log=log,
    )
