"""What Python's own ``logging`` says, where nobody set it up, as lines of the worker.

Libraries and asyncio warn through it. Its handler of last resort would write bare texts to stderr,
without level or time and unmasked, between lines that machines read. A program that gives its
loggers handlers is left alone.
"""

import logging
from typing import Final

from worker.item.item import ItemLog
from worker.telemetry.log import A_WHILE
from worker.telemetry.printed import log_here

REPEATING: Final = ("opentelemetry.",)
"""How the names of loggers begin that speak at every try, as exporters do while their collector is
away: they are heard once in a while."""


class StandardLogging(logging.Handler):
    """Takes what no handler took, warnings and worse; shape: ``start``, ``stop``.

    Args:
        log: says what is said where no item is worked; else the item's own does.
    """

    def __init__(self, log: ItemLog) -> None:
        super().__init__(logging.WARNING)
        self._log: Final = log
        self._before: logging.Handler | None = None
        self._stopped = True
        self._quiet_until: dict[str, float] = {}

    def start(self) -> None:
        """Stand in the place of the handler of last resort."""
        if logging.lastResort is not self:
            self._before, logging.lastResort = logging.lastResort, self
        self._stopped = False

    def stop(self) -> None:
        """Put back what stood there, unless another one has come since: that one does it then."""
        self._stopped = True
        if logging.lastResort is self:
            before = self._before
            while isinstance(before, StandardLogging) and before._stopped:
                before = before._before
            logging.lastResort = before

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line."""
        try:
            text = self.format(record)
        except Exception:  # arguments that do not fit the text
            text = str(record.msg)
        if self._said_lately(record):
            return
        log = log_here(self._log)
        say = log.error if record.levelno >= logging.ERROR else log.warn
        say(text, logger=record.name)

    def _said_lately(self, record: logging.LogRecord) -> bool:
        """Return whether a logger that repeats itself has said something within a while."""
        if not record.name.startswith(REPEATING):
            return False
        due = self._quiet_until.get(record.name, 0.0)
        if record.created < due:
            return True
        self._quiet_until[record.name] = record.created + A_WHILE
        return False
