"""All facts, by subject, in the order of the page."""

from typing import Final

from tests.conformance.facts import Fact
from tests.conformance.subjects import (
    chains,
    documents,
    files,
    items,
    links,
    messages,
    payloads,
    queues,
    rights,
    worker,
)

WORKER: Final = worker.TABLE.subject
FACTS: Final[tuple[Fact, ...]] = tuple(
    fact
    for module in (
        items,
        payloads,
        chains,
        queues,
        files,
        documents,
        messages,
        rights,
        links,
        worker,
    )
    for fact in module.TABLE.facts
)
