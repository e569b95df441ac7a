"""Asks facts: each over every lane, a few at a time, whatever becomes of the others."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.conformance.facts import Answer, CannotAsk, Differs, Fact
from tests.conformance.ground import Crew, Ground
from tests.conformance.sites import Lane, Site
from worker.openiap.errors import OpenIAPError, Unsupported

AT_ONCE: Final = 4
"""Probes of a lane that run side by side: most of them wait."""
HEAVY_AT_ONCE: Final = 2
"""Of those that start workers, over all lanes: neither machine nor server is to be at its limit."""


async def ask_all(
    site: Site,
    facts: Sequence[Fact],
    lanes: Sequence[Lane],
    prefix: str,
    tell: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """Return an answer for each fact and lane, in the order of the facts.

    Args:
        tell: is told each answer as it comes.

    Raises:
        OpenIAPError: a lane's client cannot sign in.
    """
    heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
    rows = await asyncio.gather(
        *(
            _lane(site, facts, lane, f"{prefix}-{number}", tell, heavy, first=not number)
            for number, lane in enumerate(lanes)
        )
    )
    return [answer for answers in zip(*rows, strict=True) for answer in answers if answer]


async def _lane(
    site: Site,
    facts: Sequence[Fact],
    lane: Lane,
    prefix: str,
    tell: Callable[[Answer], None],
    heavy: asyncio.Semaphore,
    *,
    first: bool,
) -> list[Answer | None]:
    """Ask over one lane; None for a fact that another lane has answered for all."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int, fact: Fact) -> Answer | None:
        if fact.once and not first:
            return None
        async with heavy if fact.heavy else gate:
            answer = await _ask(crew, fact, f"{number:03d}")
        tell(answer)
        return answer

    async with Crew(site, lane, prefix) as crew:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(number, fact)) for number, fact in enumerate(facts)]
        return [task.result() for task in asked]


async def _ask(crew: Crew, fact: Fact, label: str) -> Answer:
    lane = crew.lane.name
    reason = _missing(crew, fact)
    if reason:
        return Answer(fact, lane, "not asked", reason=reason)
    if "native" in fact.needs and crew.lane.kind != "native":
        return Answer(fact, lane, "no call")
    try:
        with tempfile.TemporaryDirectory(prefix="conform-") as folder:
            ground = Ground(crew, Path(folder), label)
            async with asyncio.timeout(fact.seconds):
                if "second" in fact.needs:
                    await crew.second()
                got = await fact.probe(ground)
    except CannotAsk as error:
        return Answer(fact, lane, "not asked", reason=str(error))
    except Unsupported:
        return Answer(fact, lane, "no call")
    except TimeoutError:
        return Answer(fact, lane, "differs", f"no end within {fact.seconds:g} s")
    except (Differs, OpenIAPError) as error:
        return Answer(fact, lane, "differs", ground.plain(f"{type(error).__name__}: {error}"))
    except Exception as error:  # a probe that a server's answer breaks must not end the others
        return Answer(fact, lane, "differs", ground.plain(f"{type(error).__name__}: {error!r}"))
    expected = fact.local[0] if fact.local and crew.site.own else fact.expected
    if got == expected:
        return Answer(fact, lane, "holds")
    return Answer(fact, lane, "differs", got)


def _missing(crew: Crew, fact: Fact) -> str:
    """Return what the fact needs and is not there, or ""."""
    if "admin" in fact.needs and not crew.admin:
        return "the first user is no admin"
    if "second" in fact.needs and crew.site.second is None:
        return "no second user (--second-user)"
    return ""
