"""What a handler raised, made fit to leave it."""

from worker.errors import ApplicationError


def as_exception(error: BaseException, name: str) -> Exception:
    """Return an error that may travel through the worker's loop.

    ``SystemExit`` and its like would end the worker, a ``CancelledError`` would look like the
    worker's own, and a ``StopIteration`` cannot leave a coroutine.

    Args:
        error: what the handler raised.
        name: the handler's, for the text.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    text = str(error).strip()
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    application = ApplicationError(f"{name} raised {shown}")
    return application.with_traceback(error.__traceback__)
