"""The environments that the launcher's processes start with: what was listed of the user's, and what the platform needs.

Jobs inherit the Ray head's, so nothing secret may be in it: the database's address, above all, is not.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from job_entrypoints.contract import ATTEMPTS_DIR_VARIABLE
from raylift.ingress.haproxy import BUFFER_BYTES, IngressFiles
from raylift.launcher.processes.platform_processes import MARK
from raylift.launcher.run.config import HeadEnvironment
from raylift.launcher.run.record import RunRecord

_PLUGIN: Final = "raylift.engines.environments.plugin.EnvironmentPlugin"
_SHORT_WAY: Final = "raylift.ray_internals.serve_bypass.middlewares"
_WEEK: Final = 7 * 24 * 3600


def base_environment(
    wanted: HeadEnvironment, instance: str, temp_dir: Path, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What every process of the platform has."""
    environ = os.environ if environ is None else environ
    inherited = {key: value for key, value in environ.items() if any(fnmatch.fnmatchcase(key, p) for p in wanted.inherit)}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        # What killed processes leave in it goes with the session.
        "TMPDIR": str(temp_dir),
        MARK: instance,
        # Ray writes process titles over argv and, unless this is set, over the environment behind it, where the mark is.
        "SPT_NOENV": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **wanted.set,
    }


def mlflow_environment(base: Mapping[str, str]) -> dict[str, str]:
    """MLflow's own server."""
    # Its job runner is a second server with four processes, for features that the platform does not use.
    return {**base, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def head_environment(base: Mapping[str, str], record: RunRecord, *, attempts_dir: Path, cores: int) -> dict[str, str]:
    """The Ray head's, and by inheritance the jobs', the replicas' and HAProxy's."""
    ports = record.platform_ports
    return {
        **base,
        ATTEMPTS_DIR_VARIABLE: str(attempts_dir),
        "MLFLOW_TRACKING_URI": record.mlflow_url,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Never chosen by a token file that happens to lie in the home directory.
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        # The name is about other systems; what it does is to keep 127.0.0.1 as this node's address, which all then bind to.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "AUTOSCALER_METRIC_PORT": str(ports.internal["autoscaler_metrics"]),
        "DASHBOARD_METRIC_PORT": str(ports.internal["dashboard_metrics"]),
        **_jobs(),
        **_serve(record, cores),
    }


def _jobs() -> dict[str, str]:
    return {
        "RAY_RUNTIME_ENV_PLUGINS": json.dumps([{"class": _PLUGIN}]),
        # The supervisor admits and gives up; Ray shall not.
        "RAY_JOB_START_TIMEOUT_SECONDS": str(_WEEK),
        # A bad environment fails at once and is not remembered as bad.
        "RUNTIME_ENV_RETRY_TIMES": "1",
        "BAD_RUNTIME_ENV_CACHE_TTL_SECONDS": "1",
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
        # Ray gives its workers 15, the supervisor, the gateway and the replicas among them: no better than the jobs'.
        "RAY_worker_niceness": "0",
        # Ray makes its workers the first that the kernel kills when memory runs out; that place is the jobs' scripts'.
        "RAY_worker_oom_score_adjustment": "0",
        # Ray's memory monitor never picks a job's script: it would kill replicas and the supervisor for one that is too big.
        "RAY_memory_monitor_refresh_ms": "0",
    }


def _serve(record: RunRecord, cores: int) -> dict[str, str]:
    ports, files = record.platform_ports, IngressFiles(record.session_dir)
    haproxy_dir = files.haproxy
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # A replica's requests are answered on the loop that receives them. (What takes long goes to threads of its own.)
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": _SHORT_WAY,
        # It would keep the last thousand lines of every log back. Requests write none: the access log is off.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(files.wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy_dir / "c.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy_dir / "a.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy_dir),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy_dir / "state"),
        # Nobody listens for its log. (It would be sent to port 514 of this machine, where somebody else's logger may listen.)
        "RAY_SERVE_HAPROXY_LOG_TARGET": "/dev/null",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER_BYTES),
        # Our rules say for which requests an empty response counts (ingress/haproxy_config.py).
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        # So many that each replica may turn out to be gone before the gateway, which is behind them all, is asked. How many
        # may die over a request is counted elsewhere (model_server/server/poison_requests.py).
        "RAY_SERVE_HAPROXY_RETRIES": "10",
        # A replica that takes no connection gets none until it answers Serve's checks again, half a second later.
        "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
        # Its threads share what they do, at a price: on half of the cores one request costs a fifth less.
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, cores // 2))),
        # Else HAProxy tells a Python process of each request, which takes as long over it as HAProxy.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.internal["haproxy_metrics"]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.internal["haproxy_stats"]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.internal["fallback_http"]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.internal["fallback_grpc"]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas.stop),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replicas_grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replicas_grpc.stop),
        # One machine: HAProxy hears of a leaving replica within moments, not after the 30 s that a load balancer needs.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    }
