"""When a cron expression ticks in a time zone, as moments in UTC. Pure.

The expression is the parser's (cronsim, which reads it as Debian's cron does), on a clock without a
time zone; what the zone makes of that clock is decided here, by Debian's rule:

1. An expression whose minute and hour are both given (neither begins with ``*``) runs once for each
   time that it names. What falls into an hour that is skipped runs once, at the moment of the
   change; in an hour that comes twice it runs the first time only.
2. Any other follows the clock on the wall: nothing in an hour that is skipped, and twice in one
   that comes twice.

With six fields the first one is the seconds.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

ALLOWED: Final = (
    "five fields (minute, hour, day of month, month, day of week), or six with seconds first"
)
DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)
LOOK_BACK: Final = timedelta(minutes=1)
FARTHER: Final = 8
ANY: Final = datetime(2000, 1, 1)


class Cron:
    """One expression in one time zone; the same ticks wherever and whenever they are asked for.

    Args:
        expression: five fields, or six.
        tz: an IANA name, as ``Europe/Copenhagen``.

    Raises:
        ValueError: not an expression, one that never ticks, or an unknown time zone; the text is a
            sentence that names the value and what is allowed.
    """

    def __init__(self, expression: str, tz: str = "UTC") -> None:
        self.expression: Final = expression
        self.tz: Final = tz
        self.zone: Final = _zone(tz)
        _check(expression)
        fields = expression.split()
        minute, hour = fields[-5], fields[-4]
        self._named = not minute.startswith("*") and not hour.startswith("*")

    def after(self, moment: datetime) -> datetime:
        """Return the first tick after a moment.

        Raises:
            LookupError: there is none in the next 50 years.
        """
        try:
            return next(self._walk(moment))
        except StopIteration:
            raise LookupError(f"{self.expression!r} does not tick after {moment}") from None

    def ticks(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Go through the ticks after a moment, up to another and including it."""
        for tick in self._walk(after):
            if tick > until:
                return
            yield tick

    def last(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """Return the last ticks, at most so many, after a moment and up to another.

        It looks back from the end, farther each time, so that it costs what it finds and not what
        lies between.
        """
        span = LOOK_BACK
        while True:
            start = max(after, until - span)
            found = deque(self.ticks(start, until), maxlen=most)
            if len(found) >= most or start <= after:
                return list(found)
            span *= FARTHER

    def _walk(self, after: datetime) -> Iterator[datetime]:
        """Go through all ticks after a moment: stretch by stretch in which the zone's distance to
        UTC stays, since within one a clock on the wall simply goes on."""
        now = after.astimezone(UTC).replace(tzinfo=None)
        clear = now
        offset = self._offset(now)
        start = now + offset
        while True:
            change: datetime | None = None
            wall = start
            for wall in CronSim(self.expression, start):
                tick = wall - offset
                if tick > clear:
                    clear, change = self._clear(clear, tick, offset)
                if change is not None and change <= tick:
                    break
                if not (self._named and self._again(tick)):
                    yield tick.replace(tzinfo=UTC)
            if change is None:
                return
            offset = self._offset(change)
            start = change + offset
            if self._named and wall < start:
                yield change.replace(tzinfo=UTC)  # what was skipped; start itself is that moment
            else:
                start -= SECOND  # the stretch's first moment may tick
            clear = change

    def _clear(
        self, known: datetime, tick: datetime, offset: timedelta
    ) -> tuple[datetime, datetime | None]:
        """Look on, day by day, until a moment is passed or the offset changes.

        Returns:
            Until when the offset is known to stay, and the first moment of another one.
        """
        while known < tick:
            far = known + DAY
            if self._offset(far) != offset:
                return known, self._change(known, far, offset)
            known = far
        return known, None

    def _change(self, near: datetime, far: datetime, offset: timedelta) -> datetime:
        near = near.replace(microsecond=0)
        while far - near > SECOND:
            middle = near + timedelta(seconds=int((far - near).total_seconds()) // 2)
            if self._offset(middle) == offset:
                near = middle
            else:
                far = middle
        return far.replace(microsecond=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.replace(tzinfo=UTC).astimezone(self.zone).utcoffset() or timedelta(0)

    def _again(self, moment: datetime) -> bool:
        """Whether a clock on the wall shows this for the second time."""
        return moment.replace(tzinfo=UTC).astimezone(self.zone).fold == 1


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise ValueError(
            f"tz = {name!r} is not a known time zone; allowed: names like 'Europe/Copenhagen',"
            " or 'UTC'"
        ) from None


def _check(expression: str) -> None:
    if not isinstance(expression, str):
        raise ValueError(f"{expression!r} is no cron expression; allowed: {ALLOWED}")
    try:
        found = CronSim(expression, ANY)
    except CronSimError as error:
        if _fits_some_month(expression):
            raise ValueError(f"{expression!r} never fires: no month has such a day") from None
        reason = str(error)
        reason = reason[:1].lower() + reason[1:]
        raise ValueError(
            f"{expression!r} is no cron expression ({reason}); allowed: {ALLOWED}"
        ) from None
    if next(found, None) is None:
        raise ValueError(f"{expression!r} never fires: it has no tick within 50 years")


def _fits_some_month(expression: str) -> bool:
    """Whether only the month stands in the way of the day."""
    fields = expression.split()
    if len(fields) not in (5, 6):
        return False
    fields[-2] = "*"
    try:
        CronSim(" ".join(fields), ANY)
    except CronSimError:
        return False
    return _month_alone(expression.split()[-2])


def _month_alone(month: str) -> bool:
    try:
        CronSim(f"0 0 1 {month} *", ANY)
    except CronSimError:
        return False
    return True
