"""What the files for systemd and Kubernetes say fits what the worker does."""

import re
import runpy
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from tests.cases import each
from worker.cli.app import COMMANDS
from worker.cli.scaler.external import PARAMETERS
from worker.cli.shared.errors import USAGE_ERROR
from worker.engine.shutdown import HAND_BACK_TIMEOUT
from worker.setting_sources import CREDENTIALS
from worker.settings import Settings, load

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "config/kubernetes"
FOLDERS = sorted(path.parent for path in KUBERNETES.rglob("kustomization.yaml"))
NAME = "openiap-worker"


def unit() -> dict[str, list[str]]:
    text = (ROOT / "config/systemd/openiap-worker@.service").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def documents(path: Path) -> list[dict]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def base(name: str) -> dict:
    (found,) = documents(KUBERNETES / f"base/{name}.yaml")
    return found


def part(name: str) -> dict:
    (found,) = documents(KUBERNETES / f"components/{name}.yaml")
    return found


def pod() -> dict:
    return base("deployment")["spec"]["template"]["spec"]


def stop_needs(settings: Settings) -> float:
    return settings.drain_timeout + settings.cancel_timeout + HAND_BACK_TIMEOUT


def env_file(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_systemd_waits_for_a_whole_stop() -> None:
    (seconds,) = unit()["TimeoutStopSec"]
    assert float(seconds.removesuffix("s")) > stop_needs(Settings()) + 10


def test_systemd_does_not_restart_on_wrong_settings() -> None:
    assert unit()["RestartPreventExitStatus"] == [str(USAGE_ERROR)]


def test_systemd_watchdog_is_fed_by_the_worker_alone() -> None:
    assert unit()["Type"] == ["notify"]
    assert unit()["NotifyAccess"] == ["main"]
    assert unit()["WatchdogSec"] == ["60s"]


def test_kubernetes_waits_for_a_whole_stop() -> None:
    loaded = load(environment=env_file(KUBERNETES / "base/worker.env"))
    assert pod()["terminationGracePeriodSeconds"] == (
        loaded.settings.drain_timeout + loaded.settings.cancel_timeout + 17
    )
    assert pod()["terminationGracePeriodSeconds"] > stop_needs(loaded.settings) + 10


def test_environment_of_the_pod_is_settings_that_exist() -> None:
    (container,) = pod()["containers"]
    environment = {entry["name"]: entry.get("value", "pod-1") for entry in container["env"]}
    environment |= env_file(KUBERNETES / "base/worker.env")
    environment |= env_file(KUBERNETES / "overlays/example/secret.env")
    loaded = load(environment=environment)
    port = loaded.settings.health_port
    assert [port] == [one["containerPort"] for one in container["ports"]]
    assert [port] == [one["port"] for one in base("service")["spec"]["ports"]]
    assert loaded.settings.jwt.get_secret_value()


def test_probes_ask_pages_that_exist() -> None:
    (container,) = pod()["containers"]
    asked = {name: probe["httpGet"]["path"] for name, probe in container.items() if "Probe" in name}
    assert asked == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {probe["httpGet"]["port"] for key, probe in container.items() if "Probe" in key} == {
        "health"
    }


def test_pod_passes_the_restricted_standard() -> None:
    (container,) = pod()["containers"]
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in pod()["volumes"])


