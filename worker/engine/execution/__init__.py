"""How a handler is run: on the loop, in a thread, or in a process of its own.

Every handler has one ``Executor``; ``make_executor`` makes it. The contract of ``run`` stands in
``call.py`` and is the same for all three kinds.
"""

from worker.engine.execution.call import Executor, HandlerCall
from worker.engine.execution.executor import make_executor

__all__ = ["Executor", "HandlerCall", "make_executor"]
