"""Private names of Ray that docs/internals/ray_internals.md lists: the installed release has each in the form that we use."""

from __future__ import annotations

import asyncio
import inspect
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import _raylet, serve
from ray._private import ray_constants, services
from ray._private.runtime_env.context import RuntimeEnvContext
from ray._private.runtime_env.plugin import RuntimeEnvPlugin
from ray._private.state import state
from ray.core.generated import autoscaler_pb2
from ray.scripts.scripts import main
from ray.serve._private import common, haproxy, haproxy_templates, replica
from ray.serve.config import HTTPOptions

from raylift.ingress.haproxy import BUFFER_BYTES
from raylift.launcher.run.environment import head_environment
from raylift.launcher.run.record import RunRecord
from raylift.ray_internals import setup_worker
from raylift.ray_internals.draining import DRAINED
from raylift.ray_internals.serve_ingress import HandedServer, count_requests_of, open_http_server_at_node_address

ROOT = Path(__file__).resolve().parents[3]
RAY = Path(ray.__file__).parent
PAGE = (ROOT / "docs" / "internals" / "ray_internals.md").read_text(encoding="utf-8")
NOT_RAYS = {
    "RAYLIFT_ATTEMPTS_DIR",
    "RAYLIFT_REFUSED_PORTS",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
}
JOB_SWITCHES = {"RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_JOB_STOP_WAIT_TIME_S", "SPT_NOENV"}


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def source(of: Any) -> str:
    return inspect.getsource(of)


def test_runtime_env_plugin_has_our_hooks() -> None:
    assert parameters(RuntimeEnvPlugin.validate) == ["runtime_env_dict"]
    assert parameters(RuntimeEnvPlugin.get_uris) == ["runtime_env"]
    assert parameters(RuntimeEnvPlugin.create) == ["uri", "runtime_env", "context", "logger"]
    assert parameters(RuntimeEnvPlugin.modify_context) == ["uris", "runtime_env", "context", "logger"]
    assert parameters(RuntimeEnvPlugin.delete_uri) == ["uri", "logger"]


def test_worker_context_has_the_fields_we_know() -> None:
    used = {"env_vars", "py_executable", *setup_worker._UNUSED}
    assert vars(RuntimeEnvContext()).keys() == used


def test_path_of_the_first_step_can_be_replaced() -> None:
    assert callable(main)
    assert ray_constants.SETUP_WORKER_FILENAME == "setup_worker.py"
    assert "ray_constants.SETUP_WORKER_FILENAME" in source(services)


def test_first_step_of_ray_has_our_arguments() -> None:
    own = Path(setup_worker.rays_own())
    text = own.read_text(encoding="utf-8")
    for option in (setup_worker._CONTEXT, setup_worker._LANGUAGE):
        assert f'"{option.rstrip("=")}"' in text


def test_internal_server_is_opened_by_a_replaceable_function() -> None:
    assert callable(replica.add_port_to_grpc_server)
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in source(replica.Replica)


def test_deployment_has_a_code_version() -> None:
    @serve.deployment
    class Model: ...

    assert hasattr(Model, "_version")
    assert "self._version" in source(type(Model))


def test_replica_starts_its_http_server_by_a_replaceable_function() -> None:
    assert parameters(replica.start_asgi_http_server) == ["app", "http_options", "event_loop", "enable_so_reuseport"]
    text = source(replica.Replica)
    assert re.search(r"start_asgi_http_server\(\s*self\._direct_ingress_asgi,\s*options,\s*event_loop=", text)
    assert "self._metrics_manager = create_replica_metrics_manager(" in text
    # What Serve does with the server, and with its task.
    assert set(re.findall(r"_direct_ingress_http_server\.(\w+)", text)) == {"should_exit"}
    assert set(re.findall(r"_direct_ingress_http_server_task\.(\w+)", text)) == {"cancel"}
    assert {"host", "port", "keep_alive_timeout_s"} <= set(HTTPOptions.model_fields)


def test_metrics_manager_has_one_number_of_ongoing_requests() -> None:
    manager = replica.ReplicaMetricsManager
    assert "self._num_ongoing_requests += delta" in source(manager._change_num_ongoing_requests)
    assert "return self._num_ongoing_requests" in source(manager.get_num_ongoing_requests)
    assert "RUNNING_REQUESTS_KEY: self._num_ongoing_requests" in source(manager._add_autoscaling_metrics_point_async)
    assert "self._metrics_manager.get_num_ongoing_requests()" in source(replica.Replica.get_num_ongoing_requests)
    assert "self.get_num_ongoing_requests()" in source(replica.Replica._drain_ongoing_requests)


def test_serve_reads_the_requests_of_the_model_s_process_with_its_own() -> None:
    class Manager:
        def __init__(self) -> None:
            self._num_ongoing_requests = 0

        def change(self, delta: int) -> None:
            self._num_ongoing_requests += delta

    elsewhere, manager, other = [3.0], Manager(), Manager()
    manager.change(1)
    count_requests_of(manager, lambda: elsewhere[0])
    assert manager._num_ongoing_requests == 4
    manager.change(2)
    elsewhere[0] = 0.5
    manager.change(-1)
    assert manager._num_ongoing_requests == 2.5
    manager.change(-2)
    elsewhere[0] = 0.0
    assert (manager._num_ongoing_requests, other._num_ongoing_requests) == (0, 0)


