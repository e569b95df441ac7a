"""Pushes over the pipe, as data."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from worker.engine.execution.pipe import Message
from worker.item.new_item import Push
from worker.item.unique import Unique


def push_to_message(push: Push) -> Message:
    """Return a push as data for the other side."""
    return asdict(push) | {"nextrun": None if push.nextrun is None else push.nextrun.isoformat()}


def push_from_message(message: Mapping[str, Any]) -> Push:
    """Return the push of a message."""
    nextrun = message["nextrun"]
    at = None if nextrun is None else datetime.fromisoformat(nextrun)
    unique = message["unique"]
    return Push(
        **{
            **message,
            "nextrun": at,
            "files": tuple(message["files"]),
            "unique": None if unique is None else Unique(**unique),
        }
    )
