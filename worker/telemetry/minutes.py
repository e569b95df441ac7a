"""Minutes: what each queue did in each minute of the last hour, small enough to go with heartbeats.

1. A finished attempt costs two searches and three additions; all else is done when it is read.
2. Times are counted in buckets that are the same everywhere, each √2 times as long as the one
   before, so that those of a whole fleet can be added up and its percentiles read from the sum.
3. A queue's hour is one text: numbers of variable length, newest minute first, compressed. Where
   that is too long, buckets are thrown together, and at last the oldest minutes are left out.
4. Minutes count back from the moment of the writing, which the server stamps: no clock of this
   machine has a part in it.
"""

import base64
import binascii
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.item.outcome import Kind
from worker.openiap.fields import MOST, number, object_of, text_of
from worker.openiap.workitem import JsonObject
from worker.uptime import uptime

HOUR: Final = 60
"""Minutes."""
SHORTEST: Final = 0.001
"""Seconds; all that is shorter is one bucket."""
LAST_BUCKET: Final = 63
PER_QUEUE: Final = 2_500
"""Characters of one queue's hour."""
IN_ALL: Final = 20_000
LEAST: Final = 200
"""Characters that a queue has among however many others."""
COARSER: Final = (1, 2, 4, 8)
MOST_PLAIN: Final = 64_000
"""Bytes of an hour once it is unpacked; what is longer was written by no worker."""
MOST_QUEUES: Final = 1_000

_PLACE: Final[Mapping[str, int]] = {
    "successful": 0,
    "business": 1,
    "failed": 1,
    "application": 2,
    "released": 3,
}
Buckets = Counter[int]


def bucket_of(seconds: float) -> int:
    """Return the bucket of a time."""
    return bisect_left(_BOUNDS, seconds)


def bound_of(bucket: int) -> float:
    """Return the longest time of a bucket, in seconds."""
    return SHORTEST * float(2 ** (bucket / 2))


_BOUNDS: Final = tuple(bound_of(bucket) for bucket in range(LAST_BUCKET))
"""Of all but the last bucket, which has none."""