def test_what_is_mounted_is_there() -> None:
    (container,) = pod()["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod()["volumes"]}


def test_selectors_find_the_pods() -> None:
    labels = base("deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        base("deployment")["spec"]["selector"]["matchLabels"],
        base("service")["spec"]["selector"],
        base("poddisruptionbudget")["spec"]["selector"]["matchLabels"],
        base("networkpolicy")["spec"]["podSelector"]["matchLabels"],
        *(c["labelSelector"]["matchLabels"] for c in pod()["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector == labels
    (monitor,) = documents(KUBERNETES / "components/monitoring/servicemonitor.yaml")
    for service in (base("service"), part("scaler/service")):
        assert (
            monitor["spec"]["selector"]["matchLabels"].items()
            <= service["metadata"]["labels"].items()
        )
    of_the_scaler = part("scaler/deployment")["spec"]["template"]["metadata"]["labels"]
    assert of_the_scaler != labels, "a worker's Service and budget must not have it"
    for selector in (
        part("scaler/deployment")["spec"]["selector"]["matchLabels"],
        part("scaler/service")["spec"]["selector"],
        part("scaler/networkpolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == of_the_scaler


@each("folder", FOLDERS)
def test_kustomizations_name_files_that_exist_and_no_file_is_forgotten(folder: Path) -> None:
    (found,) = documents(folder / "kustomization.yaml")
    named = [*found.get("resources", []), *found.get("components", [])]
    for generator in ("configMapGenerator", "secretGenerator"):
        for entry in found.get(generator, []):
            named += entry.get("envs", [])
    for name in named:
        assert (folder / name).exists(), name
    here = {path.name for path in folder.iterdir() if path.is_file()}
    assert here == {"kustomization.yaml", *(name for name in named if "/" not in name)}


def test_references_between_resources_exist() -> None:
    (container,) = pod()["containers"]
    generated = {
        entry["name"]
        for folder in FOLDERS
        for (kustomization,) in [documents(folder / "kustomization.yaml")]
        for generator in ("configMapGenerator", "secretGenerator")
        for entry in kustomization.get(generator, [])
    }
    for source in container["envFrom"]:
        (reference,) = source.values()
        assert reference["name"] in generated
    assert pod()["serviceAccountName"] == base("serviceaccount")["metadata"]["name"]
    for file in ("keda/scaledobject", "scaler/scaledobject", "hpa/horizontalpodautoscaler"):
        (scaler,) = documents(KUBERNETES / f"components/{file}.yaml")
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", NAME)


def test_keda_asks_the_service_for_a_number_that_the_answer_has() -> None:
    (scaler,) = documents(KUBERNETES / "components/keda/scaledobject.yaml")
    (trigger,) = scaler["spec"]["triggers"]
    port = base("service")["spec"]["ports"][0]["port"]
    assert trigger["metadata"]["url"].startswith(f"http://{NAME}.openiap.svc:{port}/scale?queue=")
    assert trigger["metadata"]["valueLocation"] == "wished"
    assert (trigger["metricType"], trigger["metadata"]["targetValue"]) == ("AverageValue", "1")


def test_keda_asks_the_scaler_for_what_it_answers() -> None:
    (trigger,) = part("scaler/scaledobject")["spec"]["triggers"]
    (container,) = part("scaler/deployment")["spec"]["template"]["spec"]["containers"]
    arguments = container["args"]
    service = part("scaler/service")
    ports = {one["name"]: one["port"] for one in service["spec"]["ports"]}
    listening = {one["name"]: one["containerPort"] for one in container["ports"]}
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert (trigger["type"], trigger["metricType"]) == ("external", "AverageValue")
    metadata = dict(trigger["metadata"])
    address = metadata.pop("scalerAddress")
    assert address == f"{service['metadata']['name']}.openiap.svc:{ports['grpc']}"
    assert metadata.keys() <= PARAMETERS.keys()
    assert metadata["queue"] in arguments
    assert arguments[0] in COMMANDS
    assert arguments[arguments.index("--grpc-port") + 1] == str(listening["grpc"])
    assert load(environment=environment).settings.health_port == listening["health"]
    assert part("scaler/scaledobject")["spec"]["minReplicaCount"] == 0
    assert container["securityContext"] == pod()["containers"][0]["securityContext"]


def test_only_the_monitoring_component_needs_the_operator() -> None:
    for folder in FOLDERS:
        (kustomization,) = documents(folder / "kustomization.yaml")
        kinds = {
            one.get("kind")
            for name in kustomization.get("resources", [])
            if (folder / name).is_file()
            for one in documents(folder / name)
        }
        assert folder.name == "monitoring" or not kinds & {"ServiceMonitor", "PrometheusRule"}
    for name in ("keda", "keda-scaler", "statefulset", "example"):
        (kustomization,) = documents(KUBERNETES / f"overlays/{name}/kustomization.yaml")
        assert not any("monitoring" in one for one in kustomization.get("components", []))


def test_prometheus_rule_is_that_of_the_alerts() -> None:
    made = runpy.run_path(str(ROOT / "config/prometheus/make_rule"))
    alerts = yaml.safe_load((ROOT / "config/prometheus/alerts.yaml").read_text(encoding="utf-8"))
    rule = KUBERNETES / "components/monitoring/prometheusrule.yaml"
    assert rule.read_text(encoding="utf-8") == made["text_of"](made["rule_of"](alerts)), (
        "run config/prometheus/make_rule"
    )


def test_each_alert_has_a_section_in_the_runbook_and_a_link_to_it() -> None:
    page = (ROOT / "worker/cli/guide/operating.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    rules = [r for g in part("monitoring/prometheusrule")["spec"]["groups"] for r in g["rules"]]
    assert sections == [rule["alert"] for rule in rules]
    for rule in rules:
        annotations = rule["annotations"]
        assert annotations["runbook"] == "openiap-worker guide operating"
        base_name, _, anchor = annotations["runbook_url"].partition("#")
        assert (base_name, anchor) == ("RUNBOOK_BASE", rule["alert"].lower())
    assert "RUNBOOK_BASE" in part("monitoring/runbook")["data"]


def test_every_container_says_what_it_takes_of_the_nodes_disk() -> None:
    for deployment in (base("deployment"), part("scaler/deployment")):
        template = deployment["spec"]["template"]["spec"]
        resources = template["containers"][0]["resources"]
        assert {"memory", "ephemeral-storage"} <= resources["requests"].keys()
        assert {"memory", "ephemeral-storage"} == resources["limits"].keys()
        volumes = [one["emptyDir"]["sizeLimit"] for one in template["volumes"]]
        limit = resources["limits"]["ephemeral-storage"]
        assert sum(map(mebibytes, volumes)) < mebibytes(limit)


def mebibytes(text: str) -> int:
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def test_names_are_asked_of_the_cluster_and_of_the_node() -> None:
    for policy in (base("networkpolicy"), part("scaler/networkpolicy")):
        names, _ = policy["spec"]["egress"]
        assert {one["port"] for one in names["ports"]} == {53}
        assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in names["to"]
        assert any("podSelector" in one for one in names["to"])
    assert base("networkpolicy")["spec"]["egress"] == part("scaler/networkpolicy")["spec"]["egress"]


def test_image_installs_what_the_package_needs_now() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "config/container/requirements.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE))
    for line in project["dependencies"]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(locked.get(wanted.name, "0")), (
            f"{line}: run the command at the top of config/container/requirements.txt"
        )


def test_image_of_the_dockerfile_is_what_the_files_expect() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    user = pod()["securityContext"]["runAsUser"]
    (container,) = pod()["containers"]
    assert f"USER {user}:{user}" in text
    assert f"EXPOSE {container['ports'][0]['containerPort']}" in text
    assert "STOPSIGNAL SIGTERM" in text
    assert 'ENTRYPOINT ["tini", "--", "openiap-worker"]' in text
    assert "/livez" in text


def test_systemd_hands_the_password_over_as_a_credential(tmp_path: Path) -> None:
    (loaded,) = unit()["LoadCredential"]
    name, _, source = loaded.partition(":")
    assert name == CREDENTIALS["password"]
    assert source == "/etc/openiap-worker/%i.password"
    (without,) = unit()["SetCredential"]
    assert without == f"{name}:\\n"
    (tmp_path / name).write_text("s3cret\n", encoding="utf-8")
    found = load(environment={"CREDENTIALS_DIRECTORY": str(tmp_path), "OPENIAP_USERNAME": "robot"})
    assert found.settings.password.get_secret_value() == "s3cret"
    assert "s3cret" not in found.shown("password")
    (tmp_path / name).write_text("\n", encoding="utf-8")
    assert not load(
        environment={"CREDENTIALS_DIRECTORY": str(tmp_path)}
    ).settings.password.get_secret_value()


def test_systemd_starts_it_however_often_it_ends_and_tells_when_it_is_over() -> None:
    assert unit()["StartLimitIntervalSec"] == ["0"]
    (told,) = unit()["OnFailure"]
    assert (ROOT / "config/systemd" / told.replace("%i", "")).is_file()
