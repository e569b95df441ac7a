"""Facts: sentences about OpenIAP that can be asked, and what comes of asking."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from tests.conformance.ground import Ground

SEEN: Final = "seen on 1.5.10"
READ: Final = "source of 1.5.10"
DOCUMENTED: Final = "documented API"
PROMISED: Final = "README"

MINUTE: Final = 60.0

Probe = Callable[["Ground"], Awaitable[Any]]
Verdict = Literal["holds", "differs", "not asked", "no call"]
Need = Literal["second", "admin", "native"]
"""What a probe cannot do without: a second, ordinary user; that the first is an admin; the native
client, which alone can say what is asked."""


class CannotAsk(Exception):
    """This server, or this user on it, gives no way to ask; the text says why."""


class Differs(Exception):
    """What was waited for did not come; the text says what."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence about OpenIAP.

    Attributes:
        subject: the section of the page.
        sentence: what holds, for people.
        source: where the sentence comes from.
        expected: what the probe returns where it holds.
        probe: asks; returns JSON-like values.
        needs: what there must be to ask at all.
        once: a matter of the server alone: one client over one transport is enough.
        seconds: how long the probe may take, beside its turn.
        heavy: it starts processes: few of them at once.
        local: what the local server answers instead, and why, where it is another on purpose.
    """

    subject: str
    sentence: str
    source: str
    expected: Any
    probe: Probe
    needs: frozenset[Need] = frozenset()
    once: bool = False
    seconds: float = MINUTE
    local: tuple[Any, str] | None = None
    heavy: bool = False

    @property
    def name(self) -> str:
        """Its short name, for the command line and for tests."""
        return f"{self.subject}.{self.probe.__name__}"

    @property
    def quick(self) -> bool:
        """Whether it waits for nothing that takes its time."""
        return not self.heavy and self.seconds <= MINUTE


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking one fact over one lane.

    Attributes:
        verdict: ``holds``, ``differs``, ``not asked``, or ``no call`` where the client has none.
        got: what the probe returned or raised, where it differs.
        reason: why it was not asked.
    """

    fact: Fact
    lane: str
    verdict: Verdict
    got: Any = None
    reason: str = ""


@dataclass(slots=True)
class Table:
    """All facts of one subject; ``@table.fact(…)`` adds one."""

    subject: str
    facts: list[Fact] = field(default_factory=list)

    def fact(
        self,
        sentence: str,
        expected: Any,
        *needs: Need,
        source: str = SEEN,
        once: bool = False,
        seconds: float = MINUTE,
        local: tuple[Any, str] | None = None,
        heavy: bool = False,
    ) -> Callable[[Probe], Probe]:
        """Add the decorated probe as a fact."""

        def add(probe: Probe) -> Probe:
            self.facts.append(
                Fact(
                    self.subject,
                    sentence,
                    source,
                    expected,
                    probe,
                    frozenset(needs),
                    once,
                    seconds,
                    local,
                    heavy,
                )
            )
            return probe

        return add
