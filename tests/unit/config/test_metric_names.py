"""Alerts and dashboard draw from metrics that exist."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from worker.engine.maintenance.scale_endpoint import scale_names
from worker.telemetry.metrics import BREAKER, NOT_READY, prometheus_names

CONFIG = Path(__file__).resolve().parents[3] / "config"
NAME = re.compile(r"\b(?:openiap|process|python)_[a-z0-9_]+")
OF_THE_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def known() -> set[str]:
    return {*prometheus_names(), NOT_READY, BREAKER, *scale_names(), *OF_THE_PROCESS}


def expressions(node: Any) -> list[str]:
    """Return every query of a dashboard, at any depth."""
    if isinstance(node, list):
        return [found for one in node for found in expressions(one)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("expr", "definition") if isinstance(node.get(key), str)]
    return own + [found for one in node.values() for found in expressions(one)]


def dashboard() -> dict[str, Any]:
    return json.loads((CONFIG / "grafana/dashboard.json").read_text(encoding="utf-8"))


def names(text: str) -> set[str]:
    return set(NAME.findall(text))


def test_alerts_use_metrics_that_exist() -> None:
    text = (CONFIG / "prometheus/alerts.yaml").read_text(encoding="utf-8")
    used = {name for name in names(text) if not name.endswith("_")}
    assert used
    assert used <= known()


def test_alerts_own_tests_use_metrics_that_exist() -> None:
    text = (CONFIG / "prometheus/alerts_test.yaml").read_text(encoding="utf-8")
    assert names(text) <= known()


def test_each_alert_is_seen_to_fire() -> None:
    """And not to fire, in the first test of all and in the nearly amiss one."""
    rules = yaml.safe_load((CONFIG / "prometheus/alerts.yaml").read_text(encoding="utf-8"))
    tests = yaml.safe_load((CONFIG / "prometheus/alerts_test.yaml").read_text(encoding="utf-8"))
    fired = set()
    for test in tests["tests"]:
        for one in test.get("promql_expr_test", []):
            told = [one["expr"], *(sample["labels"] for sample in one["exp_samples"])]
            if one["exp_samples"] and one["exp_samples"][0]["value"] > 0:
                fired |= set(re.findall(r'alertname="(\w+)"', " ".join(told)))
        fired |= {one["alertname"] for one in test.get("alert_rule_test", []) if one["exp_alerts"]}
    named = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert fired == named
    nearly = next(test for test in tests["tests"] if "nearly amiss" in test["name"])
    shown = names(" ".join(series["series"] for series in nearly["input_series"]))
    looked_at = {
        name for group in rules["groups"] for rule in group["rules"] for name in names(rule["expr"])
    }
    assert looked_at <= shown


def test_dashboard_uses_metrics_that_exist() -> None:
    used = {name for expression in expressions(dashboard()) for name in names(expression)}
    assert len(used) > 20
    assert used <= known()


def test_dashboard_shows_every_metric_of_the_worker() -> None:
    used = {name for expression in expressions(dashboard()) for name in names(expression)}
    assert {*prometheus_names(), NOT_READY, BREAKER, *scale_names()} <= used


def test_every_panel_follows_the_instance_filter() -> None:
    shown = [e for e in expressions(dashboard()["panels"]) if "openiap_worker" in e]
    for expression in shown:
        taken = re.findall(r"(?:openiap_worker|process)_[a-z0-9_]+(\{[^}]*\})?", expression)
        assert taken
        assert all('instance=~"$instance"' in labels for labels in taken), expression


def test_hpa_follows_a_metric_that_exists() -> None:
    text = (CONFIG / "kubernetes/components/hpa/horizontalpodautoscaler.yaml").read_text("utf-8")
    assert names(text.partition("spec:")[2]) == {"openiap_worker_queue_wished_workers"}
    assert names(text.partition("spec:")[2]) <= known()


def test_dashboard_has_what_grafana_needs_to_load_it() -> None:
    found = dashboard()
    assert found["title"]
    assert found["schemaVersion"] >= 36
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    for panel in found["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(refs) == len(set(refs))
    variables = {variable["name"] for variable in found["templating"]["list"]}
    used = {v for e in expressions(found) for v in re.findall(r"\$\{?([a-z]+)\}?", e)}
    assert used <= variables | {"__rate_interval"}


def test_panels_do_not_cover_each_other() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
