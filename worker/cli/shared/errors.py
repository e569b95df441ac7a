"""Errors as people read them: one sentence, what to do, and an exit code. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from worker.errors import HandlerError, SettingsError, WorkerError
from worker.management.errors import ValidationError, named
from worker.openiap.errors import (
    AccessDenied,
    ItemNotFound,
    NotConnected,
    OpenIAPError,
    QueueNotFound,
    RequestTimeout,
)

FAILED: Final = 1
USAGE_ERROR: Final = 2


class CommandError(Exception):
    """What a command tells people before it ends.

    Args:
        text: one sentence, and what to do.
        code: the exit code: 1 it did not work, 2 wrong use or settings.
    """

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.text: Final = text
        self.code: Final = code


def usage_error(text: str) -> CommandError:
    """Return the problem of a command that was called wrongly."""
    return CommandError(text, USAGE_ERROR)


def no_queue(name: str) -> str:
    """Return the sentence for a queue that is not there, or not for this user."""
    return (
        f"There is no queue {named(name)}, or this user has no rights on it. Names are"
        " case-sensitive; see: openiap-worker queues list."
    )


def no_item(id: str) -> str:
    """Return the sentence for an item that is not there, or not for this user."""
    return f"There is no item {named(id)}, or this user has no rights on it."


def explain(error: Exception) -> CommandError:
    """Return what to show for an error."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, SettingsError | HandlerError):
        return usage_error(str(error))
    if isinstance(error, OpenIAPError):
        return CommandError(_of_openiap(error))
    if isinstance(error, ValidationError):
        return usage_error(error.message)
    if isinstance(error, WorkerError):
        return CommandError(str(error))
    if getattr(error, "title", "").endswith(("Payload", "Filter")) and hasattr(error, "errors"):
        return usage_error(_of_payload(error.errors()[0]))  # pydantic's, which is not loaded here
    if isinstance(error, OSError) and error.strerror:
        # The machine's: a full disk, no more descriptors, an output that takes nothing.
        what = error.filename if isinstance(error.filename, str) else "Input or output"
        return CommandError(f"{what}: {error.strerror}.")
    return CommandError(
        f"Unexpected {type(error).__name__}: {error}."
        " This is a bug: run the command again with --debug and report what it shows."
    )


def _of_payload(found: Mapping[str, Any]) -> str:
    """Say what is wrong with a part of what was asked."""
    part = ".".join(map(str, found["loc"]))
    said = str(found["msg"])
    return f"{part} = {named(str(found['input']))}: {said[:1].lower()}{said[1:]}."


def _of_openiap(error: OpenIAPError) -> str:
    text = " ".join(error.text.split()).rstrip(".")
    if isinstance(error, QueueNotFound):
        return f"{text}. Either there is no such queue, or this user has no rights on it."
    if isinstance(error, ItemNotFound):
        return no_item(error.item_id) if error.item_id else f"{text}."
    if isinstance(error, AccessDenied):
        return f"OpenIAP refused {error.operation or 'that'}: {text}. See: openiap-worker doctor."
    if isinstance(error, NotConnected | RequestTimeout):
        return f"OpenIAP did not answer {error.operation or 'a call'}: {text}."
    where = f"OpenIAP, {error.operation}: " if error.operation else "OpenIAP: "
    return f"{where}{text}."
