"""Sessions of open pages: their end is told before it comes, and why it came after it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.console.live.readers import Readers
from worker.console.visits import WARNS_BEFORE, Visit, Visits
from worker.management.api.api import Api
from worker.management.api.options import ApiOptions, Limits
from worker.management.api.sessions import Session
from worker.openiap.types import User
from worker.settings import load
from worker.telemetry.log import Log

IDLE, LONGEST = 3_600.0, 10_000.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """A page as NiceGUI has it, as far as visits know it."""

    def __init__(self) -> None:
        self.id = "page"
        self.created = 1e12
        self.request = SimpleNamespace(url=SimpleNamespace(path="/items", query="state=failed"))
        self.opened: list[str] = []
        self.open = self.opened.append

    def on_connect(self, _: Any) -> None: ...

    def on_delete(self, _: Any) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class Stage:
    def __init__(self) -> None:
        self.clock = Clock()
        options = ApiOptions(limits=Limits(idle=IDLE, longest=LONGEST))
        settings = load({"url": "wss://openiap.example"}).settings
        self.api = Api(settings, options, Log("error"), clock=self.clock)
        self.browser = Browser()
        self.visits = Visits(self.api, Readers(self.api))
        user = User(id="1", name="Ada", username="ada", email="", roles=())
        _, self.session = self.api.sessions.begin(user, "cookie")
        self.told: list[tuple[str, bool]] = []

    def open_page(self) -> Visit:
        visit = self.visits.begin(cast(Any, self.browser), self.session, {})
        visit.show_end = lambda words, keeps: self.told.append((words, keeps))
        return visit

    def at(self, seconds: float) -> None:
        self.clock.now = seconds
        self.visits.look()


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_a_page_says_that_its_session_ends_and_that_it_does_not_once_it_is_used(
    stage: Stage,
) -> None:
    stage.open_page()
    stage.at(IDLE - WARNS_BEFORE - 1)
    assert stage.told == []
    stage.at(IDLE - 100)
    stage.at(IDLE - 90)
    (told,) = stage.told
    assert told == (
        "You are signed out in 2 minutes: it is then 1 h since nobody has done anything here.",
        True,
    )
    assert stage.api.sessions.use(stage.session)
    stage.at(IDLE - 80)
    assert stage.told[1:] == [("", True)]
    assert stage.browser.opened == []


@pytest.mark.parametrize(
    ("seconds", "use", "why"), [(IDLE, False, "idle"), (LONGEST, True, "old"), (5.0, None, "ended")]
)
async def test_a_page_whose_session_has_ended_leads_to_a_sign_in_that_says_why_and_leads_back(
    stage: Stage, seconds: float, use: bool | None, why: str
) -> None:
    stage.open_page()
    if use:
        for at in range(0, int(LONGEST), int(IDLE) - 10):
            stage.at(at)
            assert stage.api.sessions.use(stage.session)
        assert stage.browser.opened == []
        stage.at(seconds - 10)
        assert stage.told[-1][1] is False  # whatever is done, it ends
    if use is None:
        stage.api.sessions.end(stage.session)
    stage.at(seconds)
    stage.at(seconds + 1)
    assert stage.browser.opened == [f"/sign-in?ended={why}&to=%2Fitems%3Fstate%3Dfailed"]


def test_a_session_of_which_something_runs_is_not_idle() -> None:
    stage = Stage()
    busy: Session = stage.session
    stage.api.sessions._busy = lambda _: True  # type: ignore[attr-defined]
    stage.clock.now = IDLE + 1
    assert stage.api.sessions.why_over(busy) is None