def quantile(buckets: Mapping[int, int], part: float) -> float | None:
    """Estimate a quantile in seconds, linear within its bucket; None where nothing was counted."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted, seen, bound = part * total, 0, 0.0
    for bucket in sorted(buckets):
        count, bound = buckets[bucket], bound_of(bucket)
        if count and seen + count >= wanted:
            low = bound_of(bucket - 1) if bucket else 0.0
            return low + (bound - low) * max(0.0, wanted - seen) / count
        seen += count
    return bound


@dataclass(slots=True)
class Minute:
    """One minute of a queue, or several added up.

    Attributes:
        successful, failed, retried, released: attempts that ended so.
        wait, run: how many took how long; see ``worker.telemetry.histograms.ItemTimes``.
    """

    successful: int = 0
    failed: int = 0
    retried: int = 0
    released: int = 0
    wait: Buckets = field(default_factory=Counter)
    run: Buckets = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        """How many attempts ended, those that were handed back left out."""
        return self.successful + self.failed + self.retried

    def add(self, other: "Minute") -> None:
        """Add what another one has."""
        self.successful += other.successful
        self.failed += other.failed
        self.retried += other.retried
        self.released += other.released
        self.wait.update(other.wait)
        self.run.update(other.run)


class Minutes:
    """The last hour of one worker.

    Args:
        clock: seconds that go on while the machine sleeps.
    """

    def __init__(self, clock: Callable[[], float] = uptime) -> None:
        self._clock = clock
        self._queues: dict[str, dict[int, Minute]] = {}
        self._told: dict[str, tuple[int, int, int, str]] = {}
        """By queue: in which minute, of how many attempts, how long it may be, and the text."""
        self._counted: Counter[str] = Counter()

    def count(self, queue: str, kind: Kind, wait: float | None, run: float | None) -> None:
        """Count an attempt that has ended.

        Args:
            kind: its outcome's.
            wait, run: seconds; None where they are not known.
        """
        place = _PLACE.get(kind)
        if place is None:
            return
        now = int(self._clock() // 60)
        minutes = self._queues.get(queue)
        if minutes is None:
            minutes = self._queues[queue] = {}
        minute = minutes.get(now)
        if minute is None:
            minute = minutes[now] = Minute()
            for old in [one for one in minutes if one <= now - HOUR]:
                del minutes[old]
        self._counted[queue] += 1
        if place == 0:
            minute.successful += 1
        elif place == 1:
            minute.failed += 1
        elif place == 2:
            minute.retried += 1
        else:
            minute.released += 1
            return
        if wait is not None:
            minute.wait[bucket_of(wait)] += 1
        if run is not None:
            minute.run[bucket_of(run)] += 1

    def told(self) -> JsonObject:
        """Return the hour as it goes with a heartbeat; {} where nothing was done."""
        clock = self._clock()
        now = int(clock // 60)
        busy = [queue for queue, minutes in self._queues.items() if max(minutes) > now - HOUR]
        most = max(LEAST, min(PER_QUEUE, IN_ALL // max(1, len(busy))))
        texts = {queue: self._text(queue, now, most) for queue in busy[:MOST_QUEUES]}
        return {"into": int(clock % 60), "queues": texts} if texts else {}

    def _text(self, queue: str, now: int, most: int) -> str:
        key = (now, self._counted[queue], most)
        known = self._told.get(queue)
        if known is None or known[:3] != key:
            minutes = self._queues[queue]
            hour = [minutes.get(now - ago) for ago in range(HOUR)]
            known = self._told[queue] = (*key, packed(hour, most))
        return known[3]


def packed(hour: Sequence[Minute | None], most: int = PER_QUEUE) -> str:
    """Write an hour as text.

    Args:
        hour: its minutes, newest first; None for nothing done.
        most: characters.
    """
    for step in COARSER:
        text = _text_of(_bytes_of(hour, step))
        if len(text) <= most:
            return text
    while len(hour) > 1:
        hour = hour[: max(1, min(len(hour) - 1, len(hour) * most // len(text)))]
        text = _text_of(_bytes_of(hour, COARSER[-1]))
        if len(text) <= most:
            return text
    return _text_of(_bytes_of(hour, LAST_BUCKET))


def unpacked(text: object) -> list[Minute | None] | None:
    """Read an hour, newest minute first; None for what is none. Never raises."""
    if not isinstance(text, str) or len(text) > PER_QUEUE:
        return None
    try:
        reader = zlib.decompressobj()
        plain = reader.decompress(base64.b64decode(text, validate=True), MOST_PLAIN)
    except (zlib.error, binascii.Error, ValueError):
        return None
    if not reader.eof:
        return None
    return _hour_of(plain)


def hours_of(told: object) -> tuple[int, dict[str, list[Minute | None]]]:
    """Read what ``Minutes.told`` wrote: the seconds into its newest minute, and the hours by queue.

    What does not fit is left out.
    """
    given = object_of(told)
    hours: dict[str, list[Minute | None]] = {}
    for queue, text in list(object_of(given.get("queues")).items())[:MOST_QUEUES]:
        hour = unpacked(text)
        if hour is not None and text_of(queue):
            hours[queue] = hour
    return min(59, max(0, number(given.get("into")))), hours


def together(minutes: Iterable[Minute | None]) -> Minute:
    """Add minutes up."""
    found = Minute()
    for minute in minutes:
        if minute is not None:
            found.add(minute)
    return found


def _bytes_of(hour: Sequence[Minute | None], step: int) -> bytes:
    out = bytearray()
    empty = 0
    for minute in hour:
        if minute is None:
            empty += 1
            continue
        if empty:
            _write(out, 0, empty)
            empty = 0
        counts = (minute.successful, minute.failed, minute.retried, minute.released)
        _write(out, 1, *counts)
        for buckets in (minute.wait, minute.run):
            _write_buckets(out, buckets, step)
    return bytes(out)


def _write_buckets(out: bytearray, buckets: Buckets, step: int) -> None:
    coarse: Buckets = Counter()
    for bucket, count in buckets.items():
        coarse[min(LAST_BUCKET, -(-bucket // step) * step)] += count
    _write(out, len(coarse))
    before = 0
    for bucket in sorted(coarse):
        _write(out, bucket - before, coarse[bucket])
        before = bucket


def _write(out: bytearray, *numbers: int) -> None:
    for value in numbers:
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)


def _text_of(plain: bytes) -> str:
    return base64.b64encode(zlib.compress(plain, 9)).decode("ascii")


class _Reader:
    def __init__(self, plain: bytes) -> None:
        self._plain = plain
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._plain)

    def next(self) -> int:
        """Read a number.

        Raises:
            ValueError: there is none, or one that is too large.
        """
        value = shift = 0
        while True:
            if self.ended or shift > 56:
                raise ValueError("no number")
            byte = self._plain[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if value > MOST:
            raise ValueError("a number that no worker counts to")
        return value

    def buckets(self) -> Buckets:
        """Read buckets.

        Raises:
            ValueError: there are none, or such as no worker has.
        """
        found: Buckets = Counter()
        bucket = 0
        for _ in range(self.next()):
            bucket += self.next()
            count = self.next()
            if bucket > LAST_BUCKET:
                raise ValueError("no bucket")
            found[bucket] += count
        return found


def _hour_of(plain: bytes) -> list[Minute | None] | None:
    reader = _Reader(plain)
    hour: list[Minute | None] = []
    try:
        while not reader.ended and len(hour) < HOUR:
            kind = reader.next()
            if kind == 0:
                hour += [None] * min(HOUR, reader.next())
            elif kind == 1:
                counts = (reader.next(), reader.next(), reader.next(), reader.next())
                hour.append(Minute(*counts, reader.buckets(), reader.buckets()))
            else:
                return None
    except ValueError:
        return None
    return hour[:HOUR]
