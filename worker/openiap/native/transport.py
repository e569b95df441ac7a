"""The shape that both transports have, and what they tell the session above them."""

from dataclasses import dataclass
from typing import Final, Protocol

HIGH_WATER: Final = 1024 * 1024
"""Bytes that may wait to be sent before ``drain`` waits."""


class Receiver(Protocol):
    """Who is told what a transport hears. Plain functions, called on the loop; none raises."""

    def heard(self) -> None:
        """Bytes came, whatever they are."""

    def received(self, body: bytes) -> None:
        """One whole envelope came."""

    def closed(self, reason: str) -> None:
        """The link is down, by whatever side; may be told more than once."""


class Transport(Protocol):
    """A link that carries encoded envelopes in order."""

    def send(self, body: bytes) -> None:
        """Queue one envelope; what is queued in one turn of the loop leaves together.

        On a closed link it does nothing: the receiver was told.
        """

    async def drain(self) -> None:
        """Wait until at most ``HIGH_WATER`` bytes wait to be sent, or the link is closed."""

    def pause_reading(self) -> None:
        """Take no more bytes from the link, so that the peer has to wait."""

    def resume_reading(self) -> None:
        """Go on reading."""

    def abort(self) -> None:
        """Drop the link at once."""

    async def close(self, timeout: float) -> None:
        """Send what is queued, close in peace, and drop it after ``timeout`` seconds."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that rule the link; tests shorten them.

    Attributes:
        silence: without any sign of life for this long the link is taken for dead. OpenIAP
            pings only those who ask for it at the sign-in; after two thirds of it, the client asks
            by itself.
        first_wait, longest_wait: bounds of the growing, jittered waits between attempts.
        attempt: one whole attempt to connect and sign in again.
        config: the request for ``/config``.
        close: a peaceful close.
    """

    silence: float = 30.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    attempt: float = 30.0
    config: float = 5.0
    close: float = 0.5
