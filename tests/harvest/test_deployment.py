"""The files in ``deploy/harvest``: they are valid, and name commands, options and metrics that exist."""

import re
from pathlib import Path
from typing import Any

import yaml

from lightmeter.harvest.crawl import metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "harvest"


def test_kubernetes_objects_are_valid() -> None:
    import kubernetes_validate  # takes a second and a half

    objects: list[Any] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    assert [document["kind"] for document in objects] == ["ConfigMap", "Job", "Deployment"]
    for document in objects:
        kubernetes_validate.validate(document, "1.30", strict=True)


def test_compose_file_names_what_it_has() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert {"postgres", "s3", "worker", "prometheus"} <= compose["services"].keys()
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2
    for service in compose["services"].values():
        assert service.get("depends_on", {}).keys() <= compose["services"].keys()
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).is_file()


def test_alerts_name_metrics_of_workers() -> None:
    source = Path(metrics.__file__).read_text(encoding="utf-8")
    for name in re.findall(r"lightmeter_harvest_(\w+)", (DEPLOY / "alerts.yaml").read_text(encoding="utf-8")):
        assert name.removesuffix("_total") in source
