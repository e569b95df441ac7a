"""The loaded library: its functions, their callbacks, and the calls in flight.

1. Loads the library once per process and declares every function that is used.
2. Holds one callback per function for as long as the process lives; the library may call it from
   its own threads at any time.
3. Routes each answer by ``request_id`` to the call that waits for it, and frees the native memory.
4. Keeps the connections alive that are open, and closes them before the interpreter ends: a
   callback into an interpreter that is going away crashes the process.
"""

import atexit
import contextlib
import ctypes
import functools
import itertools
import threading
import time
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, byref
from typing import Any, Final, Protocol

from worker.forks import in_children
from worker.openiap.errors import IN_A_CHILD, NotConnected, Unsupported
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.functions import NativeFunction
from worker.openiap.official.platform import library_path, prepare_environment
from worker.openiap.official.scratch import ScratchFolder

DRAIN_SECONDS: Final = 2.0
LAST_CALLBACKS_SECONDS: Final = 0.05
"""For threads of the library that are just coming into Python or leaving it: one that comes back to
an interpreter that has ended aborts the process, and on a busy machine it may be held up."""
_MAX_ID: Final = 2**31 - 1


class Route(Protocol):
    """Who waits for an answer. Called on the library's threads: hand over and return."""

    handle: int

    def answered(self, value: Any) -> None:
        """The call succeeded."""

    def refused(self, text: str) -> None:
        """The call failed; ``text`` is what the library said."""


EventRoute = Callable[[Any], None]


