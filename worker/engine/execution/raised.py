"""What a handler raised, made fit to leave it."""

from datetime import datetime

from worker.errors import ApplicationError
from worker.item.error_chain import members
from worker.item.error_text import text_of
from worker.item.long_work import Asleep


def as_raised(error: BaseException, name: str) -> BaseException:
    """Return an error that may travel through the worker's loop, or the word that the item falls
    asleep; one beside other errors counts for nothing.

    Args:
        error: what the handler raised.
        name: the handler's, for the text.
    """
    if isinstance(error, Asleep):
        return error
    if isinstance(error, BaseExceptionGroup) and not isinstance(error, Exception):
        asleep, others = error.split(Asleep)
        if asleep is not None and others is None:
            return min((one for one in members(error) if isinstance(one, Asleep)), key=_until)
        return as_exception(error if others is None else others, name)
    return as_exception(error, name)


def _until(asleep: Asleep) -> datetime:
    return asleep.until


def as_exception(error: BaseException, name: str) -> Exception:
    """Return an error that may travel through the worker's loop.

    ``SystemExit`` and its like would end the worker, a ``CancelledError`` would look like the
    worker's own, and a ``StopIteration`` cannot leave a coroutine.

    Args:
        error: what the handler raised.
        name: the handler's, for the text.
    """
    if isinstance(error, BaseExceptionGroup) and not isinstance(error, Exception):
        inside = [as_exception(one, name) for one in members(error)]
        group = ExceptionGroup(error.message, inside)
        group.__cause__, group.__context__ = error.__cause__, error.__context__
        group.__suppress_context__ = error.__suppress_context__
        return group.with_traceback(error.__traceback__)
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    text = text_of(error).strip()
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    application = ApplicationError(f"{name} raised {shown}")
    return application.with_traceback(error.__traceback__)
