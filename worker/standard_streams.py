"""The standard streams of a process that runs the code of others: they are open, and stay so.

A number that is free is given to the next file or socket. Were it that of a standard stream,
whatever prints would write into a link to OpenIAP, and whoever closes the stream once more would
close that link.

1. ``open_standard_streams``: those that were closed when the process began lead nowhere.
2. ``keep_standard_streams``: from now on they are known, so that they can be put back.
3. ``mend_standard_streams``: after a handler's run, and before a link is opened.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Mapping
from typing import Final

from worker.forks import blind, in_children

STREAMS: Final = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))


class _Kept:
    """Second descriptors of the standard streams, by the number of the first."""

    def __init__(self) -> None:
        self.seconds: dict[int, int] = {}
        self.mutex = threading.Lock()
        in_children(self, _Kept.forget)

    def forget(self) -> None:
        """In a forked child: one that closes its streams lets go of the parent's."""
        for second in self.seconds.values():
            blind(second)
        self.seconds = {}
        self.mutex = threading.Lock()


@functools.cache
def _kept() -> _Kept:
    return _Kept()


def open_standard_streams() -> None:
    """Let standard descriptors that are closed lead nowhere, before anything else is opened."""
    for _, number, _ in STREAMS:
        if not _is_open(number):
            # The lowest free number is given: this one, since those below it are open.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, _, _ in STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, _stream(name))


def keep_standard_streams() -> None:
    """Remember where the standard streams lead now."""
    open_standard_streams()
    kept = _kept()
    for second in kept.seconds.values():
        os.close(second)
    kept.seconds = {number: os.dup(number) for _, number, _ in STREAMS}


def mend_standard_streams() -> bool:
    """Put back what was closed since ``keep_standard_streams``, if that was called; whether
    anything was. What leads elsewhere meanwhile stays: that may be meant. Usable from threads."""
    kept = _kept()
    if not kept.seconds:
        return False
    # One after another: each would take a number from the other's hand for a moment.
    with kept.mutex:
        return _mended(kept.seconds)


def _mended(seconds: Mapping[int, int]) -> bool:
    mended = False
    for number, second in seconds.items():
        if _is_open(number):
            continue
        # Not dup2, which would take the number from a file that another thread has just opened.
        with contextlib.suppress(OSError):  # the second one was closed as well
            opened = os.dup(second)
            if opened == number:
                os.set_inheritable(opened, True)
                mended = True
            else:
                os.close(opened)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and getattr(stream, "closed", False):
            fresh = _stream(name)
            setattr(sys, name, fresh)
            setattr(sys, f"__{name}__", fresh)
            mended = True
    return mended


def _is_open(number: int) -> bool:
    try:
        os.get_inheritable(number)
    except OSError:
        return False
    return True


def _stream(name: str) -> object:
    number, mode = next((number, mode) for one, number, mode in STREAMS if one == name)
    return open(
        number,
        mode,
        encoding="utf-8",
        errors="backslashreplace" if name == "stderr" else "replace",
        buffering=1,
        closefd=False,
    )