class Library:
    """The functions of the official library, callable and routed."""

    def __init__(self, path: str) -> None:
        try:
            self._dll = ctypes.CDLL(path)
            # Without letting go of the interpreter: releasing memory waits for nobody, and getting
            # the interpreter back, in a callback, takes longer than the rest of it.
            self._releasing = ctypes.PyDLL(path)
        except OSError as error:
            raise Unsupported(
                f"the official library does not load: {error}", operation="connect"
            ) from error
        self._ids = itertools.count(1)
        self._routes: dict[int, Route] = {}
        self._events: dict[int, EventRoute] = {}
        self._closers: dict[int, Callable[[], None]] = {}
        self._idle: dict[str, list[int]] = {}
        self._lock = threading.Lock()
        self._callbacks: dict[str, Any] = {}
        self._inside: set[int] = set()
        for name, result, arguments in functions.PLAIN:
            function = getattr(self._dll, name)
            function.restype = result
            function.argtypes = list(arguments)
        self._watch_event = abi.WATCH_EVENT_CALLBACK(self.within(self._watch_changed))
        self._queue_event = abi.QUEUE_EVENT_CALLBACK(self.within(self._queue_received))
        self._exchange_event = abi.EXCHANGE_EVENT_CALLBACK(self.within(self._queue_received))
        atexit.register(self._close_all)
        self._of_the_parent: set[int] = set()
        in_children(self, Library._in_a_child)

    def plain(self, name: str, *arguments: Any) -> Any:
        """Call a function that answers on this thread (and may block it)."""
        return getattr(self._dll, name)(*arguments)

    def start(
        self,
        function: NativeFunction,
        route: Route,
        *arguments: Any,
        tail: tuple[Any, ...] = (),
        events: EventRoute | None = None,
    ) -> int:
        """Start a call; ``route`` is told later, on another thread.

        Args:
            arguments: what stands between the client and the callback. A structure is given its
                ``request_id``; without one the id is the last argument, as the library wants it.
            tail: what stands after the callback.
            events: what is told of the events that the call asks for.

        Returns:
            The request's id.
        """
        if route.handle in self._of_the_parent:
            raise NotConnected(IN_A_CHILD)
        number = self.next_id()
        self._routes[number] = route
        if events is not None:
            self._events[number] = events
        first = arguments[0] if arguments else None
        if isinstance(first, ctypes.Structure):
            first.request_id = number
            arguments = (byref(first), *arguments[1:])
        else:
            arguments = (*arguments, number)
        invoke, callback = self._bound(function)
        try:
            invoke(route.handle, *arguments, callback, *tail)
        except BaseException:
            self._routes.pop(number, None)
            raise
        return number

    def _in_a_child(self) -> None:
        """In a forked child: the parent's connections are the parent's. The threads that would
        answer are missing here; one of the child's own brings its own."""
        atexit.unregister(self._close_all)
        self._of_the_parent = {*self._closers, *(h for used in self._idle.values() for h in used)}
        for kept in (self._routes, self._events, self._closers, self._idle, self._inside):
            kept.clear()
        self._lock = threading.Lock()

    def next_id(self) -> int:
        """Return an id that no call in flight has."""
        number = next(self._ids) % _MAX_ID
        return number if number and number not in self._routes else self.next_id()

    def listen(self, number: int, route: EventRoute) -> None:
        """Send the events of a watch or a queue, registered under ``number``, to ``route``."""
        self._events[number] = route

    def unlisten(self, number: int) -> None:
        """Forget a watch or a queue."""
        self._events.pop(number, None)

    @property
    def watch_event(self) -> Any:
        """The callback for every watch."""
        return self._watch_event

    @property
    def queue_event(self) -> Any:
        """The callback for every message queue; its C result is null, always.

        The library keeps every other result for ever, and would answer the message itself.
        """
        return self._queue_event

    @property
    def exchange_event(self) -> Any:
        """The callback for every exchange."""
        return self._exchange_event

    def borrow(self, address: str) -> int:
        """Return a native client for ``address``: a used one where there is one, else a new one.

        The library frees neither a client nor its threads, but connecting a used client again
        replaces its threads. One that was never connected can go anywhere, one that was only where
        it has been.
        """
        with self._lock:
            for key in (address, ""):
                if self._idle.get(key):
                    return self._idle[key].pop()
        return int(self.plain("create_client"))

    def opened(self, handle: int, close: Callable[[], None]) -> None:
        """Have ``close`` called before the interpreter ends."""
        self._closers[handle] = close

    def release(self, handle: int, address: str | None) -> None:
        """Close a native client and wait until its calls have come back.

        ``free_client`` cancels the calls in flight and leaves the memory alone, so a thread that is
        still inside the library does no harm.

        Args:
            address: where it can be used again ("" anywhere), None for nowhere.
        """
        self._closers.pop(handle, None)
        self.plain("free_client", handle)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._in_flight(handle) and time.monotonic() < deadline:
            time.sleep(0.002)
        for number in self._in_flight(handle):
            self._routes.pop(number, None)
        if address is not None:
            with self._lock:
                self._idle.setdefault(address, []).append(handle)

    def _in_flight(self, handle: int) -> list[int]:
        return [number for number, route in list(self._routes.items()) if route.handle == handle]

    def _close_all(self) -> None:
        """Leave no thread of the library inside Python, or on its way in.

        One that asks for the interpreter after its end is unwound through the library's frames,
        which aborts the process ("FATAL: exception not rethrown").
        """
        for close in list(self._closers.values()):
            with contextlib.suppress(Exception):  # each must be tried, whatever another one did
                close()
        deadline = time.monotonic() + DRAIN_SECONDS
        time.sleep(LAST_CALLBACKS_SECONDS)
        while self._inside and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(LAST_CALLBACKS_SECONDS)

    def within(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Wrap what the library calls, so that the end of the process can wait for it."""
        inside = self._inside

        def entered(pointer: Any) -> None:
            me = threading.get_ident()
            inside.add(me)
            try:
                callback(pointer)
            finally:
                inside.discard(me)

        return entered

    def _bound(self, function: NativeFunction) -> tuple[Any, Any]:
        found = self._callbacks.get(function.symbol)
        if found is None:
            kind = CFUNCTYPE(None, POINTER(function.response))
            invoke = getattr(self._dll, function.symbol)
            invoke.restype = None
            invoke.argtypes = [ctypes.c_void_p, *function.arguments, kind, *function.tail]
            found = invoke, kind(self.within(self._receiver(function)))
            self._callbacks[function.symbol] = found
        return found

    def _receiver(self, function: NativeFunction) -> Callable[[Any], None]:
        free = getattr(self._releasing, function.free)
        free.restype = None
        free.argtypes = [ctypes.c_void_p]
        routes = self._routes

        def receive(pointer: Any) -> None:
            response = pointer[0]
            route = routes.pop(response.request_id, None)
            freeable = function.may_free(response)
            if route is None:
                if freeable:
                    free(pointer)
                return
            try:
                if response.success:
                    value = function.decode(response)
                    text = None
                else:
                    text = (response.error or b"").decode("utf-8", "replace")
            except Exception as error:  # nothing may escape into the library
                text = f"the answer cannot be read: {error!r}"
            finally:
                if freeable:
                    free(pointer)
            if text is None:
                route.answered(value)
            else:
                route.refused(text)

        return receive

    def _watch_changed(self, pointer: Any) -> None:
        native = pointer[0]
        fields = (native.id, native.operation, native.document)
        number = native.request_id
        self.plain("free_watch_event", pointer)
        self._notify(number, fields)

    def _queue_received(self, pointer: Any) -> None:
        native = pointer[0]
        fields = (
            native.queuename,
            native.correlation_id,
            native.replyto,
            native.routingkey,
            native.exchangename,
            native.data,
        )
        number = native.request_id
        self.plain("free_queue_event", pointer)
        self._notify(number, fields)

    def _notify(self, number: int, fields: tuple[bytes | None, ...]) -> None:
        route = self._events.get(number)
        if route is not None:
            route(tuple((field or b"").decode("utf-8", "replace") for field in fields))


_loading: Final = threading.Lock()


@functools.cache
def _loaded() -> Library:
    return Library(str(library_path()))


@functools.cache
def scratch_folder() -> ScratchFolder:
    """Return the folder for the library's temporary files: one per process, as the library is."""
    return ScratchFolder()


def load_library(*, vendor_telemetry: bool = False, metric_url: str = "") -> Library:
    """Return the library, loaded at the first call.

    There is one per process because the loaded file is one per process, with callbacks that must
    outlive every connection.

    Raises:
        Unsupported: it is not installed, or there is none for this platform.
    """
    with _loading:
        # Each time: the library looks when it connects, and somebody may have tidied up since.
        prepare_environment(vendor_telemetry=vendor_telemetry, metric_url=metric_url)
        scratch_folder().use()
        return _loaded()