async def test_serve_stops_the_handed_server_as_its_own() -> None:
    """Its task ends when the process has answered every request."""
    drained = asyncio.Event()

    class Process:
        def ongoing(self) -> float:
            return 0.0

        async def listen(self, listener: Any, keep_alive_seconds: int, serves: Any) -> None: ...

        async def stop_accepting(self) -> None:
            await drained.wait()

    server = HandedServer(Process())
    task = asyncio.ensure_future(server.serve())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not server.should_exit
    for _ in range(2):  # Serve does it twice.
        server.should_exit = True
    await asyncio.sleep(0)
    assert server.should_exit
    assert not task.done()
    drained.set()
    await asyncio.wait_for(task, 30)


def test_serve_s_pages_need_no_more_than_their_path() -> None:
    """As serve_apps/model_server/ray/model_process.py asks for them."""
    text = source(replica.Replica._direct_ingress_asgi)
    before = text[: text.index("If the HTTP path does not match")]
    assert set(re.findall(r'scope\.get\("(\w+)"', before)) == {"root_path", "method", "path"}
    assert "/-/healthz" in before


@pytest.mark.parametrize(
    "line",
    [
        "    errorfile 502 ",
        "    errorfile 503 ",
        "    errorfile 504 ",
        "    bind :{{ config.metrics_port }}",
        "    bind {{ config.frontend_host }}:{{ config.frontend_port }}",
        "  bind *:{{ config.stats_port }}",
        "    log global",
        "    acl is_{{ backend.name or 'unknown' }} path {{",
        "backend {{ backend.name or 'unknown' }}\n",
        "    server {{ backend.fallback_server.name }} {{ backend.fallback_server.host }}:{{ backend.fallback_server.port }} "
        "check backup\n",
        "retry-on {{ config.retry_on }}",
    ],
)
def test_template_of_haproxy_has_the_lines_that_we_rewrite(line: str) -> None:
    assert line in haproxy_templates.HAPROXY_CONFIG_TEMPLATE


def test_socket_of_haproxy_is_in_a_folder_per_node() -> None:
    assert "os.path.join(d, self._node_id, f)" in source(haproxy)
    assert "socket_path=_per_node(RAY_SERVE_HAPROXY_SOCKET_PATH)" in source(haproxy)
    assert BUFFER_BYTES > 0


def test_gcs_drains_nodes() -> None:
    """Its client hands calls on to a compiled class."""
    compiled: Any = _raylet
    reasons: Any = autoscaler_pb2
    drain = inspect.signature(compiled.InnerGcsClient.drain_node).parameters
    assert list(drain)[-5:] == ["node_id", "reason", "reason_message", "deadline_timestamp_ms", "timeout"]
    assert "timeout" in inspect.signature(compiled.InnerGcsClient.get_all_node_info).parameters
    assert callable(state.get_draining_nodes)
    assert reasons.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION


def test_raylet_says_that_it_was_drained(code_of_ray: bytes) -> None:
    assert DRAINED.encode() in code_of_ray


def test_http_server_of_a_replica_opens_at_its_node_s_address(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []

    async def start(app: Any, options: Any, *, event_loop: Any, enable_so_reuseport: bool) -> None:
        seen.append((options.host, options.port))

    for address in ("10.0.0.5", None):
        monkeypatch.setattr(replica, "start_asgi_http_server", start)
        monkeypatch.setenv("RAYLIFT_NODE_ADDRESS", address or "")
        open_http_server_at_node_address()
        options = HTTPOptions(host="127.0.0.1", port=8000)
        nothing: Any = None
        asyncio.run(replica.start_asgi_http_server(nothing, options, event_loop=nothing, enable_so_reuseport=False))
    assert seen == [("10.0.0.5", 8000), ("127.0.0.1", 8000)]


def test_process_title_names_the_application() -> None:
    assert common.DeploymentID("Gateway", "gateway").to_replica_actor_class_name() == "ServeReplica:gateway:Gateway"


@pytest.fixture(scope="module")
def code_of_ray() -> bytes:
    """Python sources and binaries of the installed Ray that read environment variables."""
    folders = ("_common", "_private", "autoscaler", "dashboard", "serve/_private")
    files = [path for folder in folders for path in (RAY / folder).rglob("*.py")]
    files += [RAY / "core" / "src" / "ray" / "raylet" / "raylet", *RAY.glob("_raylet*.so")]
    return b"\0".join(path.read_bytes() for path in files)


def switches(directory: Path) -> set[str]:
    record = RunRecord(
        instance="abc",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        host="127.0.0.1",
        ports={"gateway": 8000, "ray_dashboard": 8265, "mlflow": 5000, "block": 20000},
        state_dir=directory,
        session_dir=directory,
    )
    return set(head_environment({}, record, attempts_dir=directory, cores=2)) - NOT_RAYS | JOB_SWITCHES


def test_ray_reads_every_switch_that_we_set(tmp_path: Path, code_of_ray: bytes) -> None:
    """The core's own settings are named there without RAY_."""
    unknown = {
        name
        for name in switches(tmp_path)
        if name.encode() not in code_of_ray and name.removeprefix("RAY_").encode() not in code_of_ray
    }
    assert not unknown


def test_page_lists_every_switch(tmp_path: Path) -> None:
    missing = {name for name in switches(tmp_path) if f"`{name}`" not in PAGE}
    assert not missing


def test_page_names_the_installed_release() -> None:
    release = ".".join(ray.__version__.split(".")[:2])
    assert f"Ray {release}" in PAGE, "check the names of docs/internals/ray_internals.md with the new release, and say so there"
