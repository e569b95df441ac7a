"""The demo's plan is what it claims, and its comparison sees what is wrong."""

from collections import Counter

import pytest

from worker.cli.demo.examples import examples
from worker.cli.demo.plan import MIX, MODULES, QUEUES, Expected, plan
from worker.cli.demo.report import differences, quantile, results
from worker.cli.shared.errors import CommandError
from worker.openiap.workitem import JsonObject


def test_the_plan_has_all_kinds() -> None:
    pushes = plan(200, "http://service")
    assert len(pushes) == 200
    assert len({push.name for push in pushes}) == 200
    kinds = Counter(
        (p.queue, p.expected.state, p.expected.attempts, bool(p.csv), bool(p.expected.chained))
        for p in pushes
    )
    assert set(kinds) == {
        ("invoices", "successful", 1, False, False),
        ("invoices", "failed", 1, False, False),
        ("http-calls", "successful", 2, False, False),
        ("http-calls", "failed", 1, False, False),
        ("csv-summaries", "successful", 1, True, False),
        ("orders", "successful", 1, False, True),
    }
    assert min(kinds.values()) >= 10


def test_the_plan_is_the_same_each_time() -> None:
    assert plan(50, "http://service") == plan(50, "http://service")


def test_any_number_of_items_can_be_planned() -> None:
    assert [len(plan(n, "http://service")) for n in (1, 2, len(MIX) + 1)] == [1, 2, len(MIX) + 1]


def test_a_queue_is_made_after_the_one_it_leads_to() -> None:
    names = [queue.name for queue in QUEUES]
    for queue in QUEUES:
        if queue.success_queue:
            assert names.index(queue.success_queue) < names.index(queue.name)


GOOD: JsonObject = {"state": "successful", "retries": 1, "payload": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    ("expected", "document", "said"),
    [
        (Expected(attempts=2, payload={"a": 1}), GOOD, []),
        (Expected(), None, ["is not there"]),
        (Expected(), GOOD, ["took 2 attempts, not 1"]),
        (
            Expected("failed", 2, error="BAD"),
            {**GOOD, "errormessage": "boom"},
            ["is successful, not failed (boom)", "has the error 'boom', not 'BAD'"],
        ),
        (Expected(attempts=2, payload={"a": 2}), GOOD, ["has a = 1, not 2"]),
        (Expected(attempts=2, file=("x.csv", b"1")), GOOD, ["has no file x.csv"]),
    ],
)
def test_each_difference_is_told(
    expected: Expected, document: JsonObject | None, said: list[str]
) -> None:
    assert list(differences(expected, document, {})) == said


def test_another_content_of_a_file_is_told() -> None:
    expected = Expected(attempts=2, file=("x.csv", b"1"))
    assert list(differences(expected, GOOD, {"x.csv": b"1"})) == []
    assert list(differences(expected, GOOD, {"x.csv": b"2"})) == [
        "has a file x.csv with other content"
    ]


def test_the_summary_counts_by_what_the_server_says() -> None:
    items = [
        {
            "state": "successful" if second < 90 else "failed",
            "retries": second // 50,
            "_created": "2026-11-20T10:00:00.000Z",
            "_modified": f"2026-11-20T10:{second // 60:02}:{second % 60:02}.000Z",
        }
        for second in range(1, 101)
    ]
    (found,) = results({"q": items})
    assert (found.pushed, found.successful, found.failed) == (100, 89, 11)
    assert (found.attempts, found.retried) == (152, 52)
    assert (found.per_second, found.p50, found.p99) == (1.0, 50.0, 99.0)


def test_quantiles_of_few_numbers() -> None:
    assert quantile([], 0.5) == 0
    assert quantile([1], 0.99) == 1
    assert quantile([1, 2], 0.5) == 1
    assert quantile([1, 2, 3], 0.5) == 2
    assert quantile([1, 2, 3], 0.99) == 3


def test_examples_are_found_beside_the_package_or_in_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    package = tmp_path / "worker"
    inside = package / "examples"
    inside.mkdir(parents=True)
    with pytest.raises(CommandError, match="neither in"):
        examples(MODULES, package=package)
    for name in MODULES:
        (inside / f"{name}.py").touch()
    assert examples(["chain"], package=package) == (tmp_path, ["worker.examples.chain"])
    beside = tmp_path / "handlers"
    beside.mkdir()
    (beside / "chain.py").touch()
    assert examples(["chain"], package=package) == (tmp_path, ["handlers.chain"])
