"""What Python's own ``logging`` says, where nobody set it up, as lines of the worker.

Libraries and asyncio warn through it. Its handler of last resort would write bare texts to stderr,
without level or time and unmasked, between lines that machines read. A program that gives its
loggers handlers is left alone.
"""

import logging
from typing import Final

from worker.telemetry.log import Log


class StandardLogging(logging.Handler):
    """Takes what no handler took, warnings and worse; shape: ``start``, ``stop``."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log: Final = log
        self._before: logging.Handler | None = None
        self._stopped = True

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
        say = self._log.error if record.levelno >= logging.ERROR else self._log.warn
        say(text, logger=record.name)
