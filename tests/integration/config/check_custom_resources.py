"""Compare custom resources with the models of KEDA and the Prometheus operator.

The models drop what they do not know, so what is left of a resource must be all of it.
"""

import sys
from pathlib import Path
from typing import Any

import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as operator

MODELS = {
    "ScaledObject": keda.ScaledObject,
    "ServiceMonitor": operator.ServiceMonitor,
    "PrometheusRule": operator.PrometheusRule,
}


def lost(given: Any, kept: Any, where: str = "") -> list[str]:
    """Return the places of what a model does not know."""
    if isinstance(given, dict):
        inner = kept if isinstance(kept, dict) else {}
        return [
            found
            for key, value in given.items()
            for found in (
                lost(value, inner[key], f"{where}.{key}") if key in inner else [f"{where}.{key}"]
            )
        ]
    if isinstance(given, list) and isinstance(kept, list):
        return [
            found
            for number, (a, b) in enumerate(zip(given, kept, strict=True))
            for found in lost(a, b, f"{where}[{number}]")
        ]
    return []


def main() -> int:
    problems, checked = [], 0
    for path in map(Path, sys.argv[1:]):
        for resource in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            model = MODELS.get((resource or {}).get("kind", ""))
            if model is None:
                continue
            checked += 1
            kept = model.model_validate(resource).model_dump(
                mode="json", by_alias=True, exclude_unset=True
            )
            problems += [f"{path.name}: unknown {place}" for place in lost(resource, kept)]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    sys.stdout.write(f"{checked} custom resources checked\n")
    return 1 if problems or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
