"""Processes of one `raylift up`, found by a mark in their environment and ended without touching any other.

The launcher sets ``RAYLIFT_INSTANCE=<id>``, and all descendants inherit it: Ray's workers, HAProxy, jobs, and their orphans.
``/proc/PID/environ`` shows it independently of the process tree (docs/adr/0007). Processes that a job started with another
environment are found through the mark of its wrapper.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from job_entrypoints.contract import INSTANCE_VARIABLE, WRAPPER_MODULE
from raylift.engines.attempts.orphan_processes import is_of_any_attempt

MARK: Final = INSTANCE_VARIABLE
_RESTARTING: Final = "raylift.launcher.parts.restart"
_GRPC: Final = "serve_apps.grpc_front"
_TITLES: Final = {
    "ray::SupervisorActor": "supervisor",
    "ray::ServeReplica:gateway:": "gateway",
    "ray::ServeController": "serve_controller",
}
_SERVER_GRACE_SECONDS: Final = 5.0
_KILL_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.02
_GONE: Final = (psutil.NoSuchProcess, psutil.ZombieProcess)


def processes_of(instance: str) -> list[psutil.Process]:
    """Return every live process with the mark or from a marked job, and their descendants."""
    mark = f"{MARK}={instance}".encode()
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if mark in _environment(process.pid) or is_of_any_attempt(process.pid, instance):
            # A child may have cleared its environment.
            for member in (process, *_descendants(process)):
                found.setdefault(member.pid, member)
    for pid in _self_and_ancestors():
        found.pop(pid, None)
    return [process for process in found.values() if _is_live(process)]


def end_all(instance: str, *, grace_seconds: float) -> list[str]:
    """End every process of the instance and return their descriptions.

    Ray's processes and the wrappers have no state outside the store. But a survivor would record the death of others as a job's
    failure, so all are frozen and killed together. While they are frozen, scripts of jobs get SIGTERM and ``grace_seconds`` to
    save. MLflow ends last, so that they can still log to it.

    Raises:
        psutil.AccessDenied: one of them belongs to another user.
    """
    first_look = processes_of(instance)
    ended = [_describe(process) for process in first_look]
    scripts = [process for process in first_look if _is_script(process)]
    servers = [process for process in first_look if _component(process) == "mlflow"]
    others = [process for process in first_look if process not in scripts and process not in servers]
    if scripts:
        _signal(others, signal.SIGSTOP)
        _signal(scripts, signal.SIGTERM)
        _wait_until_ended(scripts, grace_seconds)
    _signal([*others, *scripts], signal.SIGKILL)
    _signal(servers, signal.SIGTERM)
    _wait_until_ended(servers, _SERVER_GRACE_SECONDS)
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := processes_of(instance)) and time.monotonic() < deadline:
        _signal(left, signal.SIGKILL)
        _wait_until_ended(left, 1.0)
    return ended


def pids_by_component(instance: str) -> dict[str, int]:
    """Return the pids of live components: mlflow, grpc, their restarters, Ray's processes, haproxy, supervisor, gateway."""
    pids: dict[str, int] = {}
    for process in sorted(processes_of(instance), key=lambda process: process.pid):
        component = _component(process)
        if component is not None:
            pids.setdefault(component, process.pid)
    return pids


def listeners_of(instance: str) -> list[tuple[str, int, str]]:
    """Return (address, port, command) of every listening socket of the instance."""
    listeners: list[tuple[str, int, str]] = []
    for process in processes_of(instance):
        try:
            sockets = process.net_connections(kind="inet")
            name = process.name()
        except _GONE:
            continue
        listeners.extend((s.laddr.ip, s.laddr.port, name) for s in sockets if s.status == psutil.CONN_LISTEN)
    return listeners


def instances_with(variable: str, value: str) -> set[str]:
    """Return the instances of all processes with this environment variable."""
    wanted, mark = f"{variable}={value}".encode(), f"{MARK}=".encode()
    environments = [_environment(process.pid) for process in psutil.process_iter()]
    return {
        item.removeprefix(mark).decode()
        for environment in environments
        if wanted in environment
        for item in environment
        if item.startswith(mark)
    }


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        # The process has ended, or belongs to another user and so not to the instance.
        return []


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except _GONE:
        return []


def _self_and_ancestors() -> set[int]:
    own = psutil.Process()
    return {own.pid, *(parent.pid for parent in own.parents())}


def _is_live(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except _GONE:
        return False


def _is_script(process: psutil.Process) -> bool:
    """Return True for descendants of a job's wrapper."""
    try:
        return WRAPPER_MODULE not in process.cmdline() and any(
            WRAPPER_MODULE in parent.cmdline() for parent in process.parents()
        )
    except _GONE:
        return False


def _component(process: psutil.Process) -> str | None:
    try:
        command = process.cmdline()
    except _GONE:
        return None
    if not command:
        return None
    program = os.path.basename(command[0].split(" ")[0])  # noqa: PTH119 - a command line, not a path
    for component in ("gcs_server", "raylet", "haproxy"):
        if program == component:
            return component
    for title, component in _TITLES.items():
        if command[0].startswith(title):
            return component
    line = " ".join(command)
    if _GRPC in line:
        return "grpc_keeper" if _RESTARTING in line else "grpc"
    if _RESTARTING in line:
        return "mlflow_keeper"
    if "-m mlflow server" in line or "mlflow.server" in line:
        return "mlflow"
    return "dashboard" if "dashboard/dashboard.py" in line else None


def _wait_until_ended(processes: Iterable[psutil.Process], seconds: float) -> None:
    # psutil's own wait counts zombies as alive, and a frozen parent does not reap its children.
    deadline = time.monotonic() + seconds
    while any(_is_live(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except _GONE:
            continue


def _describe(process: psutil.Process) -> str:
    try:
        command = " ".join(process.cmdline()).strip() or process.name()
    except _GONE:
        command = "already ended"
    # The program's name without its folder.
    head, _, rest = command.partition(" ")
    return f"{process.pid} {os.path.basename(head)} {rest}"[:100].rstrip()  # noqa: PTH119 - a command line, not a path
