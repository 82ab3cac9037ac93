"""The Grafana dashboard's expressions in a real Prometheus, which scrapes the gateway's own metrics."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from raylift.domain.job import JobState, Reason
from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.deployment import DeploymentConfig
from raylift.services.container import Services
from raylift.settings import PlatformSettings
from serve_apps.gateway.metrics.platform import Metrics
from serve_apps.model_server.codecs.base import Response
from serve_apps.model_server.observability.exchange import Exchange
from serve_apps.model_server.observability.observer import Observer
from tests.contract.samples import add
from tests.migrated_store import open_migrated
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry

FOLDER: Final = Path(__file__).resolve().parents[3] / "cluster_configs" / "grafana"
DASHBOARD: Final[dict[str, Any]] = json.loads((FOLDER / "dashboards" / "raylift.json").read_text(encoding="utf-8"))
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS: Final = sorted({target["expr"] for panel in PANELS for target in panel["targets"]})
VARIABLES: Final = {"$__rate_interval": "10s", "$model": ".*", "$version": ".*", "[1h]": "[10s]"}
"""Grafana's values of the dashboard's variables. A test has no hour."""
PATIENCE_SECONDS: Final = 60.0


def pasted(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


class Platform:
    """A version that answers all the time, and a store with jobs; their metrics as the gateway has them."""

    def __init__(self, root: Path) -> None:
        settings = PlatformSettings(
            state_dir=root, database_url="", mlflow_url="http://m.invalid", ray_dashboard_url="", gateway_url="http://g.invalid"
        )
        self.store = open_migrated(root / "store.db")
        self.services = Services.assemble(settings, store=self.store, registry=FakeRegistry(), cluster=FakeCluster())
        self.metrics = Metrics(self.services.status_counts, self.services.observations)
        self.observer = Observer("churn", "1", ProcessKind.REPLICA, str(settings.counters_dir))
        self.store.deployments.ensure("churn", "1", model_uri="m", config=DeploymentConfig(), now=datetime.now(UTC))
        add(self.store)
        lease = self.store.leases.acquire("supervisor", "test", now=datetime.now(UTC), seconds=600)
        assert lease
        self.store.jobs.move(lease, add(self.store), JobState.FAILED, now=datetime.now(UTC), reason=Reason.SCRIPT_ERROR)

    def exposition(self) -> bytes:
        """Load and answer, so that every counter grows from scrape to scrape."""
        self.observer.loading(lambda: None)
        for error in (None, None, "prediction_failed"):
            self.observer.began("/predict")
            response = Response(500 if error else 200, b"{}", error=error)
            self.observer.ended(Exchange("/predict", (), b"", response, 0.002, 1, 1))
        self.metrics.observe({"type": "http", "method": "GET", "route": None}, 200, 0.01)
        self.metrics.count_shadow("churn", "2", "answered")
        return self.metrics.exposition()

    def close(self) -> None:
        self.observer.close()
        self.services.health.close()
        self.store.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus of its own that has scraped the metrics several times, configured as the shipped file."""
    program = shutil.which("prometheus") or pytest.fail("There is no Prometheus: apt-get install prometheus")
    root = tmp_path_factory.mktemp("prometheus")
    platform = Platform(root)

    class Scraped(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/metrics"
            body = platform.exposition()
            self.send_response(200)
            self.send_header("Content-Type", platform.metrics.content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - as the base class names it

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scraped)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{server.server_port}"]}]
    (root / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = [f"--config.file={root}/prometheus.yml", f"--storage.tsdb.path={root}/data", f"--web.listen-address={address}"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False) as client:
        wait_for_scrapes(client)
        yield client
    process.terminate()
    process.wait(30)
    server.shutdown()
    server.server_close()
    platform.close()


def wait_for_scrapes(client: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if asked(client, "count_over_time(up[30s]) >= 4 and up == 1"):
                return
        except (httpx.TransportError, httpx.HTTPStatusError):  # not listening, or still starting: 503 without JSON
            pass
        time.sleep(0.3)
    pytest.fail("Prometheus has not scraped the metrics")


def asked(client: httpx.Client, expression: str) -> list[Any]:
    answer = client.get("/query", params={"query": expression})
    answer.raise_for_status()
    return answer.json()["data"]["result"]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_has_a_result(prometheus: httpx.Client, expression: str) -> None:
    answer = prometheus.get("/query", params={"query": pasted(expression)})
    assert answer.status_code == 200, answer.json()["error"]
    names = set(re.findall(r"\braylift_\w+", expression))
    assert names
    assert names <= set(prometheus.get("/label/__name__/values").json()["data"])
    # What compares with 0 has no result where nothing happened.
    assert answer.json()["data"]["result"] or 'status="ready"' in expression or 'status="unhealthy"' in expression


def test_every_metric_of_versions_is_shown(prometheus: httpx.Client) -> None:
    families = {name for name in prometheus.get("/label/__name__/values").json()["data"] if name.startswith("raylift_")}
    shown = set(re.findall(r"\braylift_\w+", " ".join(EXPRESSIONS)))
    plain = {name for name in families if not name.endswith(("_created", "_bucket", "_sum", "_count"))}
    assert plain <= shown


def test_variables_list_the_models(prometheus: httpx.Client) -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()  # pyright: ignore[reportOptionalMemberAccess]
        found = prometheus.get(f"/label/{label}/values", params={"match[]": pasted(metric)}).json()["data"]
        assert found == [{"model": "churn", "version": "1"}[label]]


def test_provisioning_files_lead_to_the_dashboard() -> None:
    source = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "raylift.yaml").read_text(encoding="utf-8"))
    provider = yaml.safe_load((FOLDER / "provisioning" / "dashboards" / "raylift.yaml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["type"] == "prometheus"
    assert provider["providers"][0]["type"] == "file"
    assert (FOLDER / "dashboards").is_dir()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["fieldConfig"]["defaults"]["unit"] and panel["description"] for panel in PANELS)
