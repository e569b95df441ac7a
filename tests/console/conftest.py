"""One stage for all tests of a process, on one loop; every test here is for a browser.

A page that has a script refused, or an error in its own code, fails the test.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.console.stage import Console, Stage, console_on, lacks_chromium, stage_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put all tests here on one loop: that of the stage, which lasts from test to test."""
    for item in items:
        if item.path.parent.name == "console" and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    if (missing := lacks_chromium()) is not None:
        pytest.fail(missing, pytrace=False)
    async with stage_in(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def read_only(running: Stage) -> AsyncIterator[Console]:
    """A second console over the same OpenIAP, which changes nothing: ``stage.page(…, url=its)``."""
    async with console_on(running.openiap, "--read-only", folder=running.folder) as console:
        yield console


@pytest_asyncio.fixture(loop_scope="session")
async def stage(running: Stage) -> AsyncIterator[Stage]:
    running.problems.clear()
    begun = len(running.console.lines)
    yield running
    assert running.problems == []
    assert "\n".join(one for one in running.console.lines[begun:] if " ERROR " in one) == ""
