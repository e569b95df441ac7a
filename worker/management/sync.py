"""The same for blocking code: scripts, notebooks, views of Django or Flask.

    from worker import sync
    from worker.management.sync import Items

    with sync.connect() as openiap:
        page = Items(openiap).get_plist(ItemsGetPListPayload())

A thread of its own holds the connection and an event loop; see ``worker.sync``. What a service
calls back, like ``on_progress``, is called in that thread. Arguments, types and errors of each
method are those of the service's own.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from worker.engine.scheduler.timetable import Fireable
from worker.item.history import USUAL
from worker.management.items.service import Items as AsyncItems
from worker.management.queues.breakers import Breakers as AsyncBreakers
from worker.management.queues.service import Queues as AsyncQueues
from worker.management.schedules.service import Schedules as AsyncSchedules
from worker.management.workers.service import DEAD_AFTER
from worker.management.workers.service import Workers as AsyncWorkers
from worker.producer.producer import Checks
from worker.producer.sync import OpenIAP

__all__ = ["Breakers", "Items", "Queues", "Schedules", "Workers"]

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")


class Blocking(Generic[S]):
    """A service, and the connection that waits for what its methods return."""

    def __init__(self, openiap: OpenIAP, service: S) -> None:
        self._openiap = openiap
        self._service = service


def blocking(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[S], P], T]:
    """Return a service's method as one that blocks."""

    @wraps(method)
    def call(self: Blocking[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._openiap.wait(method(self._service, *args, **kwargs))

    return call


class Items(Blocking[AsyncItems]):
    """``worker.management.Items``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
        contracts, history, namespace: as there.
    """

    def __init__(
        self,
        openiap: OpenIAP,
        *,
        contracts: Checks | None = None,
        history: int = USUAL,
        namespace: str = "",
    ) -> None:
        client = openiap.present_client()
        items = AsyncItems(client, contracts=contracts, history=history, namespace=namespace)
        super().__init__(openiap, items)

    get_one = blocking(AsyncItems.get_one)
    get_history = blocking(AsyncItems.get_history)
    get_list = blocking(AsyncItems.get_list)
    get_plist = blocking(AsyncItems.get_plist)
    get_count = blocking(AsyncItems.get_count)
    get_groups = blocking(AsyncItems.get_groups)
    retry_one = blocking(AsyncItems.retry_one)
    signal_one = blocking(AsyncItems.signal_one)
    cancel_one = blocking(AsyncItems.cancel_one)
    delete_one = blocking(AsyncItems.delete_one)
    create_one = blocking(AsyncItems.create_one)
    create_batch = blocking(AsyncItems.create_batch)
    update_one = blocking(AsyncItems.update_one)
    move_one = blocking(AsyncItems.move_one)
    preview_batch = blocking(AsyncItems.preview_batch)
    retry_batch = blocking(AsyncItems.retry_batch)
    cancel_batch = blocking(AsyncItems.cancel_batch)
    delete_batch = blocking(AsyncItems.delete_batch)
    move_batch = blocking(AsyncItems.move_batch)
    update_batch = blocking(AsyncItems.update_batch)
    create_indexes = blocking(AsyncItems.create_indexes)


class Queues(Blocking[AsyncQueues]):
    """``worker.management.Queues``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
    """

    def __init__(self, openiap: OpenIAP) -> None:
        super().__init__(openiap, AsyncQueues(openiap.present_client()))

    get_one = blocking(AsyncQueues.get_one)
    get_list = blocking(AsyncQueues.get_list)
    get_plist = blocking(AsyncQueues.get_plist)
    get_count = blocking(AsyncQueues.get_count)
    get_counts = blocking(AsyncQueues.get_counts)
    create_one = blocking(AsyncQueues.create_one)
    update_one = blocking(AsyncQueues.update_one)
    delete_one = blocking(AsyncQueues.delete_one)
    purge_one = blocking(AsyncQueues.purge_one)
    preview_delete = blocking(AsyncQueues.preview_delete)
    preview_purge = blocking(AsyncQueues.preview_purge)
    pause_one = blocking(AsyncQueues.pause_one)
    resume_one = blocking(AsyncQueues.resume_one)


class Breakers(Blocking[AsyncBreakers]):
    """``worker.management.Breakers``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
    """

    def __init__(self, openiap: OpenIAP) -> None:
        super().__init__(openiap, AsyncBreakers(openiap.present_client()))

    get_list = blocking(AsyncBreakers.get_list)
    get_plist = blocking(AsyncBreakers.get_plist)
    update_one = blocking(AsyncBreakers.update_one)


class Workers(Blocking[AsyncWorkers]):
    """``worker.management.Workers``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
        dead_after, namespace: as there.
    """

    def __init__(
        self, openiap: OpenIAP, *, dead_after: float = DEAD_AFTER, namespace: str = ""
    ) -> None:
        client = openiap.present_client()
        workers = AsyncWorkers(client, dead_after=dead_after, namespace=namespace)
        super().__init__(openiap, workers)

    get_one = blocking(AsyncWorkers.get_one)
    get_list = blocking(AsyncWorkers.get_list)
    get_plist = blocking(AsyncWorkers.get_plist)
    get_hour = blocking(AsyncWorkers.get_hour)
    get_hour_of_all = blocking(AsyncWorkers.get_hour_of_all)
    steer_one = blocking(AsyncWorkers.steer_one)
    steer_batch = blocking(AsyncWorkers.steer_batch)


class Schedules(Blocking[AsyncSchedules]):
    """``worker.management.Schedules``, with calls that block; each raises what that one raises.

    Args:
        openiap: connected.
        namespace: of the workers that bring them.
        entries: as there.
    """

    def __init__(
        self,
        openiap: OpenIAP,
        *,
        namespace: str = "",
        entries: Sequence[Fireable] | None = None,
    ) -> None:
        client = openiap.present_client()
        super().__init__(openiap, AsyncSchedules(client, namespace=namespace, entries=entries))

    get_list = blocking(AsyncSchedules.get_list)
    get_one = blocking(AsyncSchedules.get_one)
    get_plist = blocking(AsyncSchedules.get_plist)
    pause_one = blocking(AsyncSchedules.pause_one)
    resume_one = blocking(AsyncSchedules.resume_one)
    fire_one = blocking(AsyncSchedules.fire_one)
