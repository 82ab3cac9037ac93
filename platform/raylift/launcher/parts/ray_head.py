"""Ray's head node: `ray start --head` with explicit ports and all listeners on one address: loopback, or the node's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from raylift.launcher.errors import LauncherError
from raylift.launcher.processes.starting import start, tail, tails
from raylift.launcher.run.config import LocalConfig
from raylift.launcher.run.record import RunRecord

_ERROR_LOGS = ("gcs_server.err", "gcs_server.out", "raylet.err", "raylet.out", "dashboard.log", "dashboard_agent.log")


def head_command(config: LocalConfig, record: RunRecord, labels: Mapping[str, str]) -> list[str]:
    """Return the command line of `ray start`."""
    ports = record.platform_ports
    internal = ports.internal
    resources = config.resources
    options: dict[str, object | None] = {
        "node-ip-address": record.node_address,
        "port": internal["gcs"],
        "object-manager-port": internal["object_manager"],
        "node-manager-port": internal["node_manager"],
        "ray-client-server-port": internal["ray_client"],
        "dashboard-host": "127.0.0.1",
        "dashboard-port": ports.ray_dashboard,
        "dashboard-agent-listen-port": internal["agent_http"],
        "dashboard-agent-grpc-port": internal["agent_grpc"],
        "runtime-env-agent-port": internal["environment_agent"],
        "metrics-export-port": internal["ray_metrics"],
        "min-worker-port": ports.workers.start,
        "max-worker-port": ports.workers.stop - 1,
        "temp-dir": record.session_dir / "r",
        "num-cpus": config.ray_cpus(),
        "num-gpus": resources.gpus,
        "memory": resources.memory,
        "object-store-memory": resources.object_store_memory,
        "autoscaling-config": resources.autoscaling_config,
        "include-dashboard": "true",
        "labels": ",".join(f"{name}={value}" for name, value in labels.items()) or None,
    }
    return ray_start(options, is_head=True)


def ray_start(options: Mapping[str, object | None], *, is_head: bool) -> list[str]:
    """Return the command line of `ray start` with the options that are not None."""
    head = ["--head"] if is_head else []
    command = [sys.executable, "-m", "raylift.ray_internals.start", "start", *head, "--disable-usage-stats"]
    # It copies the output of workers to drivers. Workers of jobs send their own (job_entrypoints/gang/output.py).
    command += ["--include-log-monitor", "false"]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    return command


def start_head(
    config: LocalConfig, record: RunRecord, environment: Mapping[str, str], *, log: Path, labels: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `ray start`, which ends when the head's processes run."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Jobs without a directory of their own run in the session's.
    return start(head_command(config, record, labels), directory=record.session_dir, environment=environment, log=log)


def wait_for_head(starting: subprocess.Popen[bytes], record: RunRecord, *, log: Path, timeout: float) -> None:
    """Wait for the end of `ray start`.

    Raises:
        LauncherError: it failed or took too long; carries the ends of Ray's logs.
    """
    try:
        code = starting.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise LauncherError(f"Ray's head did not start within {timeout:.0f} s.", log_tail=_log_tail(record, log)) from error
    if code != 0:
        raise LauncherError(f"Ray's head did not start (exit code {code}).", log_tail=_log_tail(record, log))


def _log_tail(record: RunRecord, log: Path) -> str:
    logs = record.session_dir / "r" / "session_latest" / "logs"
    return "\n".join(text for text in (tail(log), tails(logs / name for name in _ERROR_LOGS)) if text)
