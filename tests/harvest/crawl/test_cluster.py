"""Workers of one catalogue, of which one is killed; ``benchmarks/scale/cluster.py`` is the long form."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lightmeter.errors import LightmeterError
from lightmeter.harvest.catalogue.database.migrate import upgrade
from lightmeter.harvest.catalogue.database.session import engine_for
from lightmeter.harvest.crawl.metrics import serve_metrics
from tests.s3 import S3Server
from tests.support import CommandRunner

cluster = pytest.importorskip("benchmarks.scale.cluster")
sites = pytest.importorskip("benchmarks.scale.cluster_sites")
processes = pytest.importorskip("benchmarks.scale.cluster_processes")


def test_killed_worker_loses_and_repeats_nothing(
    tmp_path: Path, s3_url: str, s3_server: S3Server, lightmeter: CommandRunner
) -> None:
    plan = processes.Plan(workers=2, photographs=40, hosts=10, every_s=0.3, lease_s=3, kills=1, stops=0)
    variables = {**s3_server.environment, "LIGHTMETER_STORE__URL": s3_url}
    report = cluster.run_cluster(tmp_path, plan, variables, lightmeter)
    assert report["faults"] == []
    assert report["kills"] == 1


def test_requests_of_a_killed_worker_end_with_it() -> None:
    log = [sites.Asked("h", "/1", "w1", 1, 5), sites.Asked("h", "/2", "w2", 3, 4), sites.Asked("h", "/3", "w1", 3.5, 6)]
    assert list(sites.overlaps(log, {"w1": 2})) == []
    assert list(sites.overlaps(log[:2], {"w1": 3.2})) == [(replace(log[0], ended=3.2), log[1])]
    assert len(list(sites.overlaps(log, {}))) == 2


def test_metrics_name_reasons_and_outlive_the_catalogue(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    upgrade(engine)
    reasons = Counter({("fetched", ""): 3, ("failed", "HTTP 503"): 2})
    writer: Any = SimpleNamespace(reasons=reasons, leased=5, lease_age_s=1.5)
    port = processes.free_port()
    serve_metrics(engine, writer, "127.0.0.1", port)
    assert _scraped(port) == {
        ("lightmeter_harvest_photographs_total", "fetched", ""): 3,
        ("lightmeter_harvest_photographs_total", "failed", "HTTP 503"): 2,
        ("lightmeter_harvest_leased", "", ""): 5,
        ("lightmeter_harvest_lease_age_seconds", "", ""): 1.5,
        ("lightmeter_harvest_pending", "", ""): 0,
    }
    with pytest.raises(LightmeterError, match=f"Cannot serve metrics on 127.0.0.1:{port}"):
        serve_metrics(engine, writer, "127.0.0.1", port)
    other = processes.free_port()
    serve_metrics(engine_for("sqlite:////nowhere/catalogue.sqlite"), writer, "127.0.0.1", other)
    assert len(_scraped(other)) == 4


def _scraped(port: int) -> dict[tuple[str, str, str], float]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        (sample.name, sample.labels.get("state", ""), sample.labels.get("reason", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
