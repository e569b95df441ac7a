"""The pytest plugin: fixtures for tests of handlers.

pytest imports this in every project that has the package installed, so the engine is imported only
when a fixture is used. ``local_openiap`` is an asynchronous fixture and needs pytest-asyncio, in
whichever of its modes; ``worker_test`` needs nothing.
"""

from collections.abc import AsyncIterator, Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from worker.testing.local_openiap import LocalOpenIAP
    from worker.testing.local_workers import ClientName
    from worker.testing.worker_test import WorkerTest

NO_ASYNCIO = (
    "local_openiap is an asynchronous fixture and needs pytest-asyncio:"
    " pip install --force-reinstall pytest-asyncio."
    " Without it: async with worker.testing.LocalOpenIAP(folder)."
)


@pytest.fixture
def worker_test(tmp_path: Path) -> "WorkerTest":
    """Run a handler on a payload without a server: ``run = await worker_test(handler, {...})``."""
    from worker.testing.worker_test import WorkerTest

    return WorkerTest(tmp_path / "worker_test")


@pytest.fixture
def openiap_client() -> "ClientName":
    """The client that ``local_openiap`` uses: ``"native"``.

    A fixture of this name in your own ``conftest.py`` chooses ``"official"``, or both by
    ``@pytest.fixture(params=["native", "official"])``.
    """
    return "native"


async def _local_openiap(
    tmp_path: Path, openiap_client: "ClientName"
) -> "AsyncIterator[LocalOpenIAP]":
    """An OpenIAP server for this test, with virtual time and troubles on demand."""
    from worker.testing.local_openiap import LocalOpenIAP

    async with LocalOpenIAP(tmp_path / "openiap", client=openiap_client) as openiap:
        yield openiap


def _missing() -> None:
    """Say that pytest-asyncio is missing."""
    pytest.fail(NO_ASYNCIO, pytrace=False)


def _asynchronous() -> Callable[..., Any] | None:
    """Return what makes asynchronous fixtures, or None where pytest-asyncio is not whole.

    Without its metadata pytest does not load it, and its module may be an empty folder, or raise
    whatever it likes: none of that is to end a run whose tests do not ask for it.
    """
    try:
        metadata.distribution("pytest-asyncio")
        found: Callable[..., Any] = import_module("pytest_asyncio").fixture
    except Exception:  # it belongs to somebody else, and is broken
        return None
    return found


def _declared() -> Any:
    make = _asynchronous()
    if make is None:
        return pytest.fixture(name="local_openiap")(_missing)
    return make(name="local_openiap")(_local_openiap)


local_openiap: Any = _declared()
