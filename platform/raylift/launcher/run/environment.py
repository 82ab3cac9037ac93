"""Environment variables of the launcher's processes: listed ones of the user, and those that the platform needs.

Jobs inherit the Ray head's environment, so it must not contain secrets such as the database's address.
docs/internals/ray_internals.md lists the private switches of Ray.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from job_entrypoints.contract import ATTEMPTS_DIR_VARIABLE, REFUSED_PORTS_VARIABLE
from raylift.domain.nodes.labels import NODE_ADDRESS_VARIABLE
from raylift.engines.environments import PLUGINS_VALUE, PLUGINS_VARIABLE
from raylift.ingress.haproxy import BUFFER_BYTES, IngressFiles
from raylift.launcher.processes.platform_processes import MARK
from raylift.launcher.run.config import HeadEnvironment
from raylift.launcher.run.ports import BLOCK_SIZE
from raylift.launcher.run.record import RunRecord

_WEEK: Final = 7 * 24 * 3600


def base_environment(
    wanted: HeadEnvironment, instance: str, temp_dir: Path, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables of every process of the platform."""
    environ = os.environ if environ is None else environ
    inherited = {key: value for key, value in environ.items() if any(fnmatch.fnmatchcase(key, p) for p in wanted.inherit)}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        # Temporary files of killed processes are removed with the session.
        "TMPDIR": str(temp_dir),
        MARK: instance,
        # Ray overwrites argv with process titles and, without this, also the environment with the mark.
        "SPT_NOENV": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **wanted.set,
    }


def mlflow_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of MLflow's server."""
    # Its job runner is a second server with four processes for unused features.
    return {**base, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def head_environment(
    base: Mapping[str, str], record: RunRecord, *, attempts_dir: Path, cores: int, outage_seconds: int | None = None
) -> dict[str, str]:
    """Return the variables of the Ray head, which jobs, replicas and HAProxy inherit.

    ``outage_seconds``: how long nodes wait for the head where its state outlives it; None: Ray's minute.
    """
    ports = record.platform_ports
    return {
        **base,
        ATTEMPTS_DIR_VARIABLE: str(attempts_dir),
        REFUSED_PORTS_VARIABLE: _refused_ports(record),
        "MLFLOW_TRACKING_URI": record.mlflow_url,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(record.ray_token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Despite its name, 0 keeps 127.0.0.1 as the node's address, which all listeners use. No node joins then.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1" if record.accepts_nodes else "0",
        # The default of 30 s ends a raylet on a busy machine, where its agents import for longer.
        "RAY_agent_register_timeout_ms": "120000",
        "AUTOSCALER_METRIC_PORT": str(ports.internal["autoscaler_metrics"]),
        "DASHBOARD_METRIC_PORT": str(ports.internal["dashboard_metrics"]),
        # Where replicas listen: HAProxy of every node asks them.
        **({NODE_ADDRESS_VARIABLE: record.node_address} if record.accepts_nodes else {}),
        **({} if outage_seconds is None else {"RAY_gcs_rpc_server_reconnect_timeout_s": str(outage_seconds)}),
        **_jobs(),
        **_serve(record, cores),
    }


def _refused_ports(record: RunRecord) -> str:
    """List all ports of the platform. No build needs one of them."""
    ports = record.platform_ports
    public = (port for port in record.ports.values() if port != ports.block)
    return ",".join([f"{ports.block}-{ports.block + BLOCK_SIZE - 1}", *map(str, public)])


def _jobs() -> dict[str, str]:
    return {
        PLUGINS_VARIABLE: PLUGINS_VALUE,
        # Start timeouts are the supervisor's decision.
        "RAY_JOB_START_TIMEOUT_SECONDS": str(_WEEK),
        # A broken environment fails at once and may be tried again.
        "RUNTIME_ENV_RETRY_TIMES": "1",
        "BAD_RUNTIME_ENV_CACHE_TTL_SECONDS": "1",
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
        # Ray's default of 15 includes the supervisor, the gateway and replicas, which should come before jobs.
        "RAY_worker_niceness": "0",
        # By default the kernel kills Ray's workers first when memory runs out. Scripts of jobs should be first.
        "RAY_worker_oom_score_adjustment": "0",
        # Ray's memory monitor does not see scripts of jobs. It would kill replicas or the supervisor instead.
        "RAY_memory_monitor_refresh_ms": "0",
    }


def _serve(record: RunRecord, cores: int) -> dict[str, str]:
    ports, files = record.platform_ports, IngressFiles(record.session_dir)
    haproxy_dir = files.haproxy
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # The default of 0.1 s costs a fortieth of a core at rest. Each step of a replica's start waits for the next loop.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",
        # The default of 100 ms wakes every replica and proxy for metrics that Ray exports every ten seconds.
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "5000",
        # Requests are answered on the loop that receives them. (Long computations run in threads of ours.)
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # The default buffers the last thousand lines of every log.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(files.wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy_dir / "c.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy_dir / "a.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy_dir),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy_dir / "state"),
        # The default sends the log to port 514 of this machine.
        "RAY_SERVE_HAPROXY_LOG_TARGET": "/dev/null",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER_BYTES),
        # Our rules restrict retries to some requests (ingress/haproxy_config.py).
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        # Enough to try every replica before the gateway, the last backup. Crashes by one request are limited elsewhere
        # (model_server/server/poison_requests.py).
        "RAY_SERVE_HAPROXY_RETRIES": "10",
        # A replica that refuses a connection gets none until it answers Serve's next check, half a second later.
        "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
        # Threads have a cost: with half of the cores one request costs a fifth less.
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, cores // 2))),
        # With metrics, HAProxy reports each request to a Python process, which takes as long as HAProxy itself.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.internal["haproxy_metrics"]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.internal["haproxy_stats"]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.internal["fallback_http"]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.internal["fallback_grpc"]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas.stop),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replicas_grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replicas_grpc.stop),
        # The default of 5 s kills HAProxy's manager on a busy machine, where it imports for longer, and the start fails.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # On one machine HAProxy learns about a leaving replica at once. The default is 30 s, for load balancers.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        # Likewise HAProxy of a node without replicas: a drained node leaves no sooner.
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "5",
    }
